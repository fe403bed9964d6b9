//! What the cluster is organised with: namespaces, settings, events, leases, quotas, devices.

use super::cells::{age, at, at_or, len, name, number, since};
use super::{AGE, NAME, Printer, boolean, formatted, integer, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::Value;

const DRA: &str = "resource.k8s.io";

pub const NAMESPACE: Printer = Printer {
    group: "",
    kind: "Namespace",
    columns: &[NAME, text("Status"), AGE],
    cells: |namespace, now| vec![name(namespace), at_or(namespace, "/status/phase", ""), age(namespace, now)],
};

pub const SECRET: Printer = Printer {
    group: "",
    kind: "Secret",
    columns: &[NAME, text("Type"), text("Data"), AGE],
    cells: |secret, now| vec![name(secret), secret["type"].clone(), len(secret, "/data").into(), age(secret, now)],
};

pub const CONFIG_MAP: Printer = Printer {
    group: "",
    kind: "ConfigMap",
    columns: &[NAME, text("Data"), AGE],
    cells: |map, now| vec![name(map), (len(map, "/data") + len(map, "/binaryData")).into(), age(map, now)],
};

pub const RESOURCE_QUOTA: Printer = Printer {
    group: "",
    kind: "ResourceQuota",
    columns: &[NAME, text("Request"), text("Limit"), AGE],
    cells: |quota, now| vec![name(quota), usage(quota, false).into(), usage(quota, true).into(), age(quota, now)],
};

pub const COMPONENT_STATUS: Printer = Printer {
    group: "",
    kind: "ComponentStatus",
    columns: &[NAME, text("Status"), text("Message"), text("Error")],
    cells: |component, _| {
        let healthy = items(component, "conditions").iter().find(|condition| text_of(condition, "type") == "Healthy");
        let (status, message, error) = match healthy {
            Some(found) if text_of(found, "status") == "True" => {
                ("Healthy", text_of(found, "message"), text_of(found, "error"))
            }
            Some(found) => ("Unhealthy", text_of(found, "message"), text_of(found, "error")),
            None => ("Unknown", "", ""),
        };
        vec![name(component), status.into(), message.into(), error.into()]
    },
};

pub const EVENT: Printer = Printer {
    group: "",
    kind: "Event",
    columns: &[
        text("Last Seen"),
        text("Type"),
        text("Reason"),
        text("Object"),
        wide("Subobject"),
        wide("Source"),
        text("Message"),
        wide("First Seen"),
        wide("Count"),
        formatted("Name", "string", 1, "name"),
    ],
    cells: event,
};

pub const EVENTS_EVENT: Printer = Printer { group: "events.k8s.io", ..EVENT };

pub const LEASE: Printer = Printer {
    group: "coordination.k8s.io",
    kind: "Lease",
    columns: &[NAME, text("Holder"), AGE],
    cells: |lease, now| vec![name(lease), at_or(lease, "/spec/holderIdentity", ""), age(lease, now)],
};

pub const PRIORITY_CLASS: Printer = Printer {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    columns: &[NAME, integer("Value"), boolean("Global-Default"), AGE, text("PreemptionPolicy")],
    cells: |class, now| {
        vec![
            name(class),
            number(class, "/value").into(),
            (class["globalDefault"] == true).into(),
            age(class, now),
            at_or(class, "/preemptionPolicy", ""),
        ]
    },
};

pub const DEVICE_CLASS: Printer = Printer {
    group: DRA,
    kind: "DeviceClass",
    columns: &[NAME, AGE],
    cells: |class, now| vec![name(class), age(class, now)],
};

pub const RESOURCE_CLAIM: Printer = Printer {
    group: DRA,
    kind: "ResourceClaim",
    columns: &[NAME, text("State"), AGE],
    cells: |claim, now| {
        let is_deleted = super::cells::is_deleting(claim);
        let is_allocated = claim["status"]["allocation"].is_object();
        let states = [
            (is_deleted, "deleted"),
            (!is_deleted && !is_allocated, "pending"),
            (is_allocated, "allocated"),
            (len(claim, "/status/reservedFor") > 0, "reserved"),
        ];
        let states: Vec<&str> = states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state).collect();
        vec![name(claim), states.join(",").into(), age(claim, now)]
    },
};

pub const RESOURCE_CLAIM_TEMPLATE: Printer = Printer { kind: "ResourceClaimTemplate", ..DEVICE_CLASS };

pub const RESOURCE_SLICE: Printer = Printer {
    group: DRA,
    kind: "ResourceSlice",
    columns: &[NAME, text("Node"), text("Driver"), text("Pool"), AGE],
    cells: |slice, now| {
        let spec = |pointer: &str| at_or(&slice["spec"], pointer, "");
        vec![name(slice), spec("/nodeName"), spec("/driver"), spec("/pool/name"), age(slice, now)]
    },
};

/// Events of both groups: the newer one calls some fields otherwise.
fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |old: &str, new: &str| {
        let first = at(event, old);
        if first.is_empty() { at(event, new) } else { first }
    };
    let time = |pointer: &str| event.pointer(pointer).filter(|time| !time.is_null());
    let first_seen = time("/firstTimestamp").or(time("/deprecatedFirstTimestamp")).or(time("/eventTime"));
    let first_seen = since(first_seen.unwrap_or(&Value::Null), now);
    let last_seen = match time("/lastTimestamp").or(time("/deprecatedLastTimestamp")) {
        _ if event["series"].is_object() => since(&event["series"]["lastObservedTime"], now),
        Some(last) => since(last, now),
        None => first_seen.clone(),
    };
    let object = if event["involvedObject"].is_object() { &event["involvedObject"] } else { &event["regarding"] };
    let kind = text_of(object, "kind").to_lowercase();
    let target = match text_of(object, "name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = if event["source"].is_object() { &event["source"] } else { &event["deprecatedSource"] };
    let mut origin = match text_of(source, "component") {
        "" => either("/reportingComponent", "/reportingController").to_owned(),
        component => component.to_owned(),
    };
    let host = match text_of(source, "host") {
        "" => text_of(event, "reportingInstance"),
        host => host,
    };
    if !host.is_empty() {
        origin = format!("{origin}, {host}");
    }
    let counted = number(event, "/count").max(number(event, "/deprecatedCount"));
    let count = if event["series"].is_object() { number(event, "/series/count") } else { counted.max(1) };
    vec![
        last_seen.into(),
        at_or(event, "/type", ""),
        at_or(event, "/reason", ""),
        target.into(),
        text_of(object, "fieldPath").into(),
        origin.into(),
        either("/message", "/note").trim().into(),
        first_seen.into(),
        count.into(),
        name(event),
    ]
}

/// What of a quota is used, limits apart from the rest.
fn usage(quota: &Value, limits: bool) -> String {
    let (hard, used) = (&quota["status"]["hard"], &quota["status"]["used"]);
    let Some(resources) = hard.as_object() else { return String::new() };
    let mut names: Vec<&String> = resources.keys().filter(|name| name.starts_with("limits.") == limits).collect();
    names.sort_unstable();
    let shown: Vec<String> = names
        .iter()
        .map(|name| format!("{name}: {}/{}", used[*name].as_str().unwrap_or("0"), text_of(hard, name)))
        .collect();
    shown.join(", ")
}
