//! Finds the nodes that take a pod and the best of them, as upstream's scheduling cycle does.
//!
//! What local rules say of a node is remembered per kind of pod until the node changes, so that the
//! thousandth pod of a Deployment costs a comparison per node. Spanning rules are made ready once
//! per pod from counts that are kept current.

use crate::config::Profile;
use crate::framework::{Case, Local, Normalize, Prepared, Rejection, Rule, Score, normalize};
use crate::node::Node;
use crate::plugins::{ALL, bit};
use crate::pod::{PodItem, PodSpec};
use crate::snapshot::Snapshot;
use base::Rng;
use client::cache::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Kinds of pods remembered.
const CLASSES: usize = 32;
/// Clusters up to this size are looked at as a whole.
const FEW_NODES: usize = 100;

/// Why nodes did not take a pod.
#[derive(Debug, Default)]
pub struct Diagnosis {
    pub nodes: usize,
    /// Said of the pod before any node was looked at.
    pub before: Option<Rejection>,
    pub rejected: Vec<(usize, Arc<Rejection>)>,
    /// What holds for all other nodes.
    pub others: Option<Rejection>,
}

impl Diagnosis {
    /// The plugins that said no, as a mask.
    pub fn by(&self) -> u32 {
        let nodes = self.rejected.iter().map(|(_, rejection)| rejection.by);
        nodes.chain(self.before.iter().chain(&self.others).map(|one| one.by)).fold(0, |all, one| all | one)
    }

    /// Slots of nodes where evicting pods may help.
    pub fn helpable(&self) -> Vec<usize> {
        self.rejected.iter().filter(|(_, rejection)| !rejection.is_final).map(|(slot, _)| *slot).collect()
    }
}

/// The rules that look at more than one node, ready for one pod.
pub type Ready = Vec<(usize, Box<dyn Prepared>)>;

/// What the nodes said.
pub struct Ruling {
    pub fitting: Vec<usize>,
    pub diagnosis: Diagnosis,
    pub ready: Ready,
}

/// What local rules said of a node, at one generation of it.
#[derive(Clone, Default)]
struct Judged {
    generation: u64,
    rejection: Option<Arc<Rejection>>,
}

/// What was said in one search, each sentence once: of thousands of nodes most say the same.
#[derive(Default)]
struct Said(Vec<Arc<Rejection>>);

impl Said {
    /// Beyond so many different ones it is not worth looking.
    const KEPT: usize = 16;

    fn share(&mut self, rejection: Rejection) -> Arc<Rejection> {
        if let Some(same) = self.0.iter().find(|one| ***one == rejection) {
            return same.clone();
        }
        let fresh = Arc::new(rejection);
        if self.0.len() < Self::KEPT {
            self.0.push(fresh.clone());
        }
        fresh
    }
}

/// Pods of one spec.
#[derive(Default)]
struct Class {
    judged: Vec<Judged>,
    /// Raw scores, for each slot those of all local rules that score.
    scores: Vec<i64>,
    image_generation: u64,
    used: u64,
}

/// Judges under one profile.
pub struct Judge {
    profile: Arc<Profile>,
    percentage: i64,
    filters: Vec<(usize, crate::framework::Filter)>,
    scorers: Vec<(Score, Normalize, i64)>,
    classes: BTreeMap<Arc<PodSpec>, Class>,
    uses: u64,
    /// Where in the order of nodes the next search begins.
    start: usize,
}

impl Judge {
    pub fn new(profile: Arc<Profile>, percentage: i64) -> Self {
        let local = |place: usize| match ALL[place].rule {
            Rule::Local(local) => Some(local),
            _ => None,
        };
        let filters = profile.filters.iter().filter_map(|place| Some((*place, local(*place)?.filter?)));
        let scorers = profile.scores.iter().filter_map(|(place, weight)| {
            let (score, how) = local(*place)?.score?;
            Some((score, how, *weight))
        });
        Judge {
            filters: filters.collect(),
            scorers: scorers.collect(),
            percentage: profile.percentage_of_nodes_to_score.unwrap_or(percentage),
            classes: BTreeMap::new(),
            uses: 0,
            start: 0,
            profile,
        }
    }

