//! NodePorts: a port of the node belongs to one pod.

use crate::framework::{Plugin, Rejection};
use crate::node::Node;
use crate::pod::Candidate;

pub const PLUGIN: Plugin = Plugin::filter("NodePorts", filter);

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    let wanted = &pod.view.host_ports;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut taken = node.pods.values().flat_map(|placed| &placed.host_ports);
    match taken.any(|port| wanted.iter().any(|own| own.clashes_with(port))) {
        false => Ok(()),
        true => Err(Rejection::of("node(s) didn't have free ports for the requested pod ports")),
    }
}
