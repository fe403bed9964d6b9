//! Rules on requests, and the selectors beside them.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

fn texts<'v>(rule: &'v Value, field: &str) -> Vec<&'v str> {
    items(rule, field).iter().filter_map(Value::as_str).collect()
}

/// A rule of a webhook or of a policy.
pub fn rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    for (field, others) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        let (list, here) = (texts(rule, field), path.child(field));
        if list.is_empty() {
            errors.push(FieldError::required(&here, ""));
        }
        if list.len() > 1 && list.contains(&"*") {
            let why = format!("if '*' is present, must not specify other {others}");
            errors.push(FieldError::invalid(&here, rule[field].clone(), &why));
        }
        for (at, one) in list.iter().enumerate() {
            match field {
                "operations" => check::one_of(errors, &here.index(at), one, &OPERATIONS),
                "apiVersions" if one.is_empty() => errors.push(FieldError::required(&here.index(at), "")),
                _ => {}
            }
        }
    }
    plurals(rule, &path.child("resources"), errors);
    check::one_of(errors, &path.child("scope"), text(rule, "scope"), &SCOPES);
}

fn plurals(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let list = texts(rule, "resources");
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let mut wide: Vec<&str> = Vec::new();
    for (at, pattern) in list.iter().enumerate() {
        let here = path.index(at);
        let (plural, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
        if pattern.is_empty() {
            errors.push(FieldError::required(&here, ""));
        }
        for other in &wide {
            let (known, known_sub) = other.split_once('/').unwrap_or((other, ""));
            let covers = (known == "*" && sub == known_sub && plural != "*")
                || (known_sub == "*" && known == plural && sub != "*");
            if covers {
                let why = format!("if '{other}' is present, must not specify {pattern}");
                errors.push(FieldError::invalid(&here, *pattern, &why));
            }
        }
        if pattern.contains('*') {
            wide.push(pattern);
        }
    }
    if list.len() > 1 && list.contains(&"*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, rule["resources"].clone(), why));
    }
    if list.contains(&"*") && list.iter().any(|pattern| *pattern != "*" && !pattern.contains('/')) {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, rule["resources"].clone(), why));
    }
}

/// The matchConstraints of a policy or matchResources of a binding.
pub fn matched(resources: &Value, path: &Path, errors: &mut ErrorList) {
    check::required_one_of(
        errors,
        &path.child("matchPolicy"),
        text(resources, "matchPolicy"),
        &["Equivalent", "Exact"],
    );
    for field in ["namespaceSelector", "objectSelector"] {
        match resources[field].is_object() {
            true => check::label_selector(errors, &path.child(field), &resources[field]),
            false => errors.push(FieldError::required(&path.child(field), "")),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (at, named) in items(resources, field).iter().enumerate() {
            let here = path.child(field).index(at);
            names(named, &here.child("resourceNames"), errors);
            rule(named, &here, errors);
        }
    }
}

fn names(named: &Value, path: &Path, errors: &mut ErrorList) {
    let names = texts(named, "resourceNames");
    for (at, name) in names.iter().enumerate() {
        check::all(errors, &path.index(at), *name, meta::validation::path_segment_name(name));
        if names[..at].contains(name) {
            errors.push(FieldError::duplicate(&path.index(at), *name));
        }
    }
}