    /// Looks for enough nodes that take the pod.
    pub fn find(&mut self, case: &Case<'_>, snapshot: &mut Snapshot) -> Ruling {
        let order = snapshot.order();
        let mut diagnosis = Diagnosis { nodes: order.len(), ..Diagnosis::default() };
        let none = |diagnosis| Ruling { fitting: Vec::new(), diagnosis, ready: Vec::new() };
        if order.is_empty() {
            return none(diagnosis);
        }
        let (ready, only) = match self.prepare(case, snapshot) {
            Ok(prepared) => prepared,
            Err(rejection) => {
                diagnosis.before = Some(rejection);
                return none(diagnosis);
            }
        };
        let mut class = self.take_class(case, snapshot);
        let (mut fitting, mut said) = (Vec::new(), Said::default());
        let nominated = snapshot.nomination(&case.pod.key).unwrap_or(&case.pod.view.nominated_node).to_owned();
        let nominated = snapshot.find(&nominated).map(|node| node.slot);
        if let Some(slot) = nominated.filter(|slot| allowed(snapshot, only.as_ref(), *slot))
            && self.takes(case, snapshot, &ready, &mut class, &mut said, slot).is_ok()
        {
            self.put_class(case, class);
            return Ruling { fitting: vec![slot], diagnosis, ready };
        }
        let slots: Vec<usize> = match &only {
            Some(names) => names.iter().filter_map(|name| snapshot.find(name)).map(|node| node.slot).collect(),
            None => Vec::new(),
        };
        let (list, wanted) = match &only {
            Some(_) => (&slots, slots.len()),
            None => (&*order, self.wanted(order.len())),
        };
        let start = if only.is_some() { 0 } else { self.start % order.len() };
        let mut seen = 0;
        for slot in list[start..].iter().chain(&list[..start]).copied() {
            seen += 1;
            match self.takes(case, snapshot, &ready, &mut class, &mut said, slot) {
                Ok(()) => fitting.push(slot),
                Err(rejection) => diagnosis.rejected.push((slot, rejection)),
            }
            if fitting.len() >= wanted {
                break;
            }
        }
        match only {
            Some(_) => {
                let others = Rejection::of("node(s) didn't satisfy plugin(s) [NodeAffinity]").is_final();
                let by = self.filters.iter().filter(|(place, _)| ALL[*place].name == "NodeAffinity");
                let by = by.map(|(place, _)| bit(*place)).sum();
                diagnosis.others = Some(Rejection { by, ..others });
            }
            None => self.start = (start + seen) % order.len(),
        }
        self.put_class(case, class);
        Ruling { fitting, diagnosis, ready }
    }

