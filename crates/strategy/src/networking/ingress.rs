//! Ingress and IngressClass.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default_text, items, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

const GROUP: &str = "networking.k8s.io";
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub const INGRESS: Declared =
    Declared::new(GROUP, "Ingress").with_generation().validates(ingress).warns(|ingress, _, warnings| {
        if ingress["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some() {
            let why =
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
            warnings.push(why.to_owned());
        }
    });

pub const INGRESS_CLASS: Declared = Declared::new(GROUP, "IngressClass")
    .with_generation()
    .defaults(|class| {
        if let Some(parameters) = class.pointer_mut("/spec/parameters").filter(|parameters| parameters.is_object()) {
            default_text(parameters, "scope", "Cluster");
        }
    })
    .validates(ingress_class);

fn ingress(ingress: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&ingress["spec"], Path::new("spec"));
    let annotated = ingress["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    if let Some(class) = annotated.filter(|_| old.is_none() && spec["ingressClassName"].is_string()) {
        let here = Path::new("annotations").child(CLASS_ANNOTATION);
        errors.push(FieldError::invalid(&here, class, "can not be set when the class field is also set"));
    }
    if items(spec, "rules").is_empty() && !spec["defaultBackend"].is_object() {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, spec.clone(), why));
    }
    if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"], &path.child("defaultBackend"), errors);
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        check::all(errors, &path.child("ingressClassName"), class, validation::dns1123_subdomain(class));
    }
    for (at, rule) in items(spec, "rules").iter().enumerate() {
        let here = path.child("rules").index(at);
        host(text(rule, "host"), &here.child("host"), errors);
        if rule["http"].is_object() && items(&rule["http"], "paths").is_empty() {
            errors.push(FieldError::required(&here.child("http").child("paths"), ""));
        }
        for (at, one) in items(&rule["http"], "paths").iter().enumerate() {
            self::path(one, &here.child("http").child("paths").index(at), errors);
        }
    }
    for (at, tls) in items(spec, "tls").iter().enumerate() {
        for (position, name) in items(tls, "hosts").iter().enumerate() {
            let here = path.child("tls").index(at).child("hosts").index(position);
            host(name.as_str().unwrap_or_default(), &here, errors);
        }
    }
}

fn host(host: &str, path: &Path, errors: &mut ErrorList) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        errors.push(FieldError::invalid(path, host, "must be a DNS name, not an IP address"));
    }
    let problems = match host.contains('*') {
        true => validation::wildcard_dns1123_subdomain(host),
        false => validation::dns1123_subdomain(host),
    };
    check::all(errors, path, host, problems);
}

fn path(one: &Value, path: &Path, errors: &mut ErrorList) {
    const PARTS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const ENDS: [&str; 2] = ["/..", "/."];
    let (kind, text) = (text(one, "pathType"), text(one, "path"));
    let here = path.child("path");
    match kind {
        "" => errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified")),
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                errors.push(FieldError::invalid(&here, text, "must be an absolute path"));
            }
            if !text.is_empty() {
                for part in PARTS.iter().filter(|part| text.contains(*part)) {
                    errors.push(FieldError::invalid(&here, text, &format!("must not contain '{part}'")));
                }
                for end in ENDS.iter().filter(|end| text.ends_with(*end)) {
                    errors.push(FieldError::invalid(&here, text, &format!("cannot end with '{end}'")));
                }
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                errors.push(FieldError::invalid(&here, text, "must be an absolute path"));
            }
        }
        other => {
            let known = &["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(&path.child("pathType"), other, known));
        }
    }
    backend(&one["backend"], &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut ErrorList) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_object(), resource.is_object()) {
        (true, true) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (false, false) => errors.push(FieldError::required(path, "resource or service backend is required")),
        (false, true) => {
            for field in ["kind", "name"] {
                check::required(errors, &path.child("resource").child(field), text(resource, field));
            }
        }
        (true, false) => service_backend(service, &path.child("service"), errors),
    }
}

fn service_backend(service: &Value, path: &Path, errors: &mut ErrorList) {
    let name = text(service, "name");
    if check::required(errors, &path.child("name"), name) {
        check::all(errors, &path.child("name"), name, validation::dns1035_label(name));
    }
    let (port, here) = (&service["port"], path.child("port"));
    let (name, number) = (text(port, "name"), port["number"].as_i64().unwrap_or_default());
    match (name.is_empty(), number) {
        (true, 0) => errors.push(FieldError::required(&here, "port name or number is required")),
        (true, number) => check::all(errors, &here.child("number"), number, validation::port_number(number)),
        (false, 0) => check::all(errors, &here.child("name"), name, validation::port_name(name)),
        (false, _) => errors.push(FieldError::invalid(&here, "", "cannot set both port name & port number")),
    }
}

fn ingress_class(class: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (path, controller) = (Path::new("spec").child("controller"), text(&class["spec"], "controller"));
    if !controller.is_empty() || old.is_none() {
        check::required(errors, &path, controller);
    }
    if let Some(old) = old {
        check::immutable(errors, &path, &class["spec"]["controller"], &old["spec"]["controller"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_lead_somewhere() {
        let service = json!({"service": {"name": "a", "port": {"number": 80}}});
        for (spec, expected) in [
            (json!({"defaultBackend": service}), ""),
            (
                json!({"rules": [{"host": "*.a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]}}]}),
                "",
            ),
            (
                json!({"rules": [{"host": "1.2.3.4"}]}),
                "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
            ),
            (
                json!({"rules": [{"http": {"paths": [{"path": "/", "backend": service}]}}]}),
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            ),
            (
                json!({"defaultBackend": {}}),
                "spec.defaultBackend: Required value: resource or service backend is required",
            ),
        ] {
            let mut errors = ErrorList::new();
            ingress(&json!({"spec": spec}), None, &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("; "), expected);
        }
    }
}
