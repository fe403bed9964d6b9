//! Projections that several rooms share, so that each object is read once for all of them.

mod pod;

pub use pod::PodView;

/// The pods on a node.
pub const NODE: &str = "node";
