//! One step of a rolling update: as many old pods replaced as may be missing, or as many nodes with
//! a second pod as may surge.

use super::Set;
use super::plan::{Changes, Pod, View};
use crate::amount::{self, Round};
use std::collections::BTreeSet;

/// The pods of a node that run: of the newest template, and of an older one.
#[derive(Default)]
struct Pair {
    new: Option<Pod>,
    old: Option<Pod>,
}

pub(super) fn surges(set: &Set) -> bool {
    set.is_rolling()
        && amount::of(&set.spec.update_strategy.rolling_update["maxSurge"], 100, Round::Up).unwrap_or(0) > 0
}

/// How many nodes may have two pods, and how many none.
fn limits(view: &View<'_>, desired: usize) -> (usize, usize) {
    let rolling = &view.set().spec.update_strategy.rolling_update;
    let total = i64::try_from(desired).unwrap_or(i64::MAX);
    let of = |field: &str, missing| {
        let amount = amount::of(&rolling[field], total, Round::Up).unwrap_or(missing);
        usize::try_from(amount).unwrap_or(0)
    };
    match (of("maxSurge", 0), of("maxUnavailable", 1)) {
        (0, 0) if desired > 0 => (0, 1),
        limits => limits,
    }
}

pub(super) fn step(view: &View<'_>) -> Changes {
    let wanted = view.observed.nodes.iter().filter(|place| place.verdict.runs).map(|place| place.node.as_str());
    let wanted: BTreeSet<&str> = wanted.collect();
    let (surge, unavailable) = limits(view, wanted.len());
    let all: BTreeSet<&str> = wanted.iter().copied().chain(view.by_node.keys().map(String::as_str)).collect();
    if surge == 0 { replace(view, &all, unavailable) } else { grow(view, &all, &wanted, surge) }
}

/// None where a node has more than a pair, which is to be cleared up first.
fn pair(view: &View<'_>, node: &str) -> Option<Pair> {
    let mut pair = Pair::default();
    for pod in view.by_node.get(node).into_iter().flatten().filter(|pod| !pod.meta.is_deleting()) {
        let slot = if view.is_new(pod) { &mut pair.new } else { &mut pair.old };
        if slot.replace(pod.clone()).is_some() {
            return None;
        }
    }
    Some(pair)
}

/// Ends old pods, those that are of no use first, for the next reconcile to make new ones.
fn replace(view: &View<'_>, nodes: &BTreeSet<&str>, allowed: usize) -> Changes {
    let (mut missing, mut useless, mut candidates) = (0, Vec::new(), Vec::new());
    for node in nodes {
        match pair(view, node) {
            Some(Pair { new: Some(new), old: None }) => missing += usize::from(!view.is_available(&new)),
            Some(Pair { new: None, old: Some(old) }) if !view.is_available(&old) => {
                missing += 1;
                useless.push(old);
            }
            Some(Pair { new: None, old: Some(old) }) => candidates.push(old),
            _ => missing += 1,
        }
    }
    candidates.truncate(allowed.saturating_sub(missing));
    useless.append(&mut candidates);
    Changes { doomed: useless, wanting: Vec::new() }
}

/// Makes new pods beside old ones, and ends old ones whose successor is available.
fn grow(view: &View<'_>, nodes: &BTreeSet<&str>, wanted: &BTreeSet<&str>, allowed: usize) -> Changes {
    let (mut surging, mut useless, mut candidates) = (0, Vec::new(), Vec::new());
    let mut doomed = Vec::new();
    for node in nodes {
        match pair(view, node) {
            None => surging += 1,
            Some(Pair { old: None, .. }) => {}
            // No new pod would come to this node: the old one makes room for nothing.
            Some(Pair { new: None, old: Some(old) }) if !wanted.contains(node) => doomed.push(old),
            Some(Pair { new: None, old: Some(old) }) if !view.is_available(&old) => useless.push((*node).to_owned()),
            Some(Pair { new: None, .. }) => candidates.push((*node).to_owned()),
            Some(Pair { new: Some(new), old: Some(old) }) => match view.is_available(&new) {
                true => doomed.push(old),
                false => surging += 1,
            },
        }
    }
    candidates.truncate(allowed.saturating_sub(surging));
    useless.append(&mut candidates);
    Changes { doomed, wanting: useless }
}
