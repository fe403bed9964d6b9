//! What is remembered from one look to the next, and what follows: the conditions of the node, and the
//! thresholds that are to be acted upon. Pure; times are counted from the start.

use super::signals::{Observed, Signal};
use super::thresholds::Threshold;
use std::collections::BTreeMap;
use std::time::Duration;

pub type Observations = BTreeMap<Signal, Observed>;

/// Thresholds go by their places in the list.
#[derive(Debug, Default)]
pub struct Memory {
    first_met: BTreeMap<usize, Duration>,
    /// Acted upon at the last look; they end only when enough is free again.
    acted_upon: Vec<usize>,
    last_seen: BTreeMap<&'static str, Duration>,
}

#[derive(Debug, PartialEq)]
pub struct Findings {
    /// Of the node, such as `MemoryPressure`.
    pub conditions: Vec<&'static str>,
    /// Met for long enough, the most urgent first.
    pub due: Vec<Threshold>,
}

impl Memory {
    pub fn judge(
        &mut self,
        thresholds: &[Threshold],
        observed: &Observations,
        transition: Duration,
        now: Duration,
    ) -> Findings {
        let is_met = |at: &usize| {
            let found = observed.get(&thresholds[*at].signal);
            found.is_some_and(|found| thresholds[*at].is_met(*found, self.acted_upon.contains(at)))
        };
        let met: Vec<usize> = (0..thresholds.len()).filter(is_met).collect();
        self.first_met = met.iter().map(|at| (*at, self.first_met.get(at).copied().unwrap_or(now))).collect();
        for at in &met {
            self.last_seen.insert(thresholds[*at].signal.condition(), now);
        }
        self.last_seen.retain(|_, seen| now.saturating_sub(*seen) < transition || *seen == now);
        let lasted = |at: &usize| now.saturating_sub(self.first_met[at]) >= thresholds[*at].grace.unwrap_or_default();
        self.acted_upon = met.into_iter().filter(lasted).collect();
        let mut due: Vec<Threshold> = self.acted_upon.iter().map(|at| thresholds[*at]).collect();
        // A machine without memory is lost sooner than one without disk.
        due.sort_by_key(|threshold| threshold.signal != Signal::MemoryAvailable);
        Findings { conditions: self.last_seen.keys().copied().collect(), due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::EvictionOptions;

    fn options(hard: &str, soft: &str) -> EvictionOptions {
        EvictionOptions {
            hard: hard.parse().unwrap(),
            soft: soft.parse().unwrap(),
            soft_grace: "memory.available=30s".parse().unwrap(),
            reclaim: "memory.available=50".parse().unwrap(),
            ..EvictionOptions::none()
        }
    }

    /// Signals that are due and conditions, at times with so much memory and disk left of 1000.
    fn story(options: &EvictionOptions, looks: &[(u64, i64, i64)]) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
        let mut memory = Memory::default();
        let look = |(at, of_memory, of_disk): &(u64, i64, i64)| {
            let left = |available: i64| Observed { available, capacity: 1000 };
            let observed =
                [(Signal::MemoryAvailable, left(*of_memory)), (Signal::NodefsAvailable, left(*of_disk))].into();
            let now = Duration::from_secs(*at);
            let found = memory.judge(&options.thresholds(), &observed, Duration::from_secs(60), now);
            (found.due.iter().map(|threshold| threshold.signal.name()).collect(), found.conditions)
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_hard_threshold_counts_at_once_and_until_enough_is_free() {
        let told = story(
            &options("memory.available<100", ""),
            &[(0, 100, 0), (10, 99, 0), (20, 149, 0), (30, 150, 0), (40, 120, 0), (90, 500, 0)],
        );
        let (memory, pressure) = (vec!["memory.available"], vec!["MemoryPressure"]);
        assert_eq!(
            told,
            [
                (vec![], vec![]),
                (memory.clone(), pressure.clone()),
                (memory, pressure.clone()),
                (vec![], pressure.clone()),
                (vec![], pressure),
                (vec![], vec![]),
            ]
        );
    }

    #[test]
    fn a_soft_threshold_counts_once_it_has_lasted() {
        let told = story(&options("", "memory.available<100"), &[(0, 50, 0), (20, 50, 0), (30, 50, 0), (40, 160, 0)]);
        let due: Vec<bool> = told.iter().map(|(due, _)| !due.is_empty()).collect();
        assert_eq!(due, [false, false, true, false]);
        assert!(
            told.iter().all(|(_, conditions)| conditions == &["MemoryPressure"]),
            "the condition waits for nothing"
        );
        let broken = story(&options("", "memory.available<100"), &[(0, 50, 0), (20, 200, 0), (30, 50, 0)]);
        assert!(broken.iter().all(|(due, _)| due.is_empty()), "it did not last");
    }

    #[test]
    fn memory_goes_first() {
        let told = story(&options("memory.available<100,nodefs.available<100", ""), &[(0, 1, 1)]);
        assert_eq!(told, [(vec!["memory.available", "nodefs.available"], vec!["DiskPressure", "MemoryPressure"])]);
    }
}
