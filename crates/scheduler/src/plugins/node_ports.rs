//! NodePorts: a port of the node belongs to one pod.

use crate::framework::{Case, Plugin, Rejection};
use crate::news::{NODE_ADD, News, POD_DELETE};
use crate::node::Node;

pub const PLUGIN: Plugin = Plugin::local("NodePorts", filter, NODE_ADD | POD_DELETE, hint);

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let wanted = &case.spec.host_ports;
    if wanted.is_empty() {
        return Ok(());
    }
    let mut taken = node.pods.values().flat_map(|pod| &pod.view.spec.host_ports);
    match taken.any(|port| wanted.iter().any(|own| own.clashes_with(port))) {
        false => Ok(()),
        true => Err(Rejection::of("node(s) didn't have free ports for the requested pod ports")),
    }
}

/// A pod that goes must leave one of the ports.
fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    match news.pods() {
        Some((Some(old), None)) => {
            let mut freed = old.view.spec.host_ports.iter();
            freed.any(|port| case.spec.host_ports.iter().any(|own| own.clashes_with(port)))
        }
        Some(_) => false,
        None => true,
    }
}
