//! Projections that several rooms share, so that each object is read once for all of them.

mod definition;
mod node;
mod pod;
mod service;
mod toleration;

pub use definition::{CustomKind, DefinitionView};
pub use node::{NodeView, Taint};
pub use pod::{NamedPort, Phase, PodView};
pub use service::{Family, ServicePort, ServiceView, Target};
pub use toleration::Toleration;

/// The pods on a node.
pub const NODE: &str = "node";
/// The pods that a job (by its key) has not yet counted at their end.
pub const TRACKED: &str = "tracked";

/// Keeps a pod until its job has counted it.
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
