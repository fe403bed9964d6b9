//! What a pod's spec must be, in pods and in templates of them, in upstream's words.

mod claims;
mod containers;
mod env;
mod parts;
mod probes;
mod scheduling;
mod security;
#[cfg(test)]
mod tests;
mod update;
mod volumes;

pub use parts::{keep_all_but, validate as validate_part};
pub use scheduling::node_selector;
pub use update::validate_update;

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCH_PATHS: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;

/// A new pod: its spec, and what only templates or later states may have.
pub fn validate_create(pod: &Value, errors: &mut ErrorList) {
    let (spec, path) = (&pod["spec"], Path::new("spec"));
    pod_spec(spec, &path, errors);
    if !items(spec, "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !items(spec, "schedulingGates").is_empty() && !text(spec, "nodeName").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), why));
    }
}

pub fn pod_spec(spec: &Value, path: &Path, errors: &mut ErrorList) {
    volumes::validate(spec, path, errors);
    containers::validate(spec, path, errors);
    claims::validate(spec, path, errors);
    policies(spec, path, errors);
    names(spec, path, errors);
    dns_config(spec, path, errors);
    host_aliases(spec, path, errors);
    scheduling::validate(spec, path, errors);
    security::pod(spec, path, errors);
}

fn policies(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let policy = text(spec, "restartPolicy");
    check::required_one_of(errors, &path.child("restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
    let known = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    check::required_one_of(errors, &path.child("dnsPolicy"), text(spec, "dnsPolicy"), known);
    check::one_of(
        errors,
        &path.child("preemptionPolicy"),
        text(spec, "preemptionPolicy"),
        &["Never", "PreemptLowerPriority"],
    );
    check::one_of(errors, &path.child("os").child("name"), text(&spec["os"], "name"), &["linux", "windows"]);
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        let here = path.child("activeDeadlineSeconds");
        check::all(errors, &here, seconds, validation::in_range(seconds, 1, i64::from(i32::MAX)));
    }
}

fn names(spec: &Value, path: &Path, errors: &mut ErrorList) {
    type Form = fn(&str) -> Vec<String>;
    const NAMES: [(&str, Form); 7] = [
        ("serviceAccountName", validation::dns1123_subdomain),
        ("nodeName", validation::dns1123_subdomain),
        ("priorityClassName", validation::dns1123_subdomain),
        ("runtimeClassName", validation::dns1123_subdomain),
        ("hostname", validation::dns1123_label),
        ("subdomain", validation::dns1123_label),
        ("schedulerName", validation::qualified_name),
    ];
    for (field, form) in NAMES {
        let name = text(spec, field);
        if !name.is_empty() {
            check::all(errors, &path.child(field), name, form(name));
        }
    }
    check::labels(errors, &path.child("nodeSelector"), &spec["nodeSelector"]);
    let mut seen: Vec<&str> = Vec::new();
    for (at, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let (here, name) = (path.child("schedulingGates").index(at), text(gate, "name"));
        check::all(errors, &here, name, validation::qualified_name(name));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&here, name));
        }
        seen.push(name);
    }
    for (at, gate) in items(spec, "readinessGates").iter().enumerate() {
        let here = path.child("readinessGates").index(at).child("conditionType");
        let kind = text(gate, "conditionType");
        check::all(errors, &here, kind, validation::qualified_name(kind));
    }
}

fn dns_config(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let (config, here) = (&spec["dnsConfig"], path.child("dnsConfig"));
    let servers = items(config, "nameservers");
    if text(spec, "dnsPolicy") == "None" {
        if !config.is_object() {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&here, why));
            return;
        }
        if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&here.child("nameservers"), why));
        }
    }
    if servers.len() > MAX_NAMESERVERS {
        let why = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.push(FieldError::invalid(&here.child("nameservers"), servers.to_vec(), &why));
    }
    for (at, server) in servers.iter().enumerate() {
        check::ip(errors, &here.child("nameservers").index(at), server.as_str().unwrap_or_default());
    }
    let (searches, here) = (items(config, "searches"), here.child("searches"));
    if searches.len() > MAX_SEARCH_PATHS {
        let why = format!("must not have more than {MAX_SEARCH_PATHS} search paths");
        errors.push(FieldError::invalid(&here, searches.to_vec(), &why));
    }
    let texts: Vec<&str> = searches.iter().filter_map(Value::as_str).collect();
    if texts.join(" ").len() > MAX_SEARCH_CHARS {
        let why =
            format!("must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(&here, searches.to_vec(), &why));
    }
    for (at, search) in texts.iter().enumerate() {
        // A dot at the end and underscores are fine in search lists, and so is a lone dot.
        let plain = search.strip_suffix('.').unwrap_or(search).replace('_', "-");
        if !plain.is_empty() {
            check::all(errors, &here.index(at), *search, validation::dns1123_subdomain(&plain));
        }
    }
}

fn host_aliases(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, alias) in items(spec, "hostAliases").iter().enumerate() {
        let here = path.child("hostAliases").index(at);
        check::ip(errors, &here.child("ip"), text(alias, "ip"));
        for (position, name) in items(alias, "hostnames").iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            check::all(errors, &here.child("hostnames").index(position), name, validation::dns1123_subdomain(name));
        }
    }
}
