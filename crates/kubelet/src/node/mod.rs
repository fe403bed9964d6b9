//! The node's own object: registered at start, its status reported when it changes, its lease
//! renewed. Taints are the node lifecycle controller's business.

mod info;
mod lease;
mod status;

pub use info::{allocatable, capacity, hostname, meminfo};

use crate::agent::Agent;
use std::sync::Arc;

/// Starts reporting.
pub(crate) fn start(agent: &Arc<Agent>) {
    agent.env.tasks.spawn("node status", status::run(agent.clone()));
    agent.env.tasks.spawn("node lease", lease::run(agent.clone()));
}
