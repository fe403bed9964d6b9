//! IPAddress and ServiceCIDR.

use crate::check;
use crate::declared::Declared;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;
use std::net::IpAddr;

const GROUP: &str = "networking.k8s.io";

pub const IP_ADDRESS: Declared =
    Declared::new(GROUP, "IPAddress").named(address_name).validates(|address, old, errors| {
        let path = Path::new("spec").child("parentRef");
        let parent = &address["spec"]["parentRef"];
        match parent.is_null() {
            true => errors.push(FieldError::required(&path, "")),
            false => parent_reference(errors, &path, parent),
        }
        if let Some(old) = old {
            check::immutable(errors, &path, parent, &old["spec"]["parentRef"]);
        }
    });

/// Whose the address is. The core group is the empty text.
fn parent_reference(errors: &mut ErrorList, path: &Path, parent: &Value) {
    let group = text(parent, "group");
    if !group.is_empty() {
        check::all(errors, &path.child("group"), group, validation::dns1123_subdomain(group));
    }
    for field in ["resource", "name", "namespace"] {
        let (here, value) = (path.child(field), text(parent, field));
        match (field, value) {
            ("namespace", "") => {}
            (_, "") => errors.push(FieldError::required(&here, "")),
            _ => check::all(errors, &here, value, validation::path_segment_name(value)),
        }
    }
}

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
    if let Some(old) = old {
        let before = &old["spec"]["cidrs"];
        return check::immutable(errors, &path, &range["spec"]["cidrs"], before);
    }
    let texts: Vec<&str> = ranges.iter().map(|one| one.as_str().unwrap_or_default()).collect();
    match texts.as_slice() {
        [] => return errors.push(FieldError::required(&path, "at least one CIDR required")),
        [_] => {}
        [one, other] if is_dual(one, other) => {}
        [_, _] => {
            let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            return errors.push(FieldError::invalid(&path, range["spec"].clone(), why));
        }
        _ => return errors.push(FieldError::invalid(&path, range["spec"].clone(), "may only hold up to 2 values")),
    }
    for (at, one) in texts.iter().enumerate() {
        check::cidr(errors, &path.index(at), one);
        canonical(errors, &path.index(at), one);
    }
}

/// One range of each family.
fn is_dual(one: &str, other: &str) -> bool {
    let is_v6 = |text: &str| check::is_cidr(text).then(|| text.contains(':'));
    matches!((is_v6(one), is_v6(other)), (Some(one), Some(other)) if one != other)
}

/// A range is written in one way only: by its first address.
fn canonical(errors: &mut ErrorList, path: &Path, text: &str) {
    let Some((base, length)) = text.split_once('/') else { return };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return };
    let masked = match base {
        IpAddr::V4(base) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V4((u32::from(base) & mask).into())
        }
        IpAddr::V6(base) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
            IpAddr::V6((u128::from(base) & mask).into())
        }
    };
    let canonical = format!("{masked}/{length}");
    if masked != base {
        let why = "must not have bits set beyond the prefix length";
        errors.push(FieldError::invalid(path, text, why));
    } else if canonical != text {
        errors.push(FieldError::invalid(path, text, &format!("must be in canonical form (\"{canonical}\")")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_and_parents_are_checked() {
        let none = "spec.cidrs: Required value: at least one CIDR required";
        let family = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        let cases = [
            (json!([]), none),
            (json!(["10.1.0.0/16"]), ""),
            (json!(["10.1.0.0/16", "2001:db8::/112"]), ""),
            (json!(["2001:db8::/112", "10.1.0.0/16"]), ""),
            (json!(["10.1.0.0/16", "10.2.0.0/16"]), family),
            (json!(["10.1.0.0/16", "x"]), family),
            (json!(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]), "may only hold up to 2 values"),
            (json!(["10.1.0.1/16"]), "spec.cidrs[0]: Invalid value: \"10.1.0.1/16\": must not have bits set"),
            (json!(["2001:db8:0::/112"]), "must be in canonical form (\"2001:db8::/112\")"),
            (json!(["0.0.0.0/0"]), ""),
            (json!(["10.1.0.0"]), "spec.cidrs[0]: Invalid value: \"10.1.0.0\": must be a valid CIDR value"),
        ];
        for (cidrs, wanted) in cases {
            let mut errors = ErrorList::new();
            service_cidr(&json!({"spec": {"cidrs": cidrs}}), None, &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told.is_empty(), wanted.is_empty(), "{cidrs}: {told:?}");
            assert!(told.iter().all(|error| error.contains(wanted)), "{cidrs}: {told:?}");
        }
        let mut errors = ErrorList::new();
        let range = |cidrs: Value| json!({"spec": {"cidrs": cidrs}});
        let (old, new) = (range(json!(["10.1.0.0/16"])), range(json!(["10.1.0.0/16", "2001:db8::/112"])));
        service_cidr(&new, Some(&old), &mut errors);
        assert!(errors[0].to_string().ends_with("field is immutable"), "{}", errors[0]);
        let cases = [
            (json!({"resource": "services", "name": "a"}), ""),
            (json!({"group": "x_y", "resource": "r", "name": "a"}), "spec.parentRef.group: Invalid value"),
            (json!({"name": "a"}), "spec.parentRef.resource: Required value"),
            (json!({"resource": "services"}), "spec.parentRef.name: Required value"),
            (json!({"resource": "r", "name": "a", "namespace": "b/c"}), "spec.parentRef.namespace: Invalid value"),
        ];
        for (parent, wanted) in cases {
            let mut errors = ErrorList::new();
            parent_reference(&mut errors, &Path::new("spec").child("parentRef"), &parent);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told.is_empty(), wanted.is_empty(), "{parent}: {told:?}");
            assert!(told.iter().all(|error| error.starts_with(wanted)), "{parent}: {told:?}");
        }
    }
}
