//! Event of the core group, and the same under events.k8s.io.

use crate::declared::{Declared, path_segment};
use crate::tree::text;
use serde_json::Value;

pub const EVENT: Declared = Declared::new("", "Event").created_by_update().named(path_segment).selected_by(fields);

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
