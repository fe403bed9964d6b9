//! Projections that several rooms share, so that each object is read once for all of them.

mod node;
mod pod;
mod service;

pub use node::{NodeView, Taint};
pub use pod::{NamedPort, PodView};
pub use service::{Family, ServicePort, ServiceView, Target};

/// The pods on a node.
pub const NODE: &str = "node";
