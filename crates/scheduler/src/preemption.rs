//! DefaultPreemption's search: on which node evicting pods of lower priority makes room, and whom it
//! hurts least. Judges only; `crate::cycle` evicts.

use crate::cluster::BudgetView;
use crate::failure::counted;
use crate::framework::Case;
use crate::judge::{Diagnosis, Judge};
use crate::pod::PodItem;
use crate::snapshot::Snapshot;
use base::Rng;
use client::cache::Item;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

type Budgets = [Arc<Item<BudgetView>>];

/// Room can be made.
#[derive(Debug)]
pub struct Candidate {
    pub node: String,
    /// The most important first.
    pub victims: Vec<PodItem>,
    /// How many of them a disruption budget does not spare.
    pub violations: usize,
}

/// What a search came to.
#[derive(Debug)]
pub enum Search {
    Found(Vec<Candidate>),
    /// Nothing to evict, in upstream's words. A room that was kept for the pod is given up.
    Hopeless(String),
    /// Not looked for: the pod may not, or room is being made already.
    NotEligible(&'static str),
}

/// Looks for nodes where evicting helps.
pub fn search(
    case: &Case<'_>,
    judge: &Judge,
    snapshot: &mut Snapshot,
    diagnosis: &Diagnosis,
    budgets: &Budgets,
    rng: &Rng,
) -> Search {
    if let Some(why) = ineligible(case, snapshot, diagnosis) {
        return Search::NotEligible(why);
    }
    let nodes = diagnosis.helpable();
    let mut said: Vec<String> = Vec::new();
    let mut found = Vec::new();
    if !nodes.is_empty() {
        let args = &case.args.preemption;
        let enough = (nodes.len() * args.percentage / 100).max(args.absolute).min(nodes.len());
        let start = rng.usize(0..nodes.len());
        let mut harmless = 0;
        for slot in nodes[start..].iter().chain(&nodes[..start]) {
            match victims(case, judge, snapshot, *slot, budgets) {
                Ok(candidate) => {
                    harmless += usize::from(candidate.violations == 0);
                    found.push(candidate);
                }
                Err(reasons) => said.extend(reasons),
            }
            if harmless > 0 && found.len() >= enough {
                break;
            }
        }
    }
    if found.is_empty() {
        let helpless = diagnosis.nodes.saturating_sub(nodes.len());
        let helpless = std::iter::repeat_n("Preemption is not helpful for scheduling", helpless);
        let reasons = counted(said.iter().map(String::as_str).chain(helpless));
        return Search::Hopeless(format!("0/{} nodes are available: {reasons}.", diagnosis.nodes));
    }
    Search::Found(found)
}

fn ineligible(case: &Case<'_>, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<&'static str> {
    if case.spec.never_preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = snapshot.nomination(&case.pod.key).unwrap_or(&case.pod.view.nominated_node);
    let node = snapshot.find(nominated)?;
    let is_final =
        |(slot, rejection): &(usize, Arc<crate::framework::Rejection>)| *slot == node.slot && rejection.is_final;
    if diagnosis.rejected.iter().any(is_final) {
        return None;
    }
    let leaves =
        |pod: &PodItem| pod.meta.is_deleting() && pod.view.is_preempted && pod.view.spec.priority < case.spec.priority;
    node.pods.values().any(leaves).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The fewest victims on a node, or why none would do.
fn victims(
    case: &Case<'_>,
    judge: &Judge,
    snapshot: &mut Snapshot,
    slot: usize,
    budgets: &Budgets,
) -> Result<Candidate, Vec<String>> {
    let node = snapshot.node(slot);
    let name = node.name.clone();
    let mut lower: Vec<PodItem> =
        node.pods.values().filter(|pod| pod.view.spec.priority < case.spec.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".to_owned()]);
    }
    lower.sort_by(|one, other| importance(one).cmp(&importance(other)));
    lower.iter().for_each(|pod| drop(snapshot.forget(&pod.key, None)));
    let mut gone: Vec<PodItem> = Vec::new();
    let mut violations = 0;
    let verdict = judge.fits(case, snapshot, slot);
    if verdict.is_ok() {
        let (protected, free) = by_budget(&lower, budgets);
        for (pods, is_protected) in [(protected, true), (free, false)] {
            for pod in pods {
                snapshot.place(pod.clone(), &name);
                if judge.fits(case, snapshot, slot).is_err() {
                    snapshot.forget(&pod.key, None);
                    violations += usize::from(is_protected);
                    gone.push(pod);
                }
            }
        }
    }
    // Everything stands again as it was.
    let missing = if verdict.is_ok() { &gone } else { &lower };
    missing.iter().for_each(|pod| snapshot.place(pod.clone(), &name));
    verdict.map_err(|rejection| rejection.reasons.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    if gone.is_empty() {
        return Err(vec![format!("expected at least one victim pod on node \"{name}\"")]);
    }
    gone.sort_by(|one, other| importance(one).cmp(&importance(other)));
    Ok(Candidate { node: name, victims: gone, violations })
}

/// Sorts the most important first: the higher priority, then the longer life.
fn importance(pod: &PodItem) -> (Reverse<i32>, (bool, &str)) {
    (Reverse(pod.view.spec.priority), started(pod))
}

/// A pod that has not started is the youngest.
fn started(pod: &PodItem) -> (bool, &str) {
    (pod.view.started.is_empty(), &pod.view.started)
}

/// Tells pods whose eviction a budget forbids from the others, counting budgets down.
fn by_budget(pods: &[PodItem], budgets: &Budgets) -> (Vec<PodItem>, Vec<PodItem>) {
    let mut allowed: BTreeMap<&str, i64> = BTreeMap::new();
    pods.iter().cloned().partition(|pod| {
        let mut is_protected = false;
        for budget in budgets {
            let view = &budget.view;
            let covers = budget.meta.namespace == pod.meta.namespace
                && !pod.meta.labels.is_empty()
                && !view.selector.is_everything()
                && view.selector.matches(&pod.meta.labels);
            if covers && !view.disrupted.contains(&pod.meta.name) {
                let left = allowed.entry(budget.key.as_str()).or_insert(view.allowed);
                *left -= 1;
                is_protected |= *left < 0;
            }
        }
        is_protected
    })
}

/// The candidate that hurts least.
pub fn choose(candidates: Vec<Candidate>) -> Option<Candidate> {
    let cost = |candidate: &Candidate| {
        let top = candidate.victims.first().map_or(i32::MIN, |pod| pod.view.spec.priority);
        let shifted = |pod: &PodItem| i64::from(pod.view.spec.priority) + i64::from(i32::MAX) + 1;
        let sum: i64 = candidate.victims.iter().map(shifted).sum();
        let most_important = candidate.victims.iter().filter(|pod| pod.view.spec.priority == top);
        let (is_new, earliest) =
            most_important.map(started).min().map_or((true, String::new()), |(new, text)| (new, text.to_owned()));
        (candidate.violations, top, sum, candidate.victims.len(), Reverse((is_new, earliest)))
    };
    candidates.into_iter().min_by_key(cost)
}
