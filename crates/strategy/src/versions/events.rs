//! events.k8s.io/v1: Events with the words of their own group, kept as those of the core group.

use super::{Hub, Version, rename};
use crate::check;
use crate::tree::text;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

const HUB: Hub = Hub { group: "", version: "v1", plural: "events", kind: "Event" };

pub const V1: Version =
    Version::new("events.k8s.io", "v1", "Event", HUB).converts(up, down).selected_as(LABELS).checks(check);

/// The name in this group, and in the core group.
const FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) const LABELS: &[(&str, &str)] = &[
    ("reason", "reason"),
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
    ("type", "type"),
];

pub(super) fn up(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else { return };
    FIELDS.iter().for_each(|(own, core)| rename(fields, own, core));
}

pub(super) fn down(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else { return };
    FIELDS.iter().for_each(|(own, core)| rename(fields, core, own));
}

/// Only the series of an event may change later on.
const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "eventTime",
    "type",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

/// Stricter than the core group. Upstream names fields as they are stored here, too, but for the one
/// that all events must have.
fn check(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    for error in errors.iter_mut().filter(|error| error.path.as_str() == "reportingComponent") {
        error.path = Path::new("reportingController");
    }
    match old {
        None => check_create(new, errors),
        Some(old) => {
            if new["series"] != old["series"] {
                check_series(&new["series"], errors);
            }
            for field in FIXED {
                let name = if field == "reportingComponent" { "reportingController" } else { field };
                check::immutable(errors, &Path::new(name), &new[field], &old[field]);
            }
        }
    }
}

fn check_create(event: &Value, errors: &mut ErrorList) {
    check_series(&event["series"], errors);
    if text(event, "eventTime").is_empty() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&Path::new("type"), "", &format!("has invalid value: {kind}")));
    }
    let unset = |value: &Value| match value {
        Value::Null => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.values().all(|value| value == ""),
        _ => false,
    };
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !unset(&event[field]) {
            errors.push(FieldError::invalid(&Path::new(field), "", "needs to be unset"));
        }
    }
}

fn check_series(series: &Value, errors: &mut ErrorList) {
    if !series.is_object() {
        return;
    }
    if series["count"].as_i64().unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&Path::new("series").child("count"), "", "should be at least 2"));
    }
    if text(series, "lastObservedTime").is_empty() {
        errors.push(FieldError::required(&Path::new("series").child("lastObservedTime"), ""));
    }
}
