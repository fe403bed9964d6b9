//! NodeName: a pod that names its node goes nowhere else.

use crate::framework::{Case, Plugin, Rejection};
use crate::news::NODE_ADD;
use crate::node::Node;

pub const PLUGIN: Plugin =
    Plugin::local("NodeName", filter, NODE_ADD, |case, news| news.is_node_that_fits(case, filter));

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let wanted = &case.pod.view.node_name;
    match wanted.is_empty() || *wanted == node.name {
        true => Ok(()),
        false => Err(Rejection::of("node(s) didn't match the requested node name").is_final()),
    }
}
