//! The tables of `kubectl get`: which columns a kind has and what stands in them, to upstream's
//! letter.
//!
//! One [`Printer`] per kind, in the file of its neighbours, and one line in [`ALL`]. Kinds without
//! one get the API server's NAME and CREATED AT. Cells are computed on the server, wide ones too;
//! the client only pads them.

mod access;
mod admission;
mod cells;
mod extensions;
mod network;
mod node;
mod pod;
mod scaling;
mod storage;
mod system;
mod usage;
mod workloads;

pub use cells::human_duration;
pub(crate) use pod::conditions as pod_conditions;

use crate::Column;
use base::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

/// How one kind becomes a row.
#[derive(Debug)]
pub struct Printer {
    pub group: &'static str,
    pub kind: &'static str,
    pub columns: &'static [Column],
    /// One cell per column.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
}

pub const ALL: &[Printer] = &[
    access::CERTIFICATE_SIGNING_REQUEST,
    access::CLUSTER_ROLE_BINDING,
    access::CLUSTER_TRUST_BUNDLE,
    access::ROLE_BINDING,
    access::SERVICE_ACCOUNT,
    admission::FLOW_SCHEMA,
    admission::MUTATING_POLICY,
    admission::MUTATING_POLICY_BINDING,
    admission::MUTATING_WEBHOOKS,
    admission::PRIORITY_LEVEL,
    admission::VALIDATING_POLICY,
    admission::VALIDATING_POLICY_BINDING,
    admission::VALIDATING_WEBHOOKS,
    extensions::API_SERVICE,
    extensions::DEFINITION,
    network::ENDPOINTS,
    network::ENDPOINT_SLICE,
    network::INGRESS,
    network::INGRESS_CLASS,
    network::IP_ADDRESS,
    network::NETWORK_POLICY,
    network::SERVICE,
    network::SERVICE_CIDR,
    node::NODE,
    node::RUNTIME_CLASS,
    pod::POD,
    pod::POD_TEMPLATE,
    scaling::DISRUPTION_BUDGET,
    scaling::HORIZONTAL_POD_AUTOSCALER,
    scaling::HORIZONTAL_POD_AUTOSCALER_SCALE,
    storage::CLAIM,
    storage::CLASS,
    storage::CSI_CAPACITY,
    storage::CSI_DRIVER,
    storage::CSI_NODE,
    storage::VOLUME,
    storage::VOLUME_ATTACHMENT,
    storage::VOLUME_ATTRIBUTES_CLASS,
    system::COMPONENT_STATUS,
    system::CONFIG_MAP,
    system::DEVICE_CLASS,
    system::EVENT,
    system::EVENTS_EVENT,
    system::LEASE,
    system::NAMESPACE,
    system::PRIORITY_CLASS,
    system::RESOURCE_CLAIM,
    system::RESOURCE_CLAIM_TEMPLATE,
    system::RESOURCE_QUOTA,
    system::RESOURCE_SLICE,
    system::SECRET,
    usage::NODE,
    usage::POD,
    workloads::CONTROLLER_REVISION,
    workloads::CRON_JOB,
    workloads::DAEMON_SET,
    workloads::DEPLOYMENT,
    workloads::JOB,
    workloads::REPLICATION_CONTROLLER,
    workloads::REPLICA_SET,
    workloads::STATEFUL_SET,
];

/// The printer of a kind, if it has one.
pub fn find(group: &str, kind: &str) -> Option<&'static Printer> {
    ALL.iter().find(|printer| printer.kind == kind && printer.group == group)
}

const fn column(name: &'static str, kind: &'static str, priority: i32) -> Column {
    formatted(name, kind, priority, "")
}

const fn formatted(name: &'static str, kind: &'static str, priority: i32, format: &'static str) -> Column {
    let (name, kind, format) = (Cow::Borrowed(name), Cow::Borrowed(kind), Cow::Borrowed(format));
    Column { name, kind, format, priority, description: Cow::Borrowed("") }
}

const fn text(name: &'static str) -> Column {
    column(name, "string", 0)
}

const fn integer(name: &'static str) -> Column {
    column(name, "integer", 0)
}

const fn boolean(name: &'static str) -> Column {
    column(name, "boolean", 0)
}

/// Shown with `-o wide` only.
const fn wide(name: &'static str) -> Column {
    column(name, "string", 1)
}

const NAME: Column = Column {
    name: Cow::Borrowed("Name"),
    kind: Cow::Borrowed("string"),
    format: Cow::Borrowed("name"),
    priority: 0,
    description: Cow::Borrowed("The name of the object, unique among its kind in its namespace."),
};

const AGE: Column = Column {
    name: Cow::Borrowed("Age"),
    kind: Cow::Borrowed("string"),
    format: Cow::Borrowed(""),
    priority: 0,
    description: Cow::Borrowed("How long ago the object was created."),
};

#[cfg(test)]
mod tests;
