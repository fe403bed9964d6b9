//! Which pods go first when there are too many. Upstream's order (`controller_utils`
//! ActivePodsWithRanks): those of least use to anybody, so that a rolling update loses nothing.

use crate::views::PodView;
use base::Timestamp;
use base::collections::HashMap;
use client::Item;
use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods to delete. `neighbours`: related active pods by node.
pub fn first_to_go(
    active: &[Arc<Item<PodView>>],
    count: usize,
    neighbours: &HashMap<String, usize>,
    now: Timestamp,
) -> Vec<Arc<Item<PodView>>> {
    let mut pods = active.to_vec();
    if count < pods.len() {
        pods.sort_by(|a, b| compare(a, b, neighbours, now));
    }
    pods.truncate(count);
    pods
}

fn compare(a: &Item<PodView>, b: &Item<PodView>, neighbours: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let crowd = |pod: &Item<PodView>| neighbours.get(&pod.view.node).copied().unwrap_or(0);
    let by_standing = (!a.view.node.is_empty())
        .cmp(&!b.view.node.is_empty())
        .then_with(|| a.view.phase.cmp(&b.view.phase))
        .then_with(|| a.view.ready.cmp(&b.view.ready))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| Reverse(crowd(a)).cmp(&Reverse(crowd(b))));
    let by_readiness = || match (a.view.ready && b.view.ready, a.view.ready_since, b.view.ready_since) {
        (false, _, _) => Ordering::Equal,
        (true, Some(since_a), Some(since_b)) => younger_first(since_a, since_b, now, a, b),
        // No time at all counts as the youngest.
        (true, since_a, since_b) => since_a.is_some().cmp(&since_b.is_some()),
    };
    let by_age = || match (created(a), created(b)) {
        (Some(created_a), Some(created_b)) => younger_first(created_a, created_b, now, a, b),
        (created_a, created_b) => created_a.is_some().cmp(&created_b.is_some()),
    };
    by_standing
        .then_with(by_readiness)
        .then_with(|| Reverse(a.view.restarts).cmp(&Reverse(b.view.restarts)))
        .then_with(by_age)
        .then_with(|| a.meta.uid.cmp(&b.meta.uid))
}

/// The younger goes first; pods of about the same age (the same power of two) in the order of their
/// uids, which is as good as at random, so that scaling down does not empty the newest zone.
fn younger_first(a: Timestamp, b: Timestamp, now: Timestamp, pod_a: &Item<PodView>, pod_b: &Item<PodView>) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let magnitude =
        |since: Timestamp| now.duration_since(since).as_nanos().try_into().map_or(None, u128::checked_ilog2);
    magnitude(a).cmp(&magnitude(b)).then_with(|| pod_a.meta.uid.cmp(&pod_b.meta.uid))
}

fn cost(pod: &Item<PodView>) -> i32 {
    pod.meta.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn created(pod: &Item<PodView>) -> Option<Timestamp> {
    meta::time::parse(pod.meta.creation_timestamp.as_ref()?).ok()
}
