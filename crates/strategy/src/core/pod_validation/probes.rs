//! Probes and lifecycle hooks.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

pub fn container(one: &Value, path: &Path, errors: &mut ErrorList) {
    for hook in ["postStart", "preStop"] {
        let action = &one["lifecycle"][hook];
        if action.is_object() {
            handler(action, &["exec", "httpGet", "tcpSocket", "sleep"], &path.child("lifecycle").child(hook), errors);
        }
    }
    for (name, must_succeed_once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        if !one[name].is_object() {
            continue;
        }
        let here = path.child(name);
        probe(&one[name], &here, errors);
        if must_succeed_once && one[name]["successThreshold"].as_i64().is_some_and(|times| times != 1) {
            let times = one[name]["successThreshold"].clone();
            errors.push(FieldError::invalid(&here.child("successThreshold"), times, "must be 1"));
        }
    }
    if !one["readinessProbe"]["terminationGracePeriodSeconds"].is_null() {
        let here = path.child("readinessProbe").child("terminationGracePeriodSeconds");
        let value = one["readinessProbe"]["terminationGracePeriodSeconds"].clone();
        errors.push(FieldError::invalid(&here, value, "must not be set for readinessProbes"));
    }
}

fn probe(probe: &Value, path: &Path, errors: &mut ErrorList) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        check::non_negative(errors, path, probe, field);
    }
    if let Some(seconds) = probe["terminationGracePeriodSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
        let here = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&here, seconds, "must be greater than 0"));
    }
}

fn handler(action: &Value, kinds: &[&str], path: &Path, errors: &mut ErrorList) {
    let mut given = kinds.iter().filter(|kind| action[**kind].is_object());
    let Some(kind) = given.next() else {
        errors.push(FieldError::required(path, "must specify a handler type"));
        return;
    };
    for more in given {
        errors.push(FieldError::forbidden(&path.child(more), "may not specify more than 1 handler type"));
    }
    let (one, here) = (&action[*kind], path.child(kind));
    match *kind {
        "exec" if items(one, "command").is_empty() => errors.push(FieldError::required(&here.child("command"), "")),
        "httpGet" => {
            check::required(errors, &here.child("path"), text(one, "path"));
            check::port(errors, &here.child("port"), &one["port"]);
            check::required_one_of(errors, &here.child("scheme"), text(one, "scheme"), &["HTTP", "HTTPS"]);
            for (at, header) in items(one, "httpHeaders").iter().enumerate() {
                let (here, name) = (here.child("httpHeaders").index(at).child("name"), text(header, "name"));
                check::all(errors, &here, name, validation::http_header_name(name));
            }
        }
        "tcpSocket" => check::port(errors, &here.child("port"), &one["port"]),
        "grpc" => {
            let port = one["port"].as_i64().unwrap_or_default();
            check::all(errors, &here.child("port"), port, validation::port_number(port));
        }
        _ => {}
    }
}
