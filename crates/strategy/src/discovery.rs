//! EndpointSlice.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, items_mut, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const ENDPOINT_SLICE: Declared =
    Declared::new("discovery.k8s.io", "EndpointSlice").with_generation().defaults(defaults).validates(validate);

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;

fn defaults(slice: &mut Value) {
    for port in items_mut(slice, "ports") {
        default(port, "name", "");
        default_text(port, "protocol", "TCP");
    }
}

fn validate(slice: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (path, family) = (Path::new("addressType"), text(slice, "addressType"));
    match old {
        None => check::required_one_of(errors, &path, family, &["FQDN", "IPv4", "IPv6"]),
        Some(old) => check::immutable(errors, &path, &slice["addressType"], &old["addressType"]),
    }
    let (endpoints, here) = (items(slice, "endpoints"), Path::new("endpoints"));
    if endpoints.len() > MAX_ENDPOINTS {
        errors.push(FieldError::too_many(&here, endpoints.len(), MAX_ENDPOINTS));
    }
    for (at, endpoint) in endpoints.iter().take(MAX_ENDPOINTS).enumerate() {
        self::endpoint(endpoint, family, &here.index(at), errors);
    }
    let (ports, here) = (items(slice, "ports"), Path::new("ports"));
    if ports.len() > MAX_PORTS {
        errors.push(FieldError::too_many(&here, ports.len(), MAX_PORTS));
    }
    let mut names: Vec<&str> = Vec::new();
    for (at, port) in ports.iter().take(MAX_PORTS).enumerate() {
        let (here, name) = (here.index(at), text(port, "name"));
        if names.contains(&name) {
            errors.push(FieldError::duplicate(&here.child("name"), name));
        } else {
            names.push(name);
        }
        if !name.is_empty() {
            check::all(errors, &here.child("name"), name, meta::validation::dns1123_label(name));
        }
        check::one_of(errors, &here.child("protocol"), text(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

fn endpoint(endpoint: &Value, family: &str, path: &Path, errors: &mut ErrorList) {
    let (addresses, here) = (items(endpoint, "addresses"), path.child("addresses"));
    if addresses.is_empty() {
        errors.push(FieldError::required(&here, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&here, addresses.len(), MAX_ADDRESSES));
    }
    for (at, address) in addresses.iter().enumerate() {
        let (here, address) = (here.index(at), address.as_str().unwrap_or_default());
        let parsed = address.parse::<std::net::IpAddr>();
        match (family, parsed) {
            ("FQDN", _) => check::all(errors, &here, address, meta::validation::dns1123_subdomain(address)),
            (_, Err(_)) => check::ip(errors, &here, address),
            ("IPv4", Ok(ip)) if ip.is_ipv6() => {
                errors.push(FieldError::invalid(&here, address, "must be an IPv4 address"));
            }
            ("IPv6", Ok(ip)) if ip.is_ipv4() => {
                errors.push(FieldError::invalid(&here, address, "must be an IPv6 address"));
            }
            _ => {}
        }
    }
}
