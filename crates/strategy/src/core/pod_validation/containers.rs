//! Containers of all three lists: names, images, ports, mounts, resources.

use super::{env, probes, security};
use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;
use std::collections::BTreeSet;

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub fn validate(spec: &Value, path: &Path, errors: &mut ErrorList) {
    if items(spec, "containers").is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (at, one) in items(spec, "containers").iter().enumerate() {
        let here = path.child("containers").index(at);
        container(one, spec, &here, &mut names, errors);
        probes::container(one, &here, errors);
    }
    let sidecar = |one: &Value| text(one, "restartPolicy") == "Always";
    for (at, one) in items(spec, "initContainers").iter().enumerate() {
        let here = path.child("initContainers").index(at);
        container(one, spec, &here, &mut names, errors);
        if sidecar(one) {
            probes::container(one, &here, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if one[field].is_object() {
                let why = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&here.child(field), why));
            }
        }
    }
    host_ports(spec, "containers", |_| true, path, errors);
    host_ports(spec, "initContainers", sidecar, path, errors);
}

fn container<'v>(one: &'v Value, spec: &Value, path: &Path, names: &mut BTreeSet<&'v str>, errors: &mut ErrorList) {
    let (name, image) = (text(one, "name"), text(one, "image"));
    if check::required(errors, &path.child("name"), name) {
        check::all(errors, &path.child("name"), name, validation::dns1123_label(name));
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    if check::required(errors, &path.child("image"), image) && image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, why));
    }
    let policy = text(one, "terminationMessagePolicy");
    if !matches!(policy, "File" | "FallbackToLogsOnError") {
        let why = "must be 'File' or 'FallbackToLogsOnError'";
        errors.push(FieldError::invalid(&path.child("terminationMessagePolicy"), policy, why));
    }
    check::required_one_of(errors, &path.child("imagePullPolicy"), text(one, "imagePullPolicy"), PULL_POLICIES);
    ports(one, spec["hostNetwork"] == true, path, errors);
    env::container(one, path, errors);
    mounts(one, spec, path, errors);
    resources(&one["resources"], &path.child("resources"), errors);
    security::container(one, path, errors);
}

fn ports(one: &Value, is_host_network: bool, path: &Path, errors: &mut ErrorList) {
    let mut names: Vec<&str> = Vec::new();
    for (at, port) in items(one, "ports").iter().enumerate() {
        let (here, name) = (path.child("ports").index(at), text(port, "name"));
        if !name.is_empty() {
            let problems = validation::port_name(name);
            if problems.is_empty() && names.contains(&name) {
                errors.push(FieldError::duplicate(&here.child("name"), name));
            }
            check::all(errors, &here.child("name"), name, problems);
            names.push(name);
        }
        let number = |field: &str| port[field].as_i64().unwrap_or_default();
        let (inside, outside) = (number("containerPort"), number("hostPort"));
        match inside {
            0 => errors.push(FieldError::required(&here.child("containerPort"), "")),
            inside => check::all(errors, &here.child("containerPort"), inside, validation::port_number(inside)),
        }
        if outside != 0 {
            check::all(errors, &here.child("hostPort"), outside, validation::port_number(outside));
        }
        if is_host_network && inside != outside {
            let why = "must match `hostPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(&here.child("containerPort"), inside, why));
        }
        check::required_one_of(errors, &here.child("protocol"), text(port, "protocol"), PROTOCOLS);
    }
}

/// A port of the node can be taken once.
fn host_ports(spec: &Value, list: &str, counts: fn(&Value) -> bool, path: &Path, errors: &mut ErrorList) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (at, one) in items(spec, list).iter().enumerate().filter(|(_, one)| counts(one)) {
        for (position, port) in items(one, "ports").iter().enumerate() {
            let Some(number) = port["hostPort"].as_i64().filter(|number| *number != 0) else { continue };
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&key) {
                let here = path.child(list).index(at).child("ports").index(position).child("hostPort");
                errors.push(FieldError::duplicate(&here, key.as_str()));
            }
            taken.insert(key);
        }
    }
}

fn mounts(one: &Value, spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for (at, mount) in items(one, "volumeMounts").iter().enumerate() {
        let here = path.child("volumeMounts").index(at);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if check::required(errors, &here.child("name"), name)
            && !items(spec, "volumes").iter().any(|volume| text(volume, "name") == name)
        {
            errors.push(FieldError::not_found(&here.child("name"), name));
        }
        check::required(errors, &here.child("mountPath"), target);
        if seen.contains(&target) {
            errors.push(FieldError::invalid(&here.child("mountPath"), target, "must be unique"));
        }
        seen.push(target);
        for field in ["subPath", "subPathExpr"] {
            super::volumes::descending(text(mount, field), &here.child(field), errors);
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&here.child("subPathExpr"), text(mount, "subPathExpr"), why));
        }
        let propagation = text(mount, "mountPropagation");
        let here = here.child("mountPropagation");
        check::one_of(errors, &here, propagation, &["Bidirectional", "HostToContainer", "None"]);
        if propagation == "Bidirectional" && one["securityContext"]["privileged"] != true {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&here, why));
        }
    }
}

fn resources(resources: &Value, path: &Path, errors: &mut ErrorList) {
    let (limits, requests) = (&resources["limits"], &resources["requests"]);
    for (list, amounts) in [("limits", limits), ("requests", requests)] {
        for (name, amount) in amounts.as_object().into_iter().flatten() {
            let here = path.child(list).key(name);
            resource_name(name, &here, errors);
            if check::quantity(amount).is_some_and(|amount| amount.is_negative()) {
                let why = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(&here, amount.clone(), why));
            }
        }
    }
    for (name, request) in requests.as_object().into_iter().flatten() {
        let (Some(asked), limit) = (check::quantity(request), check::quantity(&limits[name])) else { continue };
        let here = path.child("requests");
        match limit {
            None if !overcommits(name) => {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&path.child("limits"), why));
            }
            Some(limit) if !overcommits(name) && asked != limit => {
                let why = format!("must be equal to {name} limit of {}", text(limits, name));
                errors.push(FieldError::invalid(&here, request.clone(), &why));
            }
            Some(limit) if asked > limit => {
                let why = format!("must be less than or equal to {name} limit of {}", text(limits, name));
                errors.push(FieldError::invalid(&here, request.clone(), &why));
            }
            _ => {}
        }
    }
}

fn resource_name(name: &str, path: &Path, errors: &mut ErrorList) {
    let problems = validation::qualified_name(name);
    if !problems.is_empty() {
        check::all(errors, path, name, problems);
    } else if !name.contains('/') && !is_standard(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Whether more of it may be limited than asked for: not of devices and huge pages.
fn overcommits(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.contains("kubernetes.io/")
}
