//! The affinity terms that placed pods hold, each with the number of its holders per node: what an
//! incoming pod has to respect of others.

use crate::pod::{Affinity, PodItem, Term};
use crate::selectors::{Index, Labels};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    RequiredAnti,
    Required,
    /// Of a weight, which is negative for anti-affinity.
    Preferred(i32),
}

#[derive(Debug)]
pub struct HeldTerm {
    pub kind: Kind,
    pub term: Term,
    /// By slot.
    pub holders: Vec<u32>,
    total: u64,
}

#[derive(Default)]
pub struct Held {
    terms: Vec<Option<HeldTerm>>,
    free: Vec<usize>,
    numbers: BTreeMap<(Kind, Term), usize>,
    index: Index,
    /// How many terms of each sort there are, to know quickly that there is nothing to look at.
    anti: usize,
    scoring: usize,
}

impl Held {
    pub fn observe(&mut self, slot: usize, pod: &PodItem, arrives: bool) {
        let Affinity { required, preferred, required_anti, preferred_anti } = &pod.view.spec.affinity;
        required_anti.iter().for_each(|term| self.count(Kind::RequiredAnti, term, slot, arrives));
        required.iter().for_each(|term| self.count(Kind::Required, term, slot, arrives));
        preferred.iter().for_each(|(weight, term)| self.count(Kind::Preferred(*weight), term, slot, arrives));
        preferred_anti.iter().for_each(|(weight, term)| self.count(Kind::Preferred(-weight), term, slot, arrives));
    }

    fn count(&mut self, kind: Kind, term: &Term, slot: usize, arrives: bool) {
        let place = (kind, term.clone());
        let number = match self.numbers.get(&place) {
            Some(number) => *number,
            None if arrives => self.add(place.clone()),
            None => return,
        };
        let Some(held) = &mut self.terms[number] else { return };
        if held.holders.len() <= slot {
            held.holders.resize(slot + 1, 0);
        }
        if arrives {
            held.holders[slot] += 1;
            held.total += 1;
            return;
        }
        held.holders[slot] = held.holders[slot].saturating_sub(1);
        held.total = held.total.saturating_sub(1);
        if held.total == 0 {
            self.index.remove(&term.selector, number);
            self.numbers.remove(&place);
            self.terms[number] = None;
            self.free.push(number);
            *self.sort(kind) -= 1;
        }
    }

    fn add(&mut self, (kind, term): (Kind, Term)) -> usize {
        let number = self.free.pop().unwrap_or(self.terms.len());
        if number == self.terms.len() {
            self.terms.push(None);
        }
        self.index.insert(&term.selector, number);
        self.numbers.insert((kind, term.clone()), number);
        self.terms[number] = Some(HeldTerm { kind, term, holders: Vec::new(), total: 0 });
        *self.sort(kind) += 1;
        number
    }

    fn sort(&mut self, kind: Kind) -> &mut usize {
        if kind == Kind::RequiredAnti { &mut self.anti } else { &mut self.scoring }
    }

    pub fn has_anti(&self) -> bool {
        self.anti > 0
    }

    pub fn has_scoring(&self) -> bool {
        self.scoring > 0
    }

    /// The terms that mean a pod of these labels, in a namespace of those.
    pub fn meaning<'h>(
        &'h self,
        namespace: &'h str,
        namespace_labels: &'h Labels,
        labels: &'h Labels,
    ) -> impl Iterator<Item = &'h HeldTerm> {
        let held = self.index.candidates(labels).into_iter().filter_map(|number| self.terms[number].as_ref());
        held.filter(move |held| held.term.matches(namespace, namespace_labels, labels))
    }
}
