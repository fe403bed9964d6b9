//! Environment variables and where their values come from.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

/// Fields of a pod that an environment variable or a file may show.
const POD_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels",
    "metadata.annotations",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub fn container(one: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, variable) in items(one, "env").iter().enumerate() {
        let (here, name) = (path.child("env").index(at), text(variable, "name"));
        if check::required(errors, &here.child("name"), name) {
            check::all(errors, &here.child("name"), name, validation::env_var_name(name));
        }
        if variable["valueFrom"].is_object() {
            value_from(variable, &here.child("valueFrom"), errors);
        }
    }
    for (at, source) in items(one, "envFrom").iter().enumerate() {
        env_from(source, &path.child("envFrom").index(at), errors);
    }
}

fn value_from(variable: &Value, path: &Path, errors: &mut ErrorList) {
    let source = &variable["valueFrom"];
    let given = SOURCES.iter().filter(|field| source[**field].is_object()).count();
    let refuse = |errors: &mut ErrorList, why: &str| errors.push(FieldError::invalid(path, "", why));
    match given {
        0 => refuse(errors, "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"),
        _ if !text(variable, "value").is_empty() => refuse(errors, "may not be specified when `value` is not empty"),
        1 => {}
        _ => refuse(errors, "may not have more than one field specified at a time"),
    }
    if source["fieldRef"].is_object() {
        field_ref(&source["fieldRef"], &path.child("fieldRef"), errors);
    }
    if source["resourceFieldRef"].is_object() {
        let here = path.child("resourceFieldRef");
        check::required(errors, &here.child("resource"), text(&source["resourceFieldRef"], "resource"));
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        if source[field].is_object() {
            let (here, key) = (path.child(field), text(&source[field], "key"));
            check::required(errors, &here.child("name"), text(&source[field], "name"));
            if check::required(errors, &here.child("key"), key) {
                check::all(errors, &here.child("key"), key, validation::config_map_key(key));
            }
        }
    }
}

/// A field of the pod itself.
pub fn field_ref(reference: &Value, path: &Path, errors: &mut ErrorList) {
    check::required(errors, &path.child("apiVersion"), text(reference, "apiVersion"));
    let field = text(reference, "fieldPath");
    if !check::required(errors, &path.child("fieldPath"), field) {
        return;
    }
    // `metadata.labels['key']` names one of the labels.
    let (map, key) = match field.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) {
        Some((map, key)) => (map, Some(key)),
        None => (field, None),
    };
    let is_map = matches!(map, "metadata.labels" | "metadata.annotations");
    if !POD_FIELDS.contains(&map) || (key.is_some() && !is_map) {
        let why = format!("error converting fieldPath: field label not supported: {field}");
        errors.push(FieldError::invalid(&path.child("fieldPath"), field, &why));
    } else if let Some(key) = key {
        let key = if map == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        check::all(errors, &path.child("fieldPath"), field, validation::qualified_name(&key));
    }
}

fn env_from(source: &Value, path: &Path, errors: &mut ErrorList) {
    let prefix = text(source, "prefix");
    if !prefix.is_empty() {
        check::all(errors, &path.child("prefix"), prefix, validation::env_var_name(prefix));
    }
    let given: Vec<&str> =
        ["configMapRef", "secretRef"].into_iter().filter(|field| source[*field].is_object()).collect();
    for field in &given {
        check::required(errors, &path.child(field).child("name"), text(&source[*field], "name"));
    }
    match given.len() {
        0 => errors.push(FieldError::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
        1 => {}
        _ => errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time")),
    }
}
