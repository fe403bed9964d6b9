//! IPAddress and ServiceCIDR.

use crate::check;
use crate::declared::Declared;
use crate::tree::items;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::net::IpAddr;

const GROUP: &str = "networking.k8s.io";

pub const IP_ADDRESS: Declared =
    Declared::new(GROUP, "IPAddress").named(address_name).validates(|address, old, errors| {
        let path = Path::new("spec").child("parentRef");
        if address["spec"]["parentRef"].is_null() {
            errors.push(FieldError::required(&path, ""));
        }
        if let Some(old) = old {
            check::immutable(errors, &path, &address["spec"]["parentRef"], &old["spec"]["parentRef"]);
        }
    });

pub const SERVICE_CIDR: Declared = Declared::new(GROUP, "ServiceCIDR").with_status_alone().validates(service_cidr);

/// The address itself, in the one form it has.
fn address_name(name: &str, _prefix: bool) -> Vec<String> {
    match name.parse::<IpAddr>() {
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        Ok(address) if address.to_string() != name => vec![format!("must be in canonical form (\"{address}\")")],
        Ok(_) => Vec::new(),
    }
}

fn service_cidr(range: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (path, ranges) = (Path::new("spec").child("cidrs"), items(&range["spec"], "cidrs"));
    if ranges.is_empty() {
        errors.push(FieldError::required(&path, "at least one CIDR required"));
    }
    for (at, one) in ranges.iter().enumerate() {
        check::cidr(errors, &path.index(at), one.as_str().unwrap_or_default());
    }
    if let Some(old) = old {
        let before = items(&old["spec"], "cidrs");
        if before.iter().zip(ranges).any(|(old, new)| old != new) || ranges.len() < before.len() {
            errors.push(FieldError::invalid(&path, ranges.to_vec(), check::IMMUTABLE));
        }
    }
}
