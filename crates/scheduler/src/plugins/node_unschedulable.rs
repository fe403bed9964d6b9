//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use super::taint_toleration::tolerates;
use crate::framework::{Plugin, Rejection};
use crate::node::{Node, Taint};
use crate::pod::Candidate;

pub const PLUGIN: Plugin = Plugin::filter("NodeUnschedulable", filter);

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    if !node.view.unschedulable {
        return Ok(());
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    match pod.tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
        true => Ok(()),
        false => Err(Rejection::of("node(s) were unschedulable").is_final()),
    }
}
