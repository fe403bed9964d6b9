//! TaintToleration: NoSchedule and NoExecute taints keep pods away that do not tolerate them;
//! PreferNoSchedule ones make a node less welcome.

use crate::framework::{Case, Normalize, Plugin, Rejection};
use crate::news::{NODE_ADD, NODE_TAINT};
use crate::node::Node;
use crate::snapshot::Snapshot;

pub const PLUGIN: Plugin =
    Plugin::local("TaintToleration", filter, NODE_ADD | NODE_TAINT, |case, news| news.is_node_that_fits(case, filter))
        .score(score, Normalize::ScaleReversed, 3);

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let taints = node.view().map(|view| view.taints.as_slice()).unwrap_or_default();
    let mut hard = taints.iter().filter(|taint| taint.is_hard());
    match hard.all(|taint| taint.is_tolerated(&case.spec.tolerations)) {
        true => Ok(()),
        false => Err(Rejection::of("node(s) had untolerated taint(s)").is_final()),
    }
}

fn score(case: &Case<'_>, node: &Node, _: &Snapshot) -> i64 {
    let taints = node.view().map(|view| view.taints.as_slice()).unwrap_or_default();
    let soft = taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(soft.filter(|taint| !taint.is_tolerated(&case.spec.tolerations)).count()).unwrap_or(i64::MAX)
}
