//! Projections that several rooms share, so that each object is read once for all of them.

mod node;
mod pod;
mod service;
mod toleration;

pub use node::{NodeView, Taint};
pub use pod::{NamedPort, Phase, PodView};
pub use service::{Family, ServicePort, ServiceView, Target};
pub use toleration::Toleration;

/// The pods on a node.
pub const NODE: &str = "node";
