//! PodTopologySpread: pods that match a constraint's selector lie evenly over the domains of a
//! topology. Hard constraints filter, soft ones score. Pods without any get the profile's defaults,
//! for the pods that share a service or controller with them.

use super::node_affinity::allows;
use crate::config::DefaultSpread;
use crate::framework::{Case, MAX_SCORE, Plugin, Prepared, Rejection};
use crate::news::{NODE_ADD, NODE_DELETE, NODE_LABEL, NODE_TAINT, News, POD_ADD, POD_DELETE, POD_LABEL};
use crate::node::Node;
use crate::pod::Spread;
use crate::snapshot::{Condition, Domains, Question, Snapshot};
use std::sync::Arc;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const HOSTNAME: &str = "kubernetes.io/hostname";

pub const PLUGIN: Plugin = Plugin::spanning(
    "PodTopologySpread",
    prepare,
    2,
    NODE_ADD | NODE_DELETE | NODE_LABEL | NODE_TAINT | POD_ADD | POD_DELETE | POD_LABEL,
    hint,
);

/// A hard constraint with the counts it is judged by.
struct Hard {
    spread: Spread,
    domains: Arc<Domains>,
    /// By domain; domains of which no node counts have none.
    counts: Vec<i64>,
    least: i64,
    /// 1 where the pod matches the selector itself.
    own: i64,
}

struct Ready {
    hard: Vec<Hard>,
    soft: Vec<Spread>,
    /// Nodes that lack any of the topologies are passed over (not so for the built-in defaults).
    needs_all: bool,
}

fn prepare(case: &Case<'_>, snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    let (constraints, needs_all) = constraints(case);
    let (hard, soft): (Vec<_>, Vec<_>) = constraints.into_iter().partition(|spread| spread.is_hard);
    if hard.is_empty() && soft.is_empty() {
        return Ok(None);
    }
    let all: Vec<Arc<Domains>> = hard.iter().map(|spread| snapshot.domains(&spread.topology_key)).collect();
    let counted = hard.into_iter().map(|spread| count(case, snapshot, spread, &all));
    let hard = counted.collect();
    Ok(Some(Box::new(Ready { hard, soft, needs_all })))
}

fn constraints(case: &Case<'_>) -> (Vec<Spread>, bool) {
    if !case.spec.spread.is_empty() {
        return (case.spec.spread.clone(), true);
    }
    let defaults = match &case.args.spread {
        DefaultSpread::List(list) if list.is_empty() => return (Vec::new(), true),
        defaults => defaults,
    };
    let Some(selector) = case.cluster.default_selector(case.pod) else { return (Vec::new(), true) };
    let of = |key: &str, max_skew: i64, is_hard: bool| Spread {
        max_skew,
        topology_key: key.to_owned(),
        is_hard,
        selector: selector.clone(),
        min_domains: 1,
        honors_affinity: true,
        honors_taints: false,
    };
    match defaults {
        DefaultSpread::System => (vec![of(HOSTNAME, 3, false), of("topology.kubernetes.io/zone", 5, false)], false),
        DefaultSpread::List(list) => {
            (list.iter().map(|one| of(&one.topology_key, one.max_skew, one.is_hard)).collect(), true)
        }
    }
}

fn question(case: &Case<'_>, spread: &Spread) -> Question {
    let condition =
        Condition { namespaces: Some([case.pod.meta.namespace.clone()].into()), selector: spread.selector.clone() };
    Question { conditions: vec![condition], skips_deleting: true }
}

/// Whether pods on the node count, by the constraint's policies.
fn counts_on(case: &Case<'_>, spread: &Spread, node: &Node) -> bool {
    let allowed = || {
        let free = case.spec.node_selector.is_empty() && case.spec.required_nodes.is_none();
        free || allows(case.spec, node)
    };
    let tolerated = || {
        let taints = node.view().map(|view| view.taints.as_slice()).unwrap_or_default();
        taints.iter().all(|taint| !taint.is_hard() || taint.is_tolerated(&case.spec.tolerations))
    };
    (!spread.honors_affinity || allowed()) && (!spread.honors_taints || tolerated())
}

/// Whether the constraint's policies leave out no node.
fn counts_everywhere(case: &Case<'_>, spread: &Spread) -> bool {
    let free = case.spec.node_selector.is_empty() && case.spec.required_nodes.is_none();
    (!spread.honors_affinity || free) && !spread.honors_taints
}

/// By domain: what nodes that count hold together, and whether there is any such node.
fn count_on_some(
    case: &Case<'_>,
    snapshot: &mut Snapshot,
    spread: &Spread,
    by_slot: &[u32],
    all: &[Arc<Domains>],
) -> (Vec<i64>, Vec<bool>) {
    let domains = snapshot.domains(&spread.topology_key);
    let mut counts = vec![0; domains.count()];
    let mut present = vec![false; domains.count()];
    for slot in snapshot.order().iter().copied() {
        let in_all = all.iter().all(|domains| domains.of(slot).is_some());
        let Some(domain) = domains.of(slot).filter(|_| in_all) else { continue };
        if counts_on(case, spread, snapshot.node(slot)) {
            counts[domain] += i64::from(by_slot[slot]);
            present[domain] = true;
        }
    }
    (counts, present)
}

