//! Event of the core group, and the same under events.k8s.io.

use crate::declared::{Declared, path_segment};
use crate::tree::text;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;

pub const EVENT: Declared =
    Declared::new("", "Event").created_by_update().named(path_segment).validates(validate).selected_by(fields);

/// In characters, as upstream counts bytes of them.
const LONGEST_WORD: usize = 128;
const LONGEST_MESSAGE: usize = 1024;

/// What holds in every version. Events of the newer sort have an eventTime, and more to say.
fn validate(event: &Value, _: Option<&Value>, errors: &mut ErrorList) {
    let (own, about) = (text(&event["metadata"], "namespace"), text(&event["involvedObject"], "namespace"));
    let is_new = !text(event, "eventTime").is_empty();
    let fits = match (about.is_empty(), is_new) {
        (true, false) => matches!(own, "" | "default"),
        (true, true) => matches!(own, "default" | "kube-system"),
        (false, false) => own == about,
        (false, true) => true,
    };
    if !fits {
        let path = Path::new("involvedObject").child("namespace");
        errors.push(FieldError::invalid(&path, about, "does not match event.namespace"));
    }
    if is_new {
        validate_new(event, errors);
    }
    for why in validation::dns1123_subdomain(own) {
        errors.push(FieldError::invalid(&Path::new("namespace"), own, &why));
    }
}

fn validate_new(event: &Value, errors: &mut ErrorList) {
    let reporter = (Path::new("reportingComponent"), text(event, "reportingComponent"));
    if reporter.1.is_empty() {
        errors.push(FieldError::required(&reporter.0, ""));
    }
    for why in validation::qualified_name(reporter.1) {
        errors.push(FieldError::invalid(&reporter.0, reporter.1, &why));
    }
    for field in ["reportingInstance", "action", "reason"] {
        let (path, said) = (Path::new(field), text(event, field));
        if said.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        if said.len() > LONGEST_WORD {
            errors.push(FieldError::invalid(&path, "", &format!("can have at most {LONGEST_WORD} characters")));
        }
    }
    if text(event, "message").len() > LONGEST_MESSAGE {
        let why = format!("can have at most {LONGEST_MESSAGE} characters");
        errors.push(FieldError::invalid(&Path::new("message"), "", &why));
    }
}

fn fields(event: &Value) -> crate::Fields {
    let object = &event["involvedObject"];
    let own = |field: &str| text(event, field).to_owned();
    let of = |field: &str| text(object, field).to_owned();
    let component = text(&event["source"], "component");
    let source = if component.is_empty() { text(event, "reportingComponent") } else { component };
    vec![
        ("involvedObject.kind".into(), of("kind")),
        ("involvedObject.namespace".into(), of("namespace")),
        ("involvedObject.name".into(), of("name")),
        ("involvedObject.uid".into(), of("uid")),
        ("involvedObject.apiVersion".into(), of("apiVersion")),
        ("involvedObject.resourceVersion".into(), of("resourceVersion")),
        ("involvedObject.fieldPath".into(), of("fieldPath")),
        ("reason".into(), own("reason")),
        ("reportingComponent".into(), own("reportingComponent")),
        ("source".into(), source.to_owned()),
        ("type".into(), own("type")),
    ]
}