    /// Makes the rules ready that look at all nodes, and learns whether only some nodes can do.
    fn prepare(
        &self,
        case: &Case<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<(Ready, Option<BTreeSet<String>>), Rejection> {
        let mut ready = Ready::new();
        let mut only: Option<BTreeSet<String>> = None;
        for place in &self.profile.filters {
            let mark = |rejection: Rejection| Rejection { by: bit(*place), ..rejection };
            match ALL[*place].rule {
                Rule::Local(Local { only: Some(names), .. }) => {
                    if let Some(names) = names(case).map_err(mark)? {
                        only = Some(only.map_or(names.clone(), |before| &before & &names));
                    }
                }
                Rule::Spanning(prepare) => {
                    let prepared = prepare(case, snapshot).map_err(mark)?;
                    ready.extend(prepared.map(|prepared| (*place, prepared)));
                }
                _ => {}
            }
        }
        Ok((ready, only))
    }

    /// How many nodes are enough to choose from.
    fn wanted(&self, nodes: usize) -> usize {
        if nodes < FEW_NODES || self.percentage >= 100 {
            return nodes;
        }
        let adaptive = 50usize.saturating_sub(nodes / 125).max(5);
        let percentage = usize::try_from(self.percentage).ok().filter(|given| *given > 0).unwrap_or(adaptive);
        (nodes * percentage / 100).max(FEW_NODES)
    }

    fn takes(
        &self,
        case: &Case<'_>,
        snapshot: &mut Snapshot,
        ready: &Ready,
        class: &mut Class,
        said: &mut Said,
        slot: usize,
    ) -> Result<(), Arc<Rejection>> {
        if snapshot.has_nominations() {
            self.takes_beside_nominated(case, snapshot, slot).map_err(|rejection| said.share(rejection))?;
        }
        if class.judged[slot].generation != snapshot.generation(slot) {
            self.judge(case, snapshot, class, said, slot);
        }
        if let Some(rejection) = &class.judged[slot].rejection {
            return Err(rejection.clone());
        }
        spanning(case, snapshot, ready, slot).map_err(|rejection| said.share(rejection))
    }

    fn judge(&self, case: &Case<'_>, snapshot: &Snapshot, class: &mut Class, said: &mut Said, slot: usize) {
        let node = snapshot.node(slot);
        let rejection = self.local(case, node).err().map(|rejection| said.share(rejection));
        if rejection.is_none() {
            let width = self.scorers.len();
            for (at, (score, ..)) in self.scorers.iter().enumerate() {
                class.scores[slot * width + at] = score(case, node, snapshot);
            }
        }
        class.judged[slot] = Judged { generation: snapshot.generation(slot), rejection };
    }

    fn local(&self, case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
        for (place, filter) in &self.filters {
            filter(case, node).map_err(|rejection| Rejection { by: bit(*place), ..rejection })?;
        }
        Ok(())
    }

    /// Whether the node would take the pod as the snapshot stands, with whoever waits for room
    /// there. Nothing is remembered: for asking what would be if.
    pub fn fits(&self, case: &Case<'_>, snapshot: &mut Snapshot, slot: usize) -> Result<(), Rejection> {
        if snapshot.has_nominations() {
            self.takes_beside_nominated(case, snapshot, slot)?;
        }
        self.fits_as_is(case, snapshot, slot)
    }

    fn fits_as_is(&self, case: &Case<'_>, snapshot: &mut Snapshot, slot: usize) -> Result<(), Rejection> {
        self.local(case, snapshot.node(slot))?;
        let (ready, _) = self.prepare(case, snapshot)?;
        spanning(case, snapshot, &ready, slot)
    }

    /// Pods that are as important and wait for room on the node are counted as if they were there.
    fn takes_beside_nominated(&self, case: &Case<'_>, snapshot: &mut Snapshot, slot: usize) -> Result<(), Rejection> {
        let node = snapshot.node(slot);
        let name = node.name.clone();
        let counts = |pod: &&PodItem| {
            pod.key != case.pod.key && pod.view.spec.priority >= case.spec.priority && !node.pods.contains_key(&pod.key)
        };
        let pods: Vec<PodItem> = snapshot.nominated(&name).filter(counts).cloned().collect();
        if pods.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = pods.iter().map(|pod| pod.key.clone()).collect();
        pods.into_iter().for_each(|pod| snapshot.place(pod, &name));
        let verdict = self.fits_as_is(case, snapshot, slot);
        keys.iter().for_each(|key| drop(snapshot.forget(key, None)));
        verdict
    }

    /// The scores of nodes that fit, all plugins together.
    pub fn score(&mut self, case: &Case<'_>, snapshot: &mut Snapshot, ready: &Ready, nodes: &[usize]) -> Vec<i64> {
        let mut class = self.take_class(case, snapshot);
        let (mut totals, mut said) = (vec![0; nodes.len()], Said::default());
        for slot in nodes {
            if class.judged[*slot].generation != snapshot.generation(*slot) {
                self.judge(case, snapshot, &mut class, &mut said, *slot);
            }
        }
        let width = self.scorers.len();
        let mut scores = Vec::with_capacity(nodes.len());
        for (at, (_, how, weight)) in self.scorers.iter().enumerate() {
            scores.clear();
            scores.extend(nodes.iter().map(|slot| class.scores[slot * width + at]));
            normalize(&mut scores, *how);
            totals.iter_mut().zip(&scores).for_each(|(total, score)| *total += score * weight);
        }
        self.put_class(case, class);
        for (place, weight) in &self.profile.scores {
            let Some((_, prepared)) = ready.iter().find(|(ready, _)| ready == place) else { continue };
            if let Some(scores) = prepared.score(case, snapshot, nodes) {
                totals.iter_mut().zip(&scores).for_each(|(total, score)| *total += score * weight);
            }
        }
        totals
    }

    /// The scores of nodes some time after they were found to fit.
    pub fn score_anew(&mut self, case: &Case<'_>, snapshot: &mut Snapshot, nodes: &[usize]) -> Vec<i64> {
        match self.prepare(case, snapshot) {
            Ok((ready, _)) => self.score(case, snapshot, &ready, nodes),
            Err(_) => vec![0; nodes.len()],
        }
    }

    /// The best of the nodes; equals are drawn by lot.
    pub fn best(nodes: &[usize], totals: &[i64], rng: &Rng) -> Option<usize> {
        let highest = totals.iter().max()?;
        let winners: Vec<usize> =
            nodes.iter().zip(totals).filter(|(_, total)| *total == highest).map(|(slot, _)| *slot).collect();
        Some(winners[rng.usize(0..winners.len())])
    }

    fn take_class(&mut self, case: &Case<'_>, snapshot: &Snapshot) -> Class {
        let mut class = self.classes.remove(&case.pod.view.spec).unwrap_or_default();
        if class.image_generation != snapshot.image_generation {
            class.image_generation = snapshot.image_generation;
            class.judged.iter_mut().for_each(|judged| judged.generation = 0);
        }
        class.judged.resize(snapshot.slots(), Judged::default());
        class.scores.resize(snapshot.slots() * self.scorers.len(), 0);
        self.uses += 1;
        class.used = self.uses;
        class
    }

    fn put_class(&mut self, case: &Case<'_>, class: Class) {
        if self.classes.len() >= CLASSES {
            let oldest = self.classes.iter().min_by_key(|(_, class)| class.used).map(|(spec, _)| spec.clone());
            oldest.map(|spec| self.classes.remove(&spec));
        }
        self.classes.insert(case.pod.view.spec.clone(), class);
    }
}

fn allowed(snapshot: &Snapshot, only: Option<&BTreeSet<String>>, slot: usize) -> bool {
    only.is_none_or(|names| names.contains(&snapshot.node(slot).name))
}

fn spanning(case: &Case<'_>, snapshot: &Snapshot, ready: &Ready, slot: usize) -> Result<(), Rejection> {
    for (place, prepared) in ready {
        prepared.filter(case, snapshot, slot).map_err(|rejection| Rejection { by: bit(*place), ..rejection })?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "judge_speed.rs"]
mod speed;
