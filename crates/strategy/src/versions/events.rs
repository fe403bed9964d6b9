//! events.k8s.io/v1: Events with the words of their own group, kept as those of the core group.

use super::{Hub, Version, rename};
use serde_json::Value;

const HUB: Hub = Hub { group: "", version: "v1", plural: "events", kind: "Event" };

pub const V1: Version = Version::new("events.k8s.io", "v1", "Event", HUB).converts(up, down).selected_as(LABELS);

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
