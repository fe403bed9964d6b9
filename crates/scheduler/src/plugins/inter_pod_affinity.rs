//! InterPodAffinity: pods that want to be with, or away from, others in a topology. What placed
//! pods want of newcomers is respected as well.

use crate::framework::{Case, MAX_SCORE, Plugin, Prepared, Rejection};
use crate::news::{NODE_ADD, NODE_LABEL, News, POD_ADD, POD_DELETE, POD_LABEL};
use crate::pod::{PodItem, Term};
use crate::snapshot::{Condition, Domains, Kind, Question, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const PLUGIN: Plugin =
    Plugin::spanning("InterPodAffinity", prepare, 2, NODE_ADD | NODE_LABEL | POD_ADD | POD_DELETE | POD_LABEL, hint);

/// Pods in the domains of a topology.
struct Counts {
    domains: Arc<Domains>,
    by_domain: Vec<i64>,
}

impl Counts {
    fn new(snapshot: &mut Snapshot, topology_key: &str, by_slot: &[u32]) -> Self {
        let domains = snapshot.domains(topology_key);
        Counts { by_domain: domains.sum(by_slot, |_| true), domains }
    }

    /// How many there are in the node's domain; None where it has none.
    fn around(&self, slot: usize) -> Option<i64> {
        self.domains.of(slot).map(|domain| self.by_domain[domain])
    }
}

struct Ready {
    /// For each required term: the pods that meet all of them.
    wanted: Vec<Counts>,
    /// Nobody meets them yet but the pod itself.
    is_first: bool,
    unwanted: Vec<Counts>,
    /// Placed pods that do not want this one.
    refusing: Vec<Counts>,
}

fn prepare(case: &Case<'_>, snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    let own = &case.spec.affinity;
    if own.is_empty() && !snapshot.held.has_anti() && !snapshot.held.has_scoring() {
        return Ok(None);
    }
    let refusing = held(case, snapshot, |kind| kind == Kind::RequiredAnti).into_iter();
    let refusing = refusing.map(|(_, key, holders)| Counts::new(snapshot, &key, &holders)).collect();
    let question = Question::of(own.required.iter().map(|term| condition(case, term)).collect());
    let mut wanted = Vec::new();
    if !own.required.is_empty() {
        let by_slot = snapshot.count(&question).to_vec();
        wanted.extend(own.required.iter().map(|term| Counts::new(snapshot, &term.topology_key, &by_slot)));
    }
    let nobody = wanted.iter().all(|counts| counts.by_domain.iter().all(|count| *count == 0));
    let is_first = nobody && own.required.iter().all(|term| means(case, term, case.pod));
    let mut unwanted = Vec::new();
    for term in &own.required_anti {
        let by_slot = snapshot.count(&Question::of(vec![condition(case, term)])).to_vec();
        unwanted.push(Counts::new(snapshot, &term.topology_key, &by_slot));
    }
    Ok(Some(Box::new(Ready { wanted, is_first, unwanted, refusing })))
}

/// The terms of placed pods that mean this one: their kind, topology and holders by slot.
fn held(case: &Case<'_>, snapshot: &Snapshot, of: impl Fn(Kind) -> bool) -> Vec<(Kind, String, Vec<u32>)> {
    let namespace = &case.pod.meta.namespace;
    let labels = case.cluster.namespace_labels(namespace);
    let terms = snapshot.held.meaning(namespace, &labels, &case.pod.meta.labels);
    terms
        .filter(|held| of(held.kind))
        .map(|held| (held.kind, held.term.topology_key.clone(), held.holders.clone()))
        .collect()
}

fn condition(case: &Case<'_>, term: &Term) -> Condition {
    let namespaces = match &term.namespace_selector {
        None => Some(term.namespaces.clone()),
        Some(selector) if selector.is_everything() => None,
        Some(selector) => Some(&term.namespaces | &case.cluster.namespaces(selector)),
    };
    Condition { namespaces, selector: term.selector.clone() }
}

fn means(case: &Case<'_>, term: &Term, pod: &PodItem) -> bool {
    let namespace = &pod.meta.namespace;
    let labels = match &term.namespace_selector {
        None => BTreeMap::new(),
        Some(_) => case.cluster.namespace_labels(namespace),
    };
    term.matches(namespace, &labels, &pod.meta.labels)
}

impl Prepared for Ready {
    fn filter(&self, _case: &Case<'_>, _snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        let in_topology = self.wanted.iter().all(|counts| counts.around(slot).is_some());
        let together = self.wanted.iter().all(|counts| counts.around(slot).is_some_and(|count| count > 0));
        if !(in_topology && (together || self.is_first)) {
            return Err(Rejection::of("node(s) didn't match pod affinity rules").is_final());
        }
        let meets = |counts: &[Counts]| counts.iter().any(|one| one.around(slot).is_some_and(|count| count > 0));
        if meets(&self.unwanted) {
            return Err(Rejection::of("node(s) didn't match pod anti-affinity rules"));
        }
        if meets(&self.refusing) {
            return Err(Rejection::of("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn score(&self, case: &Case<'_>, snapshot: &mut Snapshot, nodes: &[usize]) -> Option<Vec<i64>> {
        let own = &case.spec.affinity;
        let prefers = !own.preferred.is_empty() || !own.preferred_anti.is_empty();
        if !prefers && (case.args.affinity.ignores_preferred_of_existing || !snapshot.held.has_scoring()) {
            return None;
        }
        let mut terms: Vec<(i64, String, Vec<u32>)> = Vec::new();
        let signed = own.preferred.iter().map(|(weight, term)| (i64::from(*weight), term));
        for (weight, term) in signed.chain(own.preferred_anti.iter().map(|(weight, term)| (-i64::from(*weight), term)))
        {
            let by_slot = snapshot.count(&Question::of(vec![condition(case, term)])).to_vec();
            terms.push((weight, term.topology_key.clone(), by_slot));
        }
        for (kind, key, holders) in held(case, snapshot, |kind| kind != Kind::RequiredAnti) {
            let weight = match kind {
                Kind::Preferred(weight) => i64::from(weight),
                _ => case.args.affinity.hard_weight,
            };
            terms.push((weight, key, holders));
        }
        let mut totals = vec![0; nodes.len()];
        for (weight, key, by_slot) in terms {
            let counts = Counts::new(snapshot, &key, &by_slot);
            for (slot, total) in nodes.iter().zip(&mut totals) {
                *total += counts.around(*slot).unwrap_or(0) * weight;
            }
        }
        spread_out(&totals)
    }
}

/// The lowest becomes 0, the highest 100; None where all are equal.
fn spread_out(totals: &[i64]) -> Option<Vec<i64>> {
    let (least, most) = (totals.iter().copied().min()?, totals.iter().copied().max()?);
    (most > least).then(|| {
        let scaled = |total: i64| MAX_SCORE as f64 * (total - least) as f64 / (most - least) as f64;
        totals.iter().map(|total| scaled(*total) as i64).collect()
    })
}

/// Pods come that are wanted, or go that were unwanted or did not want this one.
fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    let Some((old, new)) = news.pods() else { return true };
    let own = &case.spec.affinity;
    let comes = new.is_some_and(|pod| own.required.iter().any(|term| means(case, term, pod)));
    let goes = old.is_some_and(|pod| {
        own.required_anti.iter().any(|term| means(case, term, pod))
            || pod.view.spec.affinity.required_anti.iter().any(|term| means(case, term, case.pod))
    });
    comes || goes && new.is_none_or(|new| old.is_some_and(|old| old.meta.labels != new.meta.labels))
}
