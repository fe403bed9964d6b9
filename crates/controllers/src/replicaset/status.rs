//! A set's status from its pods.

use super::Set;
use crate::views::PodView;
use base::Timestamp;
use client::Item;
use meta::conditions::{self, Condition};
use meta::labels::Selector;
use serde_json::{Value, json};
use std::sync::Arc;

const FAILURE: &str = "ReplicaFailure";

/// Pods counted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    replicas: i64,
    labelled: i64,
    ready: i64,
    available: i64,
    /// ReplicationControllers do not tell.
    terminating: Option<i64>,
}

impl Facts {
    pub fn gather(set: &Set, active: &[Arc<Item<PodView>>], terminating: Option<i64>, now: Timestamp) -> Self {
        let labels = serde_json::from_value(set.spec.template["metadata"]["labels"].clone()).unwrap_or_default();
        let template = Selector::from_set(&labels);
        let count = |test: &dyn Fn(&Item<PodView>) -> bool| {
            i64::try_from(active.iter().filter(|pod| test(pod)).count()).unwrap_or(i64::MAX)
        };
        Facts {
            replicas: count(&|_| true),
            labelled: count(&|pod| template.matches(&pod.meta.labels)),
            ready: count(&|pod| pod.view.ready),
            available: count(&|pod| pod.view.is_available(set.spec.min_ready_seconds, now)),
            terminating,
        }
    }
}

/// The status to write; None: it says so already. `failure` is reason and message.
pub(super) fn next(set: &Set, facts: &Facts, failure: Option<(&str, String)>, now: Timestamp) -> Option<Value> {
    let mut list = set.status["conditions"].clone();
    let standing = conditions::find(&list, FAILURE).is_some();
    match &failure {
        Some((reason, message)) if !standing => {
            let new = Condition { kind: FAILURE, status: "True", reason, message, observed_generation: 0 };
            conditions::set(&mut list, new, now);
        }
        Some(_) => {}
        None => {
            conditions::remove(&mut list, FAILURE);
        }
    }
    let mut numbers = vec![
        ("replicas", facts.replicas),
        ("fullyLabeledReplicas", facts.labelled),
        ("readyReplicas", facts.ready),
        ("availableReplicas", facts.available),
        ("observedGeneration", set.metadata.generation),
    ];
    numbers.extend(facts.terminating.map(|count| ("terminatingReplicas", count)));
    let same = numbers.iter().all(|(field, number)| set.status[*field].as_i64().unwrap_or(0) == *number);
    if same && list == set.status["conditions"] && !set.status["replicas"].is_null() {
        return None;
    }
    let mut status = json!({});
    for (field, number) in numbers {
        status[field] = json!(number);
    }
    if list != set.status["conditions"] {
        status["conditions"] = list;
    }
    Some(status)
}
