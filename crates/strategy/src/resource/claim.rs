//! What a claim may ask for, and what a class may say of its devices.

use super::names::{self, by_name, fits, itself, unique};
use crate::check;
use crate::storage::driver_name;
use crate::tree::{items, text};
use expressions::device;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

/// Upstream's numbers.
const MAX_ITEMS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MAX_PARAMETERS: usize = 10 * 1024;

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

pub fn spec(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (devices, path) = (&spec["devices"], path.child("devices"));
    let (requests, here) = (items(devices, "requests"), path.child("requests"));
    if fits(requests, MAX_ITEMS, &here, errors) {
        for (at, request) in requests.iter().enumerate() {
            self::request(request, &here.index(at), errors);
        }
        unique(requests, by_name, &here, errors);
    }
    let (constraints, here) = (items(devices, "constraints"), path.child("constraints"));
    if fits(constraints, MAX_ITEMS, &here, errors) {
        for (at, constraint) in constraints.iter().enumerate() {
            self::constraint(constraint, requests, &here.index(at), errors);
        }
    }
    let (configs, here) = (items(devices, "config"), path.child("config"));
    if fits(configs, MAX_ITEMS, &here, errors) {
        for (at, config) in configs.iter().enumerate() {
            references(config, requests, &here.index(at), errors);
            configuration(config, &here.index(at), errors);
        }
    }
}

pub fn template_spec(template: &Value, path: &Path, errors: &mut ErrorList) {
    let (meta, here) = (&template["metadata"], path.child("metadata"));
    check::labels(errors, &here.child("labels"), &meta["labels"]);
    for key in meta["annotations"].as_object().into_iter().flatten().map(|(key, _)| key) {
        let problems = validation::qualified_name(&key.to_lowercase());
        check::all(errors, &here.child("annotations"), key.as_str(), problems);
    }
    spec(&template["spec"], &path.child("spec"), errors);
}

pub fn class_spec(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let is_new = |field: &str| old.is_none_or(|old| old[field] != spec[field]);
    if is_new("selectors") {
        selectors(spec, path, errors);
    }
    let (configs, here) = (items(spec, "config"), path.child("config"));
    if is_new("config") && fits(configs, MAX_ITEMS, &here, errors) {
        for (at, config) in configs.iter().enumerate() {
            configuration(config, &here.index(at), errors);
        }
    }
    if let Some(name) = spec["extendedResourceName"].as_str().filter(|name| !is_extended_resource(name)) {
        let why = "must be a valid extended resource name";
        errors.push(FieldError::invalid(&path.child("extendedResourceName"), name, why));
    }
}

fn is_extended_resource(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let is_native = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    !is_native && !name.starts_with("requests.") && validation::qualified_name(&format!("requests.{name}")).is_empty()
}

fn request(request: &Value, path: &Path, errors: &mut ErrorList) {
    names::label(text(request, "name"), &path.child("name"), errors);
    let (alternatives, here) = (items(request, "firstAvailable"), path.child("firstAvailable"));
    match (request["exactly"].is_object(), alternatives.is_empty()) {
        (false, true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path, why));
        }
        (true, false) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, Value::Null, why));
        }
        (true, true) => wanted(&request["exactly"], &path.child("exactly"), errors),
        (false, false) if fits(alternatives, MAX_ALTERNATIVES, &here, errors) => {
            for (at, alternative) in alternatives.iter().enumerate() {
                let here = here.index(at);
                names::label(text(alternative, "name"), &here.child("name"), errors);
                wanted(alternative, &here, errors);
            }
            unique(alternatives, by_name, &here, errors);
        }
        (false, false) => {}
    }
}

/// One exact request, or one of the alternatives.
fn wanted(request: &Value, path: &Path, errors: &mut ErrorList) {
    names::class(text(request, "deviceClassName"), &path.child("deviceClassName"), errors);
    selectors(request, path, errors);
    let count = request["count"].as_i64().unwrap_or_default();
    match text(request, "allocationMode") {
        "All" if count != 0 => {
            let why = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&path.child("count"), count, why));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&path.child("count"), count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        mode => errors.push(FieldError::not_supported(&path.child("allocationMode"), mode, &["All", "ExactCount"])),
    }
    for (at, toleration) in items(request, "tolerations").iter().enumerate() {
        self::toleration(toleration, &path.child("tolerations").index(at), errors);
    }
}

