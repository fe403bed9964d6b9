//! APIService: which server answers for a group's version.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, text};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::{Value, json};

pub const API_SERVICE: Declared = Declared::new("apiregistration.k8s.io", "APIService")
    .updated_with_revision()
    .named(crate::declared::path_segment)
    .defaults(|service| {
        if let Some(reference) = service.pointer_mut("/spec/service").filter(|reference| reference.is_object()) {
            default(reference, "port", 443);
        }
    })
    .creates(|service, _| {
        // A version that this server answers itself is there at once.
        if !service["spec"]["service"].is_object() {
            service["status"] = json!({"conditions": [{"type": "Available", "status": "True",
                "lastTransitionTime": service["metadata"]["creationTimestamp"],
                "reason": "Local", "message": "Local APIServices are always available"}]});
        }
    })
    .validates(validate);

fn validate(service: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let wanted = format!("{version}.{group}");
    let name = text(&service["metadata"], "name");
    if name != wanted {
        let why = "must be `spec.version+\".\"+spec.group`";
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
    }
    if !group.is_empty() {
        check::all(errors, &path.child("group"), group, validation::dns1123_subdomain(group));
    } else if version != "v1" {
        errors.push(FieldError::required(
            &path.child("group"),
            "only v1 may have an empty group and it better be legacy kube",
        ));
    }
    check::all(errors, &path.child("version"), version, validation::dns1035_label(version));
    for (field, high) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let number = spec[field].as_i64().unwrap_or_default();
        if !(1..=high).contains(&number) {
            let why = format!("must be positive and less than {high}");
            errors.push(FieldError::invalid(&path.child(field), number, &why));
        }
    }
    let reference = &spec["service"];
    if !reference.is_object() {
        if !text(spec, "caBundle").is_empty() {
            errors.push(FieldError::invalid(&path.child("caBundle"), "", "local APIServices may not have a caBundle"));
        }
        if spec["insecureSkipTLSVerify"] == true {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&path.child("insecureSkipTLSVerify"), true, why));
        }
        return;
    }
    for field in ["namespace", "name"] {
        check::required(errors, &path.child("service").child(field), text(reference, field));
    }
    if let Some(port) = reference["port"].as_i64() {
        check::all(errors, &path.child("service").child("port"), port, validation::port_number(port));
    }
    let has_bundle = !text(spec, "caBundle").is_empty();
    if spec["insecureSkipTLSVerify"] == true && has_bundle {
        let why = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&path.child("insecureSkipTLSVerify"), true, why));
    }
}
