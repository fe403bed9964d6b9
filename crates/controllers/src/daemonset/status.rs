//! A set's status from its nodes and pods.

use super::plan::{Pod, View};
use super::pod;
use serde_json::{Value, json};

/// The status to write; None: it says so already.
pub(super) fn next(view: &View<'_>) -> Option<Value> {
    let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    for place in &view.observed.nodes {
        let mut pods: Vec<&Pod> = view.by_node.get(&place.node).into_iter().flatten().collect();
        pods.sort_by(|a, b| pod::by_age(a, b));
        let first = pods.first();
        if !place.verdict.runs {
            misplaced += i64::from(first.is_some());
            continue;
        }
        desired += 1;
        let Some(pod) = first else { continue };
        current += 1;
        ready += i64::from(pod.view.ready);
        available += i64::from(view.is_available(pod));
        updated += i64::from(view.is_new(pod));
    }
    let numbers = [
        ("currentNumberScheduled", current),
        ("numberMisscheduled", misplaced),
        ("desiredNumberScheduled", desired),
        ("numberReady", ready),
        ("observedGeneration", view.set().metadata.generation),
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
    ];
    let old = &view.set().status;
    let same = numbers.iter().all(|(field, number)| old[*field].as_i64().unwrap_or(0) == *number);
    (!same || old["observedGeneration"].is_null()).then(|| json!(std::collections::BTreeMap::from(numbers)))
}
