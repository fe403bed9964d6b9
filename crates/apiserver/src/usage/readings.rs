//! From two readings to a rate. Pure.

use base::Timestamp;
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// A container that is younger than this tells too little about itself.
const FRESH: SignedDuration = SignedDuration::from_secs(10);

/// What something had used at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Processor time since the start in billionths of a second, and when that was read.
    pub cpu: Option<(u64, Timestamp)>,
    pub memory: Option<u64>,
    pub started: Option<Timestamp>,
}

/// By namespace and name.
type ByPod<T> = BTreeMap<(String, String), BTreeMap<String, T>>;

/// Readings of all nodes.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub nodes: BTreeMap<String, Reading>,
    pub pods: ByPod<Reading>,
}

/// What something uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub at: Timestamp,
    pub window: SignedDuration,
    /// Billionths of a processor.
    pub cpu_nanos: u64,
    pub memory: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(super) nodes: BTreeMap<String, Rate>,
    /// Pods of which every container is known.
    pub(super) pods: ByPod<Rate>,
}

impl Rates {
    pub(super) fn between(earlier: &Round, later: &Round) -> Self {
        let nodes = later.nodes.iter().filter_map(|(name, reading)| {
            let rate = rate(earlier.nodes.get(name), reading)?;
            Some((name.clone(), rate))
        });
        let pods = later.pods.iter().filter_map(|(pod, containers)| {
            let before = earlier.pods.get(pod);
            let each = containers.iter().map(|(name, reading)| {
                let before = before.and_then(|containers| containers.get(name));
                rate(before, reading).map(|rate| (name.clone(), rate))
            });
            Some((pod.clone(), each.collect::<Option<_>>()?))
        });
        Rates { nodes: nodes.collect(), pods: pods.collect() }
    }
}

/// None: too little is known, or it began again in between.
fn rate(earlier: Option<&Reading>, later: &Reading) -> Option<Rate> {
    let ((used, at), memory) = (later.cpu?, later.memory?);
    let same = earlier.filter(|earlier| earlier.started == later.started).and_then(|earlier| earlier.cpu);
    let (before, since) = match same {
        Some((before, since)) if before <= used && since < at => (before, since),
        // All that it ever used, where it has not been there for long.
        _ => (0, later.started.filter(|started| at.duration_since(*started) >= FRESH)?),
    };
    let window = at.duration_since(since);
    let nanos = u128::try_from(window.as_nanos()).ok().filter(|nanos| *nanos > 0)?;
    let cpu = u128::from(used - before) * 1_000_000_000 / nanos;
    Some(Rate { at, window, cpu_nanos: u64::try_from(cpu).unwrap_or(u64::MAX), memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu: u64, seconds: i64, started: i64) -> Reading {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        Reading { cpu: Some((cpu, at(seconds))), memory: Some(7), started: Some(at(started)) }
    }

    #[test]
    fn rates_are_of_one_life() {
        let second = 1_000_000_000;
        let cases = [
            ("two readings", Some(reading(second, 100, 0)), reading(4 * second, 110, 0), Some((300_000_000, 10))),
            ("began again", Some(reading(9 * second, 100, 0)), reading(second, 120, 110), Some((100_000_000, 10))),
            ("began again just now", Some(reading(9 * second, 100, 0)), reading(second, 120, 115), None),
            ("new, and old enough", None, reading(3 * second, 120, 100), Some((150_000_000, 20))),
            ("new, and too young", None, reading(3 * second, 105, 100), None),
            ("the same reading twice", Some(reading(second, 5, 0)), reading(second, 5, 0), None),
        ];
        for (name, earlier, later, wanted) in cases {
            let found = rate(earlier.as_ref(), &later).map(|rate| (rate.cpu_nanos, rate.window.as_secs()));
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn a_pod_is_known_with_all_its_containers_only() {
        let pod = ("ns".to_owned(), "p".to_owned());
        let mut rounds = [Round::default(), Round::default()];
        for (round, seconds) in rounds.iter_mut().zip([100, 110]) {
            let containers = round.pods.entry(pod.clone()).or_default();
            containers.insert("a".to_owned(), reading(1, seconds, 0));
        }
        assert!(Rates::between(&rounds[0], &rounds[1]).pods.contains_key(&pod));
        rounds[1].pods.get_mut(&pod).unwrap().insert("b".to_owned(), reading(1, 110, 108));
        assert!(Rates::between(&rounds[0], &rounds[1]).pods.is_empty());
    }
}
