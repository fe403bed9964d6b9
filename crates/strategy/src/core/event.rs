//! Event of the core group, and the same under events.k8s.io.

use crate::declared::{Declared, path_segment};
use crate::tree::text;
use serde_json::Value;

pub const EVENT: Declared = Declared::new("", "Event").created_by_update().named(path_segment).selected_by(fields);

fn fields(event: &Value) -> Vec<(&'static str, String)> {
    let object = &event["involvedObject"];
    let own = |field: &str| text(event, field).to_owned();
    let of = |field: &str| text(object, field).to_owned();
    let component = text(&event["source"], "component");
    let source = if component.is_empty() { text(event, "reportingComponent") } else { component };
    vec![
        ("involvedObject.kind", of("kind")),
        ("involvedObject.namespace", of("namespace")),
        ("involvedObject.name", of("name")),
        ("involvedObject.uid", of("uid")),
        ("involvedObject.apiVersion", of("apiVersion")),
        ("involvedObject.resourceVersion", of("resourceVersion")),
        ("involvedObject.fieldPath", of("fieldPath")),
        ("reason", own("reason")),
        ("reportingComponent", own("reportingComponent")),
        ("source", source.to_owned()),
        ("type", own("type")),
    ]
}
