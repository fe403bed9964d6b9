//! NodeName: a pod that names its node goes nowhere else.

use crate::framework::{Plugin, Rejection};
use crate::node::Node;
use crate::pod::Candidate;

pub const PLUGIN: Plugin = Plugin::filter("NodeName", filter);

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    match pod.view.node_name.is_empty() || pod.view.node_name == node.name {
        true => Ok(()),
        false => Err(Rejection::of("node(s) didn't match the requested node name").is_final()),
    }
}
