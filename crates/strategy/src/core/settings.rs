//! ConfigMap, Endpoints, LimitRange, PodTemplate and ServiceAccount.

use super::pod_defaults;
use crate::check;
use crate::declared::Declared;
use crate::tree::{default_text, items_mut, object};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Of all values together: upstream's bound for ConfigMaps and Secrets.
const MAX_BYTES: usize = 1 << 20;

pub const CONFIG_MAP: Declared = Declared::new("", "ConfigMap").validates(config_map);

pub const ENDPOINTS: Declared = Declared::new("", "Endpoints").created_by_update().defaults(endpoints_defaults);

pub const LIMIT_RANGE: Declared = Declared::new("", "LimitRange").created_by_update().defaults(limit_range_defaults);

pub const POD_TEMPLATE: Declared = Declared::new("", "PodTemplate").with_generation().defaults(|template| {
    if let Some(spec) = template.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(spec);
    }
});

pub const SERVICE_ACCOUNT: Declared = Declared::new("", "ServiceAccount");

fn config_map(map: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in map[field].as_object().into_iter().flatten() {
            let here = Path::new(field).key(key);
            check::all(errors, &here, key.as_str(), meta::validation::config_map_key(key));
            if field == "binaryData" && map["data"].get(key).is_some() {
                errors.push(FieldError::invalid(&here, key.as_str(), "duplicate of key present in data"));
            }
            let len = value.as_str().unwrap_or_default().len();
            size += if field == "data" { len } else { check::decoded_len(value) };
        }
    }
    if size > MAX_BYTES {
        // Upstream means the whole object by a field without a name, and prints that so.
        errors.push(FieldError::too_long(&Path::new("[]"), MAX_BYTES));
    }
    if let Some(old) = old {
        keep_immutable(map, old, &["data", "binaryData"], errors);
    }
}

/// Keys, size and immutability of a Secret's data.
pub fn secret_data(secret: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let mut size = 0;
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        check::all(errors, &Path::new("data").key(key), key.as_str(), meta::validation::config_map_key(key));
        size += check::decoded_len(value);
    }
    if size > MAX_BYTES {
        errors.push(FieldError::too_long(&Path::new("data"), MAX_BYTES));
    }
    if let Some(old) = old {
        keep_immutable(secret, old, &["data"], errors);
    }
}

fn keep_immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut ErrorList) {
    if old["immutable"] != true {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.push(FieldError::forbidden(&Path::new("immutable"), why));
    }
    for field in fields {
        if new[*field] != old[*field] {
            errors.push(FieldError::forbidden(&Path::new(field), why));
        }
    }
}

fn endpoints_defaults(endpoints: &mut Value) {
    for subset in items_mut(endpoints, "subsets") {
        for port in items_mut(subset, "ports") {
            default_text(port, "protocol", "TCP");
        }
    }
}

/// A container's default limit is the maximum; its default request that limit, else the minimum.
fn limit_range_defaults(range: &mut Value) {
    let Some(spec) = range.get_mut("spec") else { return };
    for limit in items_mut(spec, "limits").filter(|limit| limit["type"] == "Container") {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let Some(known) = limit.get(from).and_then(Value::as_object).cloned() else { continue };
            let Some(filled) = object(limit, to) else { continue };
            for (name, quantity) in known {
                filled.entry(name).or_insert(quantity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Strategy as _;
    use serde_json::json;

    #[test]
    fn limits_default_from_each_other() {
        let mut range =
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}});
        LIMIT_RANGE.default(&mut range);
        assert_eq!(range["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
        assert_eq!(range["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
    }

    #[test]
    fn data_is_checked() {
        for (map, old, expected) in [
            (json!({"data": {"a.b": "x"}}), None, ""),
            (json!({"data": {"a/b": "x"}}), None, "data[a/b]: Invalid value: \"a/b\""),
            (
                json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
                None,
                "binaryData[a]: Invalid value: \"a\": duplicate of key present in data",
            ),
            (
                json!({"data": {"a": "x".repeat(MAX_BYTES + 1)}}),
                None,
                "[]: Too long: may not be more than 1048576 bytes",
            ),
            (
                json!({"data": {"a": "y"}, "immutable": true}),
                Some(json!({"data": {"a": "x"}, "immutable": true})),
                "data: Forbidden: field is immutable when `immutable` is set",
            ),
        ] {
            let mut errors = ErrorList::new();
            config_map(&map, old.as_ref(), &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(told.join("; ").starts_with(expected) && told.is_empty() == expected.is_empty(), "{told:?}");
        }
    }
}
