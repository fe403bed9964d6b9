//! Which nodes suit a set: its template's node name, selector, required affinity and tolerations.

use super::pod;
use crate::views::{NodeView, Taint, Toleration};
use client::Item;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// A pod should be started there.
    pub runs: bool,
    /// One that is there may stay.
    pub stays: bool,
}

#[derive(Debug, Default)]
pub(super) struct Placement {
    node_name: String,
    node_selector: BTreeMap<String, String>,
    /// None: nothing is required.
    terms: Option<Vec<Term>>,
    tolerations: Vec<Toleration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Rule>,
    match_fields: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Placement {
    pub fn of(spec: &Value) -> Result<Self, serde_json::Error> {
        let required =
            &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        Ok(Placement {
            node_name: spec["nodeName"].as_str().unwrap_or_default().to_owned(),
            node_selector: read(&spec["nodeSelector"])?.unwrap_or_default(),
            terms: read(required)?,
            tolerations: read(&Value::Array(pod::tolerations(spec)))?.unwrap_or_default(),
        })
    }

    pub fn verdict(&self, node: &Item<NodeView>) -> Verdict {
        let named = self.node_name.is_empty() || self.node_name == node.meta.name;
        let selected = self.node_selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value));
        let suits = self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)));
        if !(named && selected && suits) {
            return Verdict { runs: false, stays: false };
        }
        let bears = |taint: &Taint| self.tolerations.iter().any(|toleration| toleration.tolerates(taint));
        let of = |effect: &str| node.view.taints.iter().filter(|taint| taint.effect == effect).all(bears);
        let stays = of("NoExecute");
        Verdict { runs: stays && of("NoSchedule"), stays }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<Option<T>, serde_json::Error> {
    Option::<T>::deserialize(value)
}

impl Term {
    /// A term without any requirement matches nothing.
    fn matches(&self, node: &Item<NodeView>) -> bool {
        let is_empty = self.match_expressions.is_empty() && self.match_fields.is_empty();
        let by_label = |rule: &Rule| rule.holds(node.meta.labels.get(&rule.key).map(String::as_str));
        let by_field = |rule: &Rule| rule.key == "metadata.name" && rule.holds(Some(&node.meta.name));
        !is_empty && self.match_expressions.iter().all(by_label) && self.match_fields.iter().all(by_field)
    }
}

impl Rule {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let compared = |holds: fn(i64, i64) -> bool| {
            let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
            matches!((number(value), number(self.values.first().map(String::as_str))), (Some(a), Some(b)) if holds(a, b))
        };
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared(|is, limit| is > limit),
            "Lt" => compared(|is, limit| is < limit),
            _ => false,
        }
    }
}
