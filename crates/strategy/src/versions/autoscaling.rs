//! autoscaling/v1: an autoscaler that knows of CPU alone. Whatever else one has stands in
//! annotations, so that it comes back unharmed from a client of this version.

use super::{Hub, Version};
use crate::tree::text;
use serde_json::{Map, Value, json};

const HUB: Hub =
    Hub { group: "autoscaling", version: "v2", plural: "horizontalpodautoscalers", kind: "HorizontalPodAutoscaler" };

pub const V1: Version = Version::new("autoscaling", "v1", "HorizontalPodAutoscaler", HUB).converts(up, down);

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Where a source's target, or what was measured, stands in the flat form.
const TARGETS: [(&str, &str); 3] =
    [("value", "Value"), ("averageValue", "AverageValue"), ("averageUtilization", "AverageUtilization")];

fn up(object: &mut Value) {
    let mut taken = |name: &str| {
        let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)?;
        let text = annotations.remove(name)?;
        serde_json::from_str::<Value>(text.as_str()?).ok()
    };
    let (metrics, current, conditions, behavior) = (taken(METRICS), taken(CURRENT), taken(CONDITIONS), taken(BEHAVIOR));
    drop_empty_annotations(object);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let mut all: Vec<Value> = Vec::new();
        if let Some(percent) = spec.remove("targetCPUUtilizationPercentage") {
            all.push(json!({"type": "Resource", "resource":
                {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}));
        }
        all.extend(list(metrics).iter().map(|metric| nested(metric, "target", "target")));
        if !all.is_empty() {
            spec.insert("metrics".to_owned(), all.into());
        }
        spec.extend(behavior.map(|behavior| ("behavior".to_owned(), behavior)));
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let percent = status.remove("currentCPUUtilizationPercentage");
        let mut all: Vec<Value> = list(current).iter().map(|metric| nested(metric, "current", "current")).collect();
        if let Some(percent) = percent.filter(|_| all.is_empty()) {
            all.push(
                json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}),
            );
        }
        if !all.is_empty() {
            status.insert("currentMetrics".to_owned(), all.into());
        }
        status.extend(conditions.map(|conditions| ("conditions".to_owned(), conditions)));
    }
}

fn down(object: &mut Value) {
    let mut notes: Vec<(&str, Value)> = Vec::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let all = list(spec.remove("metrics"));
        let percent = all.iter().find_map(|metric| utilization(metric, "target"));
        spec.extend(percent.map(|percent| ("targetCPUUtilizationPercentage".to_owned(), percent.clone())));
        let others = all.iter().filter(|metric| utilization(metric, "target").is_none());
        notes.push((METRICS, others.map(|metric| flat(metric, "target", "target")).collect()));
        notes.extend(spec.remove("behavior").map(|behavior| (BEHAVIOR, behavior)));
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let all = list(status.remove("currentMetrics"));
        let percent = all.iter().find_map(|metric| utilization(metric, "current"));
        status.extend(percent.map(|percent| ("currentCPUUtilizationPercentage".to_owned(), percent.clone())));
        // The CPU's too: its raw value has no other place.
        notes.push((CURRENT, all.iter().map(|metric| flat(metric, "current", "current")).collect()));
        notes.extend(status.remove("conditions").map(|conditions| (CONDITIONS, conditions)));
    }
    notes.retain(|(_, note)| note.as_array().is_none_or(|list| !list.is_empty()));
    if notes.is_empty() {
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.extend(notes.into_iter().map(|(name, note)| (name.to_owned(), note.to_string().into())));
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn drop_empty_annotations(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        metadata.remove("annotations");
    }
}

/// The percentage of CPU that a metric is about, if it is.
fn utilization<'m>(metric: &'m Value, part: &str) -> Option<&'m Value> {
    let resource = metric.get("resource").filter(|_| text(metric, "type") == "Resource")?;
    if text(resource, "name") != "cpu" {
        return None;
    }
    resource.get(part)?.get("averageUtilization")
}

/// The field that holds a metric's source.
fn source_of(metric: &Value) -> &'static str {
    match text(metric, "type") {
        "Object" => "object",
        "Pods" => "pods",
        "ContainerResource" => "containerResource",
        "External" => "external",
        _ => "resource",
    }
}

/// v2 to the flat form: `target: {averageValue}` becomes `targetAverageValue`.
fn flat(metric: &Value, part: &str, prefix: &str) -> Value {
    let source = source_of(metric);
    let mut out = Map::new();
    let Some(from) = metric.get(source).and_then(Value::as_object) else { return metric.clone() };
    for (name, value) in from {
        match name.as_str() {
            "metric" => {
                let selector = if source == "external" { "metricSelector" } else { "selector" };
                out.insert("metricName".to_owned(), value["name"].clone());
                out.extend(value.get("selector").map(|labels| (selector.to_owned(), labels.clone())));
            }
            "describedObject" => {
                out.insert("target".to_owned(), value.clone());
            }
            name if name == part => {
                for (field, suffix) in TARGETS {
                    let Some(number) = value.get(field) else { continue };
                    // An object's average stands bare.
                    let bare = source == "object" && field == "averageValue";
                    let name = if bare { field.to_owned() } else { format!("{prefix}{suffix}") };
                    out.insert(name, number.clone());
                }
            }
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    json!({"type": metric["type"], source: out})
}

/// The flat form to v2.
fn nested(metric: &Value, part: &str, prefix: &str) -> Value {
    let source = source_of(metric);
    let Some(from) = metric.get(source).and_then(Value::as_object) else { return metric.clone() };
    let (mut out, mut about, mut target) = (Map::new(), Map::new(), Map::new());
    for (name, value) in from {
        let wanted = TARGETS.iter().find(|(field, suffix)| {
            *name == format!("{prefix}{suffix}") || (source == "object" && *field == "averageValue" && name == field)
        });
        match (name.as_str(), wanted) {
            (_, Some((field, _))) => {
                target.insert((*field).to_owned(), value.clone());
            }
            ("metricName", _) => {
                about.insert("name".to_owned(), value.clone());
            }
            ("metricSelector" | "selector", _) => {
                about.insert("selector".to_owned(), value.clone());
            }
            ("target", _) if source == "object" => {
                out.insert("describedObject".to_owned(), value.clone());
            }
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    if part == "target" {
        let kind = match () {
            () if target.contains_key("averageUtilization") => "Utilization",
            () if target.contains_key("averageValue") => "AverageValue",
            () => "Value",
        };
        target.insert("type".to_owned(), kind.into());
    }
    if !about.is_empty() {
        out.insert("metric".to_owned(), about.into());
    }
    out.insert(part.to_owned(), target.into());
    json!({"type": metric["type"], source: out})
}