fn count(case: &Case<'_>, snapshot: &mut Snapshot, spread: Spread, all: &[Arc<Domains>]) -> Hard {
    let domains = snapshot.domains(&spread.topology_key);
    let question = question(case, &spread);
    let (counts, present) = if all.len() == 1 && counts_everywhere(case, &spread) {
        (domains.sum(snapshot.count(&question), |_| true), vec![true; domains.count()])
    } else {
        let by_slot = snapshot.count(&question).to_vec();
        count_on_some(case, snapshot, &spread, &by_slot, all)
    };
    let standing = counts.iter().zip(&present).filter(|(_, present)| **present);
    let number = i64::try_from(standing.clone().count()).unwrap_or(i64::MAX);
    let least = standing.map(|(count, _)| *count).min();
    // Too few domains count as if one of them were empty.
    let least = if number < spread.min_domains { Some(0) } else { least };
    let own = i64::from(spread.selector.matches(&case.pod.meta.labels));
    Hard { domains, counts, least: least.unwrap_or(i64::MAX / 2), own, spread }
}

impl Prepared for Ready {
    fn filter(&self, _case: &Case<'_>, _snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        for hard in &self.hard {
            let Some(domain) = hard.domains.of(slot) else {
                return Err(Rejection::of(NO_LABEL).is_final());
            };
            if hard.counts[domain] + hard.own - hard.least > hard.spread.max_skew {
                return Err(Rejection::of(REASON));
            }
        }
        Ok(())
    }

    fn score(&self, case: &Case<'_>, snapshot: &mut Snapshot, nodes: &[usize]) -> Option<Vec<i64>> {
        if self.soft.is_empty() {
            return None;
        }
        let domains: Vec<_> = self.soft.iter().map(|spread| snapshot.domains(&spread.topology_key)).collect();
        let has_all = |slot: usize| !self.needs_all || domains.iter().all(|domains| domains.of(slot).is_some());
        let mut totals = vec![0.0; nodes.len()];
        for (spread, domains) in self.soft.iter().zip(&domains) {
            self.add(case, snapshot, spread, domains, &has_all, nodes, &mut totals);
        }
        Some(normalize(&totals, nodes, has_all))
    }
}

impl Ready {
    /// Adds what one constraint makes of each node: the more matching pods in its domain the more.
    #[expect(clippy::too_many_arguments, reason = "one step of a sum over constraints")]
    fn add(
        &self,
        case: &Case<'_>,
        snapshot: &mut Snapshot,
        spread: &Spread,
        domains: &Domains,
        has_all: &dyn Fn(usize) -> bool,
        nodes: &[usize],
        totals: &mut [f64],
    ) {
        let order = snapshot.order();
        let by_slot = snapshot.count(&question(case, spread)).to_vec();
        let by_node = spread.topology_key == HOSTNAME;
        let mut seen = vec![false; domains.count()];
        let fitting = nodes.iter().filter(|slot| has_all(**slot));
        let size = if by_node {
            fitting.count()
        } else {
            fitting.filter_map(|slot| domains.of(*slot)).filter(|one| !std::mem::replace(&mut seen[*one], true)).count()
        };
        let weight = ((size + 2) as f64).ln();
        let mut counts = vec![0; domains.count()];
        for slot in order.iter().copied().filter(|slot| !by_node && has_all(*slot)) {
            if let Some(domain) = domains.of(slot)
                && by_slot[slot] > 0
                && counts_on(case, spread, snapshot.node(slot))
            {
                counts[domain] += by_slot[slot];
            }
        }
        for (slot, total) in nodes.iter().zip(totals) {
            let Some(domain) = domains.of(*slot) else { continue };
            let count = if by_node { by_slot[*slot] } else { counts[domain] };
            *total += f64::from(count) * weight + (spread.max_skew - 1) as f64;
        }
    }
}

/// The fewer the better; nodes that were passed over come last.
fn normalize(totals: &[f64], nodes: &[usize], has_all: impl Fn(usize) -> bool) -> Vec<i64> {
    let rounded: Vec<Option<i64>> =
        totals.iter().zip(nodes).map(|(total, slot)| has_all(*slot).then(|| total.round() as i64)).collect();
    let least = rounded.iter().flatten().copied().min().unwrap_or(0);
    let most = rounded.iter().flatten().copied().max().unwrap_or(0);
    let score = |total: i64| if most == 0 { MAX_SCORE } else { MAX_SCORE * (most + least - total) / most };
    rounded.into_iter().map(|total| total.map_or(0, score)).collect()
}

/// Pods that a constraint counts, and nodes that are in its topology.
fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    let Some((old, new)) = news.pods() else { return true };
    let hard = || case.spec.spread.iter().filter(|spread| spread.is_hard);
    // Without constraints of its own it was the defaults that kept it out.
    hard().next().is_none()
        || old.into_iter().chain(new).any(|pod| {
            pod.meta.namespace == case.pod.meta.namespace
                && hard().any(|spread| spread.selector.matches(&pod.meta.labels))
        })
}
