//! Counts of pods that match some selectors, per node, kept current pod by pod: what topology
//! spread and inter-pod affinity look at instead of going through all pods.

use crate::pod::PodItem;
use crate::selectors::{Index, Matcher};
use std::collections::{BTreeMap, BTreeSet};

/// Tallies kept; the longest unused go first.
const KEPT: usize = 1024;

/// What a tally counts: pods that meet every condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub conditions: Vec<Condition>,
    /// Pods on their way out are not counted.
    pub skips_deleting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// None: all namespaces.
    pub namespaces: Option<BTreeSet<String>>,
    pub selector: Matcher,
}

impl Condition {
    fn matches(&self, pod: &PodItem) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(&pod.meta.namespace))
            && self.selector.matches(&pod.meta.labels)
    }
}

impl Question {
    pub fn of(conditions: Vec<Condition>) -> Self {
        Question { conditions, skips_deleting: false }
    }

    fn counts(&self, pod: &PodItem) -> bool {
        !(self.skips_deleting && pod.meta.is_deleting()) && self.conditions.iter().all(|one| one.matches(pod))
    }

    /// A selector that what it counts matches in any case.
    fn first(&self) -> Option<&Matcher> {
        self.conditions.first().map(|one| &one.selector)
    }
}

struct Tally {
    question: Question,
    by_slot: Vec<u32>,
    used: u64,
}

#[derive(Default)]
pub struct Tallies {
    tallies: Vec<Option<Tally>>,
    numbers: BTreeMap<Question, usize>,
    index: Index,
    uses: u64,
    /// How many placed pods have a label: a new question about one that none has needs no looking.
    labels: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Tallies {
    /// The counts that answer `question`, by slot; `pods` are all there are, for one not asked yet.
    pub fn ask<'p>(
        &mut self,
        question: &Question,
        slots: usize,
        pods: impl Iterator<Item = (usize, &'p PodItem)>,
    ) -> &[u32] {
        self.uses += 1;
        let number = match self.numbers.get(question) {
            Some(number) => *number,
            None => self.add(question, pods),
        };
        match &mut self.tallies[number] {
            Some(tally) => {
                tally.used = self.uses;
                if tally.by_slot.len() < slots {
                    tally.by_slot.resize(slots, 0);
                }
                &tally.by_slot
            }
            None => &[],
        }
    }

    fn add<'p>(&mut self, question: &Question, pods: impl Iterator<Item = (usize, &'p PodItem)>) -> usize {
        if self.numbers.len() >= KEPT {
            self.forget_oldest();
        }
        let mut tally = Tally { question: question.clone(), by_slot: Vec::new(), used: self.uses };
        let exact = question.first().and_then(Matcher::exact);
        let is_known = |(key, value)| self.labels.get(key).is_some_and(|values| values.contains_key(value));
        if exact.is_none_or(is_known) {
            pods.filter(|(_, pod)| question.counts(pod)).for_each(|(slot, _)| tally.count(slot, true));
        }
        let number = self.tallies.iter().position(Option::is_none).unwrap_or(self.tallies.len());
        if number == self.tallies.len() {
            self.tallies.push(None);
        }
        if let Some(matcher) = question.first() {
            self.index.insert(matcher, number);
        }
        self.numbers.insert(question.clone(), number);
        self.tallies[number] = Some(tally);
        number
    }

    fn forget_oldest(&mut self) {
        let oldest = self.tallies.iter().flatten().min_by_key(|tally| tally.used);
        let Some(question) = oldest.map(|tally| tally.question.clone()) else { return };
        let Some(number) = self.numbers.remove(&question) else { return };
        if let Some(matcher) = question.first() {
            self.index.remove(matcher, number);
        }
        self.tallies[number] = None;
    }

    /// A pod has come to a node, or left it.
    pub fn observe(&mut self, slot: usize, pod: &PodItem, arrives: bool) {
        for (key, value) in &pod.meta.labels {
            self.note_label(key, value, arrives);
        }
        for number in self.index.candidates(&pod.meta.labels) {
            if let Some(tally) = &mut self.tallies[number]
                && tally.question.counts(pod)
            {
                tally.count(slot, arrives);
            }
        }
    }
}

impl Tallies {
    fn note_label(&mut self, key: &str, value: &str, arrives: bool) {
        if !self.labels.contains_key(key) {
            self.labels.insert(key.to_owned(), BTreeMap::new());
        }
        let Some(values) = self.labels.get_mut(key) else { return };
        match values.get_mut(value) {
            Some(count) if arrives => *count += 1,
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(values.remove(value)),
            None if arrives => drop(values.insert(value.to_owned(), 1)),
            None => {}
        }
        if values.is_empty() {
            self.labels.remove(key);
        }
    }
}

impl Tally {
    fn count(&mut self, slot: usize, arrives: bool) {
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, 0);
        }
        let count = &mut self.by_slot[slot];
        *count = if arrives { *count + 1 } else { count.saturating_sub(1) };
    }
}
