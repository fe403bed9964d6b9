//! The admission chain: one plugin a file, run in the order of [`ALL`], which is upstream's.
//!
//! A plugin may change an object before it is validated ([`Plugin::admit`]) or refuse it
//! afterwards ([`Plugin::validate`]). Plugins are pure: what they need to know of other objects they
//! ask of a [`Lookup`], which the API server answers from memory; they never call out and never
//! wait. What has to wait or to be told of every change of its own configuration ([`webhook`]s,
//! [`policy`], the charging of quotas) has its place in the order, and the
//! API server does it there. The API server is the only caller, once per write.

mod attributes;
mod cel;
mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod chain;
mod cluster_trust_bundle_attest;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod device_admin_access;
mod limit_ranger;
mod lookup;
mod matching;
mod namespace_lifecycle;
mod node_restriction;
mod paths;
mod persistent_volume_claim_resize;
mod pod_security;
mod pod_topology_labels;
pub mod policy;
mod priority;
pub mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
pub mod webhook;

pub use attributes::{Attributes, Notes, Operation, Subject};
pub use chain::{Chain, Plugin};
pub use lookup::Lookup;

/// What plugins are built with.
#[derive(Clone)]
pub struct Setup {
    pub clock: base::Clock,
    pub rng: base::Rng,
    /// Upstream's feature gates that are on.
    pub gates: base::collections::HashSet<String>,
}

/// A plugin's row in [`ALL`].
pub struct Def {
    pub name: &'static str,
    /// Without `--enable-admission-plugins`.
    pub on_by_default: bool,
    pub build: fn(&Setup) -> Box<dyn Plugin>,
}

const fn on(name: &'static str, build: fn(&Setup) -> Box<dyn Plugin>) -> Def {
    Def { name, on_by_default: true, build }
}

/// Every plugin, in execution order. NodeRestriction is off by default upstream; here nodes are
/// always held to it, as kubeadm does.
pub const ALL: &[Def] = &[
    on("NamespaceLifecycle", namespace_lifecycle::build),
    on("LimitRanger", limit_ranger::build),
    on("ServiceAccount", service_account::build),
    on("NodeRestriction", node_restriction::build),
    on("TaintNodesByCondition", taint_nodes_by_condition::build),
    on("PodSecurity", pod_security::build),
    on("Priority", priority::build),
    on("DefaultTolerationSeconds", default_toleration_seconds::build),
    on("DefaultStorageClass", default_storage_class::build),
    on("StorageObjectInUseProtection", storage_object_in_use_protection::build),
    on("PersistentVolumeClaimResize", persistent_volume_claim_resize::build),
    on("RuntimeClass", runtime_class::build),
    on("CertificateApproval", certificate_approval::build),
    on("CertificateSigning", certificate_signing::build),
    on("ClusterTrustBundleAttest", cluster_trust_bundle_attest::build),
    on("CertificateSubjectRestriction", certificate_subject_restriction::build),
    on("DefaultIngressClass", default_ingress_class::build),
    on("PodTopologyLabels", pod_topology_labels::build),
    on("DeviceAdminAccess", device_admin_access::build),
    on(policy::MUTATING, |_| Box::new(chain::Elsewhere(policy::MUTATING))),
    on(webhook::MUTATING, |_| Box::new(chain::Elsewhere(webhook::MUTATING))),
    on(policy::VALIDATING, |_| Box::new(chain::Elsewhere(policy::VALIDATING))),
    on(webhook::VALIDATING, |_| Box::new(chain::Elsewhere(webhook::VALIDATING))),
    on(resource_quota::NAME, resource_quota::build),
];

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
