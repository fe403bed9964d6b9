//! Names of devices, pools, attributes and requests, and lists of things that have them.

use crate::check;
use crate::storage::driver_name;
use crate::tree::text;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

/// Upstream's numbers.
const MAX_POOL_NAME: usize = 253;
const MAX_IDENTIFIER: usize = 32;

pub fn pool(name: &str, path: &Path, errors: &mut ErrorList) {
    if !check::required(errors, path, name) {
        return;
    }
    if name.len() > MAX_POOL_NAME {
        errors.push(FieldError::too_long(path, MAX_POOL_NAME));
    }
    for part in name.split('/') {
        check::all(errors, path, part, validation::dns1123_subdomain(part));
    }
}

pub fn label(name: &str, path: &Path, errors: &mut ErrorList) {
    check::all(errors, path, name, validation::dns1123_label(name));
}

pub fn class(name: &str, path: &Path, errors: &mut ErrorList) {
    if check::required(errors, path, name) {
        check::all(errors, path, name, validation::dns1123_subdomain(name));
    }
}

/// `name`, or `domain/name`.
pub fn qualified(name: &str, path: &Path, errors: &mut ErrorList) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [name] => identifier(name, path, errors),
        [domain, name] => {
            match *domain {
                "" => errors.push(FieldError::invalid(path, "", "the domain must not be empty")),
                domain => driver_name(domain, path, errors),
            }
            match *name {
                "" => errors.push(FieldError::invalid(path, "", "the name must not be empty")),
                name => identifier(name, path, errors),
            }
        }
        _ => {}
    }
}

pub fn fully_qualified(name: &str, path: &Path, errors: &mut ErrorList) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, why));
    }
}

fn identifier(name: &str, path: &Path, errors: &mut ErrorList) {
    if name.len() > MAX_IDENTIFIER {
        errors.push(FieldError::too_long(path, MAX_IDENTIFIER));
    }
    check::all(errors, path, name, validation::c_identifier(name));
}

/// Whether a list is short enough to be looked at.
pub fn fits(list: &[Value], most: usize, path: &Path, errors: &mut ErrorList) -> bool {
    if list.len() > most {
        errors.push(FieldError::too_many(path, list.len(), most));
    }
    list.len() <= most
}

/// Items of which two are called the same.
pub fn unique(list: &[Value], key: impl Fn(&Value) -> String, path: &Path, errors: &mut ErrorList) {
    let mut seen: Vec<String> = Vec::with_capacity(list.len());
    for (at, item) in list.iter().enumerate() {
        let key = key(item);
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(&path.index(at), key));
        } else {
            seen.push(key);
        }
    }
}

pub fn by_name(item: &Value) -> String {
    text(item, "name").to_owned()
}

pub fn itself(item: &Value) -> String {
    item.as_str().unwrap_or_default().to_owned()
}

/// A JSON object in a field that the API does not look into.
pub fn opaque(value: &Value, most: usize, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::Null => errors.push(FieldError::required(path, "")),
        value if value.to_string().len() > most => errors.push(FieldError::too_long(path, most)),
        Value::Object(_) => {}
        _ => errors.push(FieldError::invalid(path, "<value omitted>", "must be a valid JSON object")),
    }
}
