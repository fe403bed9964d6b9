//! Affinity of a pod to nodes and to other pods, read from its spec.

use crate::selectors::{Labels, Matcher};
use meta::labels::LabelSelector;
use serde::Deserialize;
use std::collections::BTreeSet;

/// A node has to meet all requirements; a term without any matches none.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerm {
    pub match_expressions: Vec<NodeRequirement>,
    pub match_fields: Vec<NodeRequirement>,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(default)]
pub struct NodeRequirement {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

impl NodeTerm {
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let is_empty = self.match_expressions.is_empty() && self.match_fields.is_empty();
        !is_empty
            && self.match_expressions.iter().all(|rule| rule.holds(labels.get(&rule.key).map(String::as_str)))
            && self.match_fields.iter().all(|rule| rule.key == "metadata.name" && rule.holds(Some(name)))
    }

    /// The names it leaves, where it names nodes.
    pub fn names(&self) -> Option<BTreeSet<String>> {
        let named = self.match_fields.iter().filter(|rule| rule.key == "metadata.name" && rule.operator == "In");
        let sets = named.map(|rule| rule.values.iter().cloned().collect::<BTreeSet<_>>());
        sets.reduce(|one, other| &one & &other)
    }
}

impl NodeRequirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let compared = |holds: fn(i64, i64) -> bool| {
            let bound = self.values.first().and_then(|text| text.parse().ok());
            match (value.and_then(|text| text.parse().ok()), bound) {
                (Some(left), Some(right)) => holds(left, right),
                _ => false,
            }
        };
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared(|left, right| left > right),
            "Lt" => compared(|left, right| left < right),
            _ => false,
        }
    }
}

/// What a pod wants of the pods around it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affinity {
    pub required: Vec<Term>,
    pub preferred: Vec<(i32, Term)>,
    pub required_anti: Vec<Term>,
    pub preferred_anti: Vec<(i32, Term)>,
}

/// Pods that match, in a domain of a topology.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    pub topology_key: String,
    pub selector: Matcher,
    pub namespaces: BTreeSet<String>,
    /// Namespaces that match count as well.
    pub namespace_selector: Option<Matcher>,
}

impl Term {
    /// Whether a pod of these labels, in a namespace of those, is meant.
    pub fn matches(&self, namespace: &str, namespace_labels: &Labels, labels: &Labels) -> bool {
        let in_namespace = self.namespaces.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| selector.matches(namespace_labels));
        in_namespace && self.selector.matches(labels)
    }
}

impl Affinity {
    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.preferred.is_empty()
            && self.required_anti.is_empty()
            && self.preferred_anti.is_empty()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wire {
    node_affinity: NodeAffinity,
    pod_affinity: PodRules,
    pod_anti_affinity: PodRules,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeTerms>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<PreferredNodes>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct NodeTerms {
    node_selector_terms: Vec<NodeTerm>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PreferredNodes {
    weight: i32,
    preference: NodeTerm,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodRules {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Vec<WireTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<PreferredPods>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PreferredPods {
    weight: i32,
    pod_affinity_term: WireTerm,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireTerm {
    topology_key: String,
    label_selector: Option<LabelSelector>,
    namespaces: Vec<String>,
    namespace_selector: Option<LabelSelector>,
    match_label_keys: Vec<String>,
    mismatch_label_keys: Vec<String>,
}

impl Wire {
    pub fn nodes(&self) -> (Option<Vec<NodeTerm>>, Vec<(i32, NodeTerm)>) {
        let required = self.node_affinity.required.clone().map(|terms| terms.node_selector_terms);
        let preferred = self.node_affinity.preferred.iter().map(|one| (one.weight, one.preference.clone()));
        (required, preferred.collect())
    }

    pub fn pods(&self, namespace: &str, labels: &Labels) -> Affinity {
        let required = |rules: &PodRules| rules.required.iter().map(|term| term.read(namespace, labels)).collect();
        let preferred = |rules: &PodRules| {
            let terms = rules.preferred.iter();
            terms.map(|one| (one.weight, one.pod_affinity_term.read(namespace, labels))).collect()
        };
        Affinity {
            required: required(&self.pod_affinity),
            preferred: preferred(&self.pod_affinity),
            required_anti: required(&self.pod_anti_affinity),
            preferred_anti: preferred(&self.pod_anti_affinity),
        }
    }
}

impl WireTerm {
    fn read(&self, namespace: &str, labels: &Labels) -> Term {
        let keyed = |keys: &'_ [String], wanted: bool| {
            let values = keys.iter().filter_map(|key| Some((key.clone(), labels.get(key)?.clone(), wanted)));
            values.collect::<Vec<_>>()
        };
        let mut more = keyed(&self.match_label_keys, true);
        more.extend(keyed(&self.mismatch_label_keys, false));
        let more: Vec<_> = more.iter().map(|(key, value, wanted)| (key.as_str(), value.as_str(), *wanted)).collect();
        let own = || [namespace.to_owned()].into();
        let is_own = self.namespaces.is_empty() && self.namespace_selector.is_none();
        Term {
            topology_key: self.topology_key.clone(),
            selector: Matcher::read(self.label_selector.as_ref(), &more),
            namespaces: if is_own { own() } else { self.namespaces.iter().cloned().collect() },
            namespace_selector: self.namespace_selector.as_ref().map(|one| Matcher::read(Some(one), &[])),
        }
    }
}
