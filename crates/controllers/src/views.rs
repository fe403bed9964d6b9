//! Projections that several rooms share, so that each object is read once for all of them.

mod definition;
mod node;
mod pod;
mod selecting;
mod service;
mod toleration;

pub use definition::{CustomKind, DefinitionView, custom_kind, custom_resource};
pub use node::{NodeView, Taint};
pub use pod::{NamedPort, Phase, PodView};
pub use selecting::{SelectorView, selector_of, spec_of};
pub use service::{Family, ServicePort, ServiceView, Target};
pub use toleration::Toleration;

/// The pods that name a claim, by the claim's key.
pub const CLAIM: &str = "claim";
/// The pods on a node.
pub const NODE: &str = "node";
/// The pods that a job (by its key) has not yet counted at their end.
pub const TRACKED: &str = "tracked";

/// Keeps a pod until its job has counted it.
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
