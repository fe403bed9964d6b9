//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use crate::framework::{Case, Plugin, Rejection};
use crate::news::{NODE_ADD, NODE_TAINT};
use crate::node::{Node, Taint};

pub const PLUGIN: Plugin = Plugin::local("NodeUnschedulable", filter, NODE_ADD | NODE_TAINT, |case, news| {
    news.is_node_that_fits(case, filter)
});

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    if !node.view().is_some_and(|view| view.unschedulable) {
        return Ok(());
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    match taint.is_tolerated(&case.spec.tolerations) {
        true => Ok(()),
        false => Err(Rejection::of("node(s) were unschedulable").is_final()),
    }
}
