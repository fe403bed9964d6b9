//! NodeAffinity: nodeSelector, required terms, preferred ones by weight, and what a profile adds.

use crate::framework::{Case, Normalize, Plugin, Rejection};
use crate::news::{NODE_ADD, NODE_LABEL};
use crate::node::Node;
use crate::pod::PodSpec;
use crate::snapshot::Snapshot;
use std::collections::BTreeSet;

pub const PLUGIN: Plugin =
    Plugin::local("NodeAffinity", filter, NODE_ADD | NODE_LABEL, |case, news| news.is_node_that_fits(case, filter))
        .score(score, Normalize::Scale, 2)
        .only(only);

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let added = case.args.added_affinity.required.as_ref();
    if added.is_some_and(|terms| !terms.iter().any(|term| term.matches(&node.name, node.labels()))) {
        return Err(Rejection::of("node(s) didn't match scheduler-enforced node affinity").is_final());
    }
    match allows(case.spec, node) {
        true => Ok(()),
        false => Err(Rejection::of("node(s) didn't match Pod's node affinity/selector").is_final()),
    }
}

/// Whether the pod's own selector and required terms allow the node.
pub fn allows(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.labels();
    spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && spec.required_nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, labels)))
}

/// Where every term names nodes, as those of a DaemonSet's pods do, no others need be looked at.
fn only(case: &Case<'_>) -> Result<Option<BTreeSet<String>>, Rejection> {
    let Some(terms) = case.spec.required_nodes.as_ref().filter(|terms| !terms.is_empty()) else { return Ok(None) };
    let mut all = BTreeSet::new();
    for term in terms {
        match term.names() {
            None => return Ok(None),
            Some(names) => all.extend(names),
        }
    }
    if all.is_empty() {
        return Err(Rejection::of("pod affinity terms conflict").is_final());
    }
    Ok(Some(all))
}

fn score(case: &Case<'_>, node: &Node, _: &Snapshot) -> i64 {
    let terms = case.spec.preferred_nodes.iter().chain(&case.args.added_affinity.preferred);
    let met = terms.filter(|(_, term)| {
        let is_empty = term.match_expressions.is_empty() && term.match_fields.is_empty();
        is_empty || term.matches(&node.name, node.labels())
    });
    met.map(|(weight, _)| i64::from(*weight)).sum()
}
