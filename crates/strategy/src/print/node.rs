//! Node and RuntimeClass.

use super::cells::{NONE, UNKNOWN, age, at_or, condition, name};
use super::{AGE, NAME, Printer, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

pub const NODE: Printer = Printer {
    group: "",
    kind: "Node",
    columns: &[
        NAME,
        text("Status"),
        text("Roles"),
        AGE,
        text("Version"),
        wide("Internal-IP"),
        wide("External-IP"),
        wide("OS-Image"),
        wide("Kernel-Version"),
        wide("Container-Runtime"),
    ],
    cells,
};

pub const RUNTIME_CLASS: Printer = Printer {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    columns: &[NAME, text("Handler"), AGE],
    cells: |object, now| vec![name(object), object["handler"].clone(), age(object, now)],
};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(node, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    vec![
        name(node),
        status.into(),
        roles(node).into(),
        age(node, now),
        at_or(node, "/status/nodeInfo/kubeletVersion", ""),
        address(node, "InternalIP").into(),
        address(node, "ExternalIP").into(),
        at_or(node, "/status/nodeInfo/osImage", UNKNOWN),
        at_or(node, "/status/nodeInfo/kernelVersion", UNKNOWN),
        at_or(node, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN),
    ]
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == ROLE => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address<'n>(node: &'n Value, kind: &str) -> &'n str {
    let addresses = items(&node["status"], "addresses");
    addresses.iter().find(|address| text_of(address, "type") == kind).map_or(NONE, |found| text_of(found, "address"))
}