fn selectors(owner: &Value, path: &Path, errors: &mut ErrorList) {
    let (selectors, here) = (items(owner, "selectors"), path.child("selectors"));
    if !fits(selectors, MAX_ITEMS, &here, errors) {
        return;
    }
    for (at, selector) in selectors.iter().enumerate() {
        let here = here.index(at).child("cel");
        match &selector["cel"] {
            cel if cel.is_object() => expression(text(cel, "expression"), &here.child("expression"), errors),
            _ => errors.push(FieldError::required(&here, "")),
        }
    }
}

fn expression(source: &str, path: &Path, errors: &mut ErrorList) {
    if source.len() > device::MAX_LENGTH {
        return errors.push(FieldError::too_long(path, device::MAX_LENGTH));
    }
    match device::compile(source) {
        Ok(program) if program.cost().max > device::MAX_COST => {
            errors.push(FieldError::forbidden(path, "too complex, exceeds cost limit"));
        }
        Ok(_) => {}
        Err(why) => errors.push(FieldError::invalid(path, source, &why)),
    }
}

fn toleration(toleration: &Value, path: &Path, errors: &mut ErrorList) {
    let (key, value, effect) = (text(toleration, "key"), text(toleration, "value"), text(toleration, "effect"));
    if !key.is_empty() {
        check::all(errors, &path.child("key"), key, validation::qualified_name(key));
    }
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(&path.child("value"), value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => check::all(errors, &path.child("value"), value, validation::label_value(value)),
        "" => errors.push(FieldError::required(&path.child("operator"), "")),
        other => errors.push(FieldError::not_supported(&path.child("operator"), other, &["Equal", "Exists"])),
    }
    check::one_of(errors, &path.child("effect"), effect, &EFFECTS);
}

pub fn taint(taint: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
    check::all(errors, &path.child("key"), key, validation::qualified_name(key));
    if !value.is_empty() {
        check::all(errors, &path.child("value"), value, validation::label_value(value));
    }
    if old.is_none_or(|old| text(old, "effect") != effect) {
        check::required_one_of(errors, &path.child("effect"), effect, &EFFECTS);
    }
}

fn constraint(constraint: &Value, requests: &[Value], path: &Path, errors: &mut ErrorList) {
    references(constraint, requests, path, errors);
    match (constraint["matchAttribute"].as_str(), constraint["distinctAttribute"].as_str()) {
        (Some(name), _) => names::fully_qualified(name, &path.child("matchAttribute"), errors),
        (None, Some(name)) => names::fully_qualified(name, &path.child("distinctAttribute"), errors),
        (None, None) => errors.push(FieldError::required(&path.child("matchAttribute"), "")),
    }
}

/// The requests that a constraint or configuration is about.
pub fn references(owner: &Value, requests: &[Value], path: &Path, errors: &mut ErrorList) {
    let (list, here) = (items(owner, "requests"), path.child("requests"));
    if !fits(list, MAX_ITEMS, &here, errors) {
        return;
    }
    for (at, name) in list.iter().enumerate() {
        reference(name.as_str().unwrap_or_default(), requests, &here.index(at), errors);
    }
    unique(list, itself, &here, errors);
}

/// `request`, or `request/alternative`.
pub fn reference(name: &str, requests: &[Value], path: &Path, errors: &mut ErrorList) {
    let unknown = || {
        let why =
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        FieldError::invalid(path, name, why)
    };
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 2 {
        return errors.push(unknown());
    }
    parts.iter().for_each(|part| names::label(part, path, errors));
    let request = requests.iter().find(|request| text(request, "name") == parts[0]);
    let is_known = request.is_some_and(|request| {
        let alternatives = items(request, "firstAvailable");
        parts.get(1).is_none_or(|wanted| alternatives.iter().any(|one| text(one, "name") == *wanted))
    });
    if !is_known {
        errors.push(unknown());
    }
}

pub fn configuration(config: &Value, path: &Path, errors: &mut ErrorList) {
    let (opaque, here) = (&config["opaque"], path.child("opaque"));
    if !opaque.is_object() {
        return errors.push(FieldError::required(&here, ""));
    }
    driver_name(text(opaque, "driver"), &here.child("driver"), errors);
    names::opaque(&opaque["parameters"], MAX_PARAMETERS, &here.child("parameters"), errors);
}
