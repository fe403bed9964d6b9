//! What is special about each kind: computed defaults, validation, update and status rules, print
//! columns. Everything general (names, generations, finalizers, managed fields) is the API
//! server's generic path; a kind without a file here gets just that.
//!
//! One file per kind under its group's folder, and one line in [`ALL`].

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod check;
mod coordination;
mod core;
pub mod custom;
mod declared;
mod discovery;
mod flowcontrol;
mod networking;
mod node_class;
mod policy;
mod print;
mod rbac;
mod resource;
mod rules;
mod scheduling;
mod schema_check;
mod storage;
mod storage_migration;
mod tree;
mod usage;
pub mod versions;

pub use print::human_duration;
pub use rules::{Column, Context, Fields, Propagation, Strategy, complete};

/// Every kind with rules of its own.
pub const ALL: &[&dyn Strategy] = &[
    &core::event::EVENT,
    &core::namespace::Namespace,
    &core::node::NODE,
    &core::pod::Pod,
    &core::secret::Secret,
    &core::service::Service,
    &core::settings::CONFIG_MAP,
    &core::settings::ENDPOINTS,
    &core::settings::LIMIT_RANGE,
    &core::settings::POD_TEMPLATE,
    &core::resource_quota::RESOURCE_QUOTA,
    &core::settings::SERVICE_ACCOUNT,
    &core::volume::CLAIM,
    &core::volume::VOLUME,
    &admissionregistration::MUTATING_POLICY,
    &admissionregistration::MUTATING_POLICY_BINDING,
    &admissionregistration::MUTATING_WEBHOOKS,
    &admissionregistration::VALIDATING_POLICY,
    &admissionregistration::VALIDATING_POLICY_BINDING,
    &admissionregistration::VALIDATING_WEBHOOKS,
    &apiextensions::CustomResourceDefinition,
    &apiregistration::API_SERVICE,
    &apps::daemon_set::DaemonSet,
    &apps::deployment::Deployment,
    &apps::replicas::ReplicaSet,
    &apps::replicas::ReplicationController,
    &apps::stateful_set::CONTROLLER_REVISION,
    &apps::stateful_set::STATEFUL_SET,
    &autoscaling::HORIZONTAL_POD_AUTOSCALER,
    &usage::NODE_METRICS,
    &usage::POD_METRICS,
    &batch::cron_job::CRON_JOB,
    &batch::job::JOB,
    &certificates::CLUSTER_TRUST_BUNDLE,
    &certificates::CertificateSigningRequest,
    &certificates::POD_CERTIFICATE_REQUEST,
    &coordination::LEASE,
    &coordination::LEASE_CANDIDATE,
    &discovery::ENDPOINT_SLICE,
    &flowcontrol::FLOW_SCHEMA,
    &flowcontrol::PRIORITY_LEVEL,
    &networking::addresses::IP_ADDRESS,
    &networking::addresses::SERVICE_CIDR,
    &networking::ingress::INGRESS,
    &networking::ingress::INGRESS_CLASS,
    &networking::network_policy::NETWORK_POLICY,
    &node_class::RUNTIME_CLASS,
    &policy::DISRUPTION_BUDGET,
    &rbac::CLUSTER_ROLE,
    &rbac::CLUSTER_ROLE_BINDING,
    &rbac::ROLE,
    &rbac::ROLE_BINDING,
    &resource::DEVICE_CLASS,
    &resource::DEVICE_TAINT_RULE,
    &resource::ResourceClaim,
    &resource::RESOURCE_CLAIM_TEMPLATE,
    &resource::RESOURCE_SLICE,
    &scheduling::PRIORITY_CLASS,
    &storage::CSI_DRIVER,
    &storage::CSI_NODE,
    &storage::CSI_STORAGE_CAPACITY,
    &storage::STORAGE_CLASS,
    &storage::VOLUME_ATTACHMENT,
    &storage::VOLUME_ATTRIBUTES_CLASS,
    &storage_migration::STORAGE_VERSION_MIGRATION,
];

struct Plain;

impl Strategy for Plain {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "")
    }
}

/// The rules of a kind; kinds without any get the trait's defaults.
pub fn find(group: &str, kind: &str) -> &'static dyn Strategy {
    ALL.iter().copied().find(|strategy| strategy.group_kind() == (group, kind)).unwrap_or(&Plain)
}

#[cfg(test)]
mod tests;
