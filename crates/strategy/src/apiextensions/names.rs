//! The names of a definition.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let group = text(spec, "group");
    let here = path.child("group");
    if check::required(errors, &here, group) {
        check::all(errors, &here, group, validation::dns1123_subdomain(group));
        if !group.contains('.') {
            errors.push(FieldError::invalid(&here, group, "should be a domain with at least one dot"));
        }
    }
    let scope = text(spec, "scope");
    if scope.is_empty() {
        errors.push(FieldError::required(&path.child("scope"), ""));
    } else {
        check::one_of(errors, &path.child("scope"), scope, &["Cluster", "Namespaced"]);
    }
    if spec["preserveUnknownFields"] == true {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                   instead";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, why));
    }
    let (names, path) = (&spec["names"], path.child("names"));
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = text(names, field);
        let here = path.child(field);
        if name.is_empty() {
            errors.push(FieldError::required(&here, ""));
        } else if matches!(field, "kind" | "listKind") {
            for why in validation::dns1035_label(&name.to_lowercase()) {
                let why = format!("may have mixed case, but should otherwise match: {why}");
                errors.push(FieldError::invalid(&here, name, &why));
            }
        } else {
            check::all(errors, &here, name, validation::dns1035_label(name));
        }
    }
    let kind = text(names, "kind");
    if !kind.is_empty() && kind == text(names, "listKind") {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, why));
    }
    for field in ["shortNames", "categories"] {
        for (at, name) in items(names, field).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            check::all(errors, &path.child(field).index(at), name, validation::dns1035_label(name));
        }
    }
}
