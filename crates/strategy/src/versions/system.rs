//! Storage, leases, priorities and the rest as they were before they were stable.

use super::{Hub, Version, at, events, rename};
use crate::tree::items_mut;
use serde_json::{Map, Value, json};

const STORAGE: &str = "storage.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";

const fn storage(plural: &'static str, kind: &'static str) -> Hub {
    Hub { group: STORAGE, version: "v1", plural, kind }
}

const CLASS: Hub = storage("storageclasses", "StorageClass");
const DRIVER: Hub = storage("csidrivers", "CSIDriver");
const NODE: Hub = storage("csinodes", "CSINode");
const ATTACHMENT: Hub = storage("volumeattachments", "VolumeAttachment");
const CAPACITY: Hub = storage("csistoragecapacities", "CSIStorageCapacity");
const LEASE: Hub = Hub { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease" };
const SLICE: Hub = Hub { group: "discovery.k8s.io", version: "v1", plural: "endpointslices", kind: "EndpointSlice" };
const EVENT: Hub = Hub { group: "", version: "v1", plural: "events", kind: "Event" };
const PRIORITY: Hub =
    Hub { group: "scheduling.k8s.io", version: "v1", plural: "priorityclasses", kind: "PriorityClass" };
const RUNTIME: Hub = Hub { group: "node.k8s.io", version: "v1", plural: "runtimeclasses", kind: "RuntimeClass" };
const SCHEMA: Hub = Hub { group: FLOW, version: "v1", plural: "flowschemas", kind: "FlowSchema" };
const LEVEL: Hub =
    Hub { group: FLOW, version: "v1", plural: "prioritylevelconfigurations", kind: "PriorityLevelConfiguration" };
const AUTOSCALER: Hub =
    Hub { group: "autoscaling", version: "v2", plural: "horizontalpodautoscalers", kind: "HorizontalPodAutoscaler" };

pub const ALL: &[Version] = &[
    Version::new(STORAGE, "v1beta1", "StorageClass", CLASS),
    Version::new(STORAGE, "v1beta1", "CSIDriver", DRIVER),
    Version::new(STORAGE, "v1beta1", "CSINode", NODE),
    Version::new(STORAGE, "v1beta1", "VolumeAttachment", ATTACHMENT),
    Version::new(STORAGE, "v1beta1", "CSIStorageCapacity", CAPACITY),
    Version::new("coordination.k8s.io", "v1beta1", "Lease", LEASE),
    Version::new("discovery.k8s.io", "v1beta1", "EndpointSlice", SLICE).converts(slice_up, slice_down),
    Version::new("events.k8s.io", "v1beta1", "Event", EVENT)
        .converts(events::up, events::down)
        .selected_as(events::LABELS),
    Version::new("scheduling.k8s.io", "v1beta1", "PriorityClass", PRIORITY),
    Version::new("node.k8s.io", "v1beta1", "RuntimeClass", RUNTIME),
    Version::new("node.k8s.io", "v1alpha1", "RuntimeClass", RUNTIME).converts(runtime_up, runtime_down),
    Version::new(FLOW, "v1beta1", "FlowSchema", SCHEMA),
    Version::new(FLOW, "v1beta2", "FlowSchema", SCHEMA),
    Version::new(FLOW, "v1beta3", "FlowSchema", SCHEMA),
    Version::new(FLOW, "v1beta1", "PriorityLevelConfiguration", LEVEL).converts(shares_up, shares_down),
    Version::new(FLOW, "v1beta2", "PriorityLevelConfiguration", LEVEL).converts(shares_up, shares_down),
    Version::new(FLOW, "v1beta3", "PriorityLevelConfiguration", LEVEL),
    Version::new("autoscaling", "v2beta2", "HorizontalPodAutoscaler", AUTOSCALER),
];

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn slice_up(slice: &mut Value) {
    for endpoint in items_mut(slice, "endpoints") {
        let Some(fields) = endpoint.as_object_mut() else { continue };
        let Some(Value::Object(mut topology)) = fields.remove("topology") else { continue };
        for (label, field) in [(HOST, "nodeName"), (ZONE, "zone")] {
            if let Some(value) = topology.remove(label) {
                fields.entry(field).or_insert(value);
            }
        }
        if !topology.is_empty() {
            fields.insert("deprecatedTopology".to_owned(), topology.into());
        }
    }
}

fn slice_down(slice: &mut Value) {
    for endpoint in items_mut(slice, "endpoints") {
        let Some(fields) = endpoint.as_object_mut() else { continue };
        let mut topology = match fields.remove("deprecatedTopology") {
            Some(Value::Object(topology)) => topology,
            _ => Map::new(),
        };
        topology.extend(fields.get("nodeName").map(|node| (HOST.to_owned(), node.clone())));
        topology.extend(fields.remove("zone").map(|zone| (ZONE.to_owned(), zone)));
        if !topology.is_empty() {
            fields.insert("topology".to_owned(), topology.into());
        }
    }
}

fn runtime_up(class: &mut Value) {
    let Some(fields) = class.as_object_mut() else { return };
    let Some(Value::Object(mut spec)) = fields.remove("spec") else { return };
    rename(&mut spec, "runtimeHandler", "handler");
    fields.extend(spec);
}

fn runtime_down(class: &mut Value) {
    let Some(fields) = class.as_object_mut() else { return };
    let mut spec = Map::new();
    for (name, old) in [("handler", "runtimeHandler"), ("overhead", "overhead"), ("scheduling", "scheduling")] {
        spec.extend(fields.remove(name).map(|value| (old.to_owned(), value)));
    }
    fields.insert("spec".to_owned(), json!(spec));
}

fn shares_up(level: &mut Value) {
    at(level, &["spec", "limited"])
        .into_iter()
        .for_each(|limited| rename(limited, "assuredConcurrencyShares", "nominalConcurrencyShares"));
}

fn shares_down(level: &mut Value) {
    at(level, &["spec", "limited"])
        .into_iter()
        .for_each(|limited| rename(limited, "nominalConcurrencyShares", "assuredConcurrencyShares"));
}
