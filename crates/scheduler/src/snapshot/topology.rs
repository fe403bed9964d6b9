//! Which domain of a topology each node is in: a label's values as small numbers.

use crate::node::Node;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Topologies kept; beyond that all are made anew.
const KEPT: usize = 256;
/// Of a node that has no such label.
pub const NOWHERE: u32 = u32::MAX;

/// The domains of one topology key.
#[derive(Debug)]
pub struct Domains {
    /// By slot.
    of: Vec<u32>,
    count: usize,
}

impl Domains {
    fn read<'n>(key: &str, nodes: impl Iterator<Item = &'n Node>) -> Self {
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let mut of = Vec::new();
        for node in nodes {
            let next = u32::try_from(numbers.len()).unwrap_or(NOWHERE);
            let number = node.labels().get(key).map_or(NOWHERE, |value| *numbers.entry(value).or_insert(next));
            of.push(number);
        }
        Domains { count: numbers.len(), of }
    }

    /// The domain of a node; None where it has none.
    pub fn of(&self, slot: usize) -> Option<usize> {
        self.of.get(slot).copied().filter(|number| *number != NOWHERE).map(|number| number as usize)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// What nodes count together, by domain.
    pub fn sum(&self, by_slot: &[u32], mut counts: impl FnMut(usize) -> bool) -> Vec<i64> {
        let mut sums = vec![0; self.count];
        for (slot, (domain, amount)) in self.of.iter().zip(by_slot).enumerate() {
            if *domain != NOWHERE && *amount > 0 && counts(slot) {
                sums[*domain as usize] += i64::from(*amount);
            }
        }
        sums
    }
}

/// The topologies in use. One is read again after nodes or their labels have changed.
#[derive(Debug, Default)]
pub struct Topologies {
    epoch: u64,
    known: BTreeMap<String, (u64, Arc<Domains>)>,
}

impl Topologies {
    /// Nodes have come, gone or got other labels.
    pub fn outdate(&mut self) {
        self.epoch += 1;
    }

    pub fn domains<'n>(&mut self, key: &str, nodes: impl Iterator<Item = &'n Node>) -> Arc<Domains> {
        if let Some((epoch, domains)) = self.known.get(key)
            && *epoch == self.epoch
        {
            return domains.clone();
        }
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        let domains = Arc::new(Domains::read(key, nodes));
        self.known.insert(key.to_owned(), (self.epoch, domains.clone()));
        domains
    }
}
