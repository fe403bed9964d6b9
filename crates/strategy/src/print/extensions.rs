//! What the API is extended by: definitions and servers of its own.

use super::cells::{age, at, condition, name};
use super::{AGE, NAME, Printer, column, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::Value;

pub const API_SERVICE: Printer = Printer {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    columns: &[NAME, text("Service"), text("Available"), AGE],
    cells: api_service,
};

pub const DEFINITION: Printer = Printer {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    columns: &[NAME, text("Scope"), text("Versions"), column("Created At", "date", 0), wide("Group"), wide("Kind")],
    cells: definition,
};

fn api_service(service: &Value, now: Timestamp) -> Vec<Value> {
    let reference = &service["spec"]["service"];
    let place = match reference.is_object() {
        true => format!("{}/{}", text_of(reference, "namespace"), text_of(reference, "name")),
        false => "Local".to_owned(),
    };
    let status = condition(service, "Available");
    let conditions = items(&service["status"], "conditions");
    let reason = conditions.iter().find(|one| one["type"] == "Available").map_or("", |one| text_of(one, "reason"));
    let available = match status {
        "" => "Unknown".to_owned(),
        "True" => status.to_owned(),
        _ if reason.is_empty() => status.to_owned(),
        _ => format!("{status} ({reason})"),
    };
    vec![name(service), place.into(), available.into(), age(service, now)]
}

fn definition(definition: &Value, _now: Timestamp) -> Vec<Value> {
    let spec = &definition["spec"];
    let served = items(spec, "versions").iter().filter(|version| version["served"] == true);
    let mut versions: Vec<String> = served
        .map(|version| {
            let mark = if version["storage"] == true { "(storage)" } else { "" };
            format!("{}{mark}", text_of(version, "name"))
        })
        .collect();
    versions.sort_unstable();
    vec![
        name(definition),
        spec["scope"].clone(),
        versions.join(",").into(),
        definition["metadata"]["creationTimestamp"].clone(),
        text_of(spec, "group").into(),
        at(definition, "/spec/names/kind").into(),
    ]
}
