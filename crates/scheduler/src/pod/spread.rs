//! Topology spread constraints, read from a pod's spec or the configuration.

use crate::selectors::{Labels, Matcher};
use meta::labels::LabelSelector;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spread {
    pub max_skew: i64,
    pub topology_key: String,
    /// DoNotSchedule, rather than ScheduleAnyway.
    pub is_hard: bool,
    pub selector: Matcher,
    pub min_domains: i64,
    /// Only nodes that the pod's node affinity allows count.
    pub honors_affinity: bool,
    /// Only nodes whose taints the pod tolerates count.
    pub honors_taints: bool,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wire {
    pub max_skew: i64,
    pub topology_key: String,
    pub when_unsatisfiable: String,
    pub label_selector: Option<LabelSelector>,
    pub min_domains: Option<i64>,
    pub node_affinity_policy: Option<String>,
    pub node_taints_policy: Option<String>,
    pub match_label_keys: Vec<String>,
}

impl Wire {
    pub fn read(self, labels: &Labels) -> Spread {
        let keys = self.match_label_keys.iter();
        let more: Vec<_> = keys.filter_map(|key| Some((key.as_str(), labels.get(key)?.as_str(), true))).collect();
        Spread {
            selector: Matcher::read(self.label_selector.as_ref(), &more),
            max_skew: self.max_skew,
            is_hard: self.when_unsatisfiable == "DoNotSchedule",
            min_domains: self.min_domains.unwrap_or(1),
            honors_affinity: self.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: self.node_taints_policy.as_deref() == Some("Honor"),
            topology_key: self.topology_key,
        }
    }
}
