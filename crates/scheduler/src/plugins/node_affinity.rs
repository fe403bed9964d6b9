//! NodeAffinity: nodeSelector, required terms, and preferred ones by weight.

use crate::framework::{Normalize, Plugin, Rejection};
use crate::node::Node;
use crate::pod::Candidate;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

pub const PLUGIN: Plugin = Plugin::filter("NodeAffinity", filter).score(score, Normalize::Scale, 2);

fn filter(pod: &Candidate, node: &Node) -> Result<(), Rejection> {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let required =
        pod.affinity.as_ref().and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref());
    let matched = required.is_none_or(|rules| rules.node_selector_terms.iter().any(|term| matches(term, node)));
    match selected && matched {
        true => Ok(()),
        false => Err(Rejection::of("node(s) didn't match Pod's node affinity/selector").is_final()),
    }
}

fn score(pod: &Candidate, node: &Node) -> i64 {
    let preferred =
        pod.affinity.as_ref().and_then(|rules| rules.preferred_during_scheduling_ignored_during_execution.as_ref());
    let terms = preferred.into_iter().flatten();
    terms.filter(|term| matches(&term.preference, node)).map(|term| i64::from(term.weight)).sum()
}

/// A term without any requirement matches nothing.
pub fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let is_empty = labels.clone().next().is_none() && fields.clone().next().is_none();
    !is_empty
        && labels.into_iter().all(|rule| holds(rule, node.labels.get(&rule.key).map(String::as_str)))
        && fields.into_iter().all(|rule| rule.key == "metadata.name" && holds(rule, Some(&node.name)))
}

fn holds(rule: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = rule.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|one| one == value));
    let compared = |holds: fn(i64, i64) -> bool| {
        let (left, right) =
            (value.and_then(|text| text.parse().ok()), values.first().and_then(|text| text.parse().ok()));
        matches!((left, right), (Some(left), Some(right)) if holds(left, right))
    };
    match rule.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|left, right| left > right),
        "Lt" => compared(|left, right| left < right),
        _ => false,
    }
}
