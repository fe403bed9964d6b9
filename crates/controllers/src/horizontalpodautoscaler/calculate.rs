//! How many replicas a metric asks for. Pure (upstream's `replica_calculator.go`).

use super::object::{Behavior, Pod};
use base::Timestamp;
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};

/// A pod that started less than this ago may still be busy with starting.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_secs(5 * 60);
/// A pod that became unready within this time of its start has never been ready.
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);
/// Upstream's `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

/// What was measured of one pod, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub value: i64,
    pub at: Timestamp,
    pub window: SignedDuration,
}

impl Reading {
    /// In place of one that is missing.
    fn assumed(value: i64) -> Self {
        Reading { value, at: Timestamp::UNIX_EPOCH, window: SignedDuration::ZERO }
    }
}

/// By the names of pods.
pub type Readings = BTreeMap<String, Reading>;

/// How far from one a ratio may be without anything being done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    up: f64,
    down: f64,
}

impl Tolerances {
    pub fn of(behavior: Option<&Behavior>) -> Self {
        let read = |text: &Option<String>| {
            let quantity = meta::quantity::Quantity::parse(text.as_deref()?).ok()?;
            Some(quantity.milli_value() as f64 / 1000.0)
        };
        let given = |text: Option<&Option<String>>| text.and_then(read).unwrap_or(TOLERANCE);
        Tolerances {
            up: given(behavior.map(|behavior| &behavior.scale_up.tolerance)),
            down: given(behavior.map(|behavior| &behavior.scale_down.tolerance)),
        }
    }

    fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// The pods behind a scale, and when they are looked at.
pub struct Calculator<'a> {
    pub namespace: &'a str,
    pub pods: &'a [Pod],
    pub tolerances: Tolerances,
    pub now: Timestamp,
}

/// What a calculation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    pub replicas: i32,
    /// The percentage that was compared, where it was one.
    pub utilization: i32,
    /// The value that was compared, in thousandths.
    pub usage: i64,
}

/// Pods by what can be said of them.
#[derive(Default)]
struct Groups<'a> {
    ready: usize,
    unready: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    ignored: BTreeSet<&'a str>,
}

/// A first ratio, and how to take it again with assumed readings.
struct Balance<'a> {
    /// What a pod without a reading counts as, where there is too little use.
    if_low: &'a dyn Fn(&str) -> i64,
    /// Whether one counts as idle where there is just enough use.
    idle_if_even: bool,
    ratio: &'a dyn Fn(&Readings) -> Result<f64, String>,
}

impl Calculator<'_> {
    /// Against a percentage of what the pods request.
    pub fn by_utilization(
        &self,
        mut readings: Readings,
        (container, resource): (&str, &str),
        current: i32,
        target: i32,
    ) -> Result<Proposal, String> {
        let groups = self.groups(&mut readings, resource)?;
        let mut requests = BTreeMap::new();
        for pod in self.pods {
            requests.insert(pod.name(), pod.request(container, resource)?);
        }
        let (ratio, utilization, usage) = measured(&readings, &requests, target)?;
        let fallback = i64::from(target.max(100));
        let balance = Balance {
            if_low: &|pod| requests.get(pod).copied().unwrap_or_default() * fallback / 100,
            idle_if_even: false,
            ratio: &|readings| measured(readings, &requests, target).map(|(ratio, ..)| ratio),
        };
        let replicas = self.settle(readings, &groups, current, ratio, &balance)?;
        Ok(Proposal { replicas, utilization, usage })
    }

    /// Against a value that each pod is to have; `resource` is empty for what is no resource.
    pub fn by_average(
        &self,
        mut readings: Readings,
        resource: &str,
        current: i32,
        target: i64,
    ) -> Result<Proposal, String> {
        let groups = self.groups(&mut readings, resource)?;
        let (ratio, usage) = average(&readings, target);
        let balance =
            Balance { if_low: &|_| target, idle_if_even: true, ratio: &|readings| Ok(average(readings, target).0) };
        let replicas = self.settle(readings, &groups, current, ratio, &balance)?;
        Ok(Proposal { replicas, utilization: 0, usage })
    }

    /// Against one value for all.
    pub fn by_value(&self, usage: i64, current: i32, target: i64) -> Result<Proposal, String> {
        let ratio = usage as f64 / target as f64;
        let replicas = match current {
            0 => whole(ratio),
            _ if self.tolerances.hold(ratio) => current,
            _ => {
                let failed = |why: &str| format!("unable to calculate ready pods: {why}");
                if self.pods.is_empty() {
                    return Err(failed("no pods returned by selector while calculating replica count"));
                }
                let ready = self.pods.iter().filter(|pod| pod.is_ready()).count();
                whole(ratio * ready as f64)
            }
        };
        Ok(Proposal { replicas, utilization: 0, usage })
    }

    /// Against a value for all that is to be shared out among the pods.
    pub fn by_share(&self, usage: i64, current: i32, target: i64) -> Proposal {
        let ratio = usage as f64 / (target as f64 * f64::from(current));
        let replicas = if self.tolerances.hold(ratio) { current } else { whole(usage as f64 / target as f64) };
        let share = (usage as f64 / f64::from(current)).ceil() as i64;
        Proposal { replicas, utilization: 0, usage: share }
    }

    /// Sorts the pods and drops the readings of those that do not count yet or any more.
    fn groups(&self, readings: &mut Readings, resource: &str) -> Result<Groups<'_>, String> {
        if self.pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".to_owned());
        }
        let mut groups = Groups::default();
        for pod in self.pods {
            let name = pod.name();
            if pod.metadata.is_deleting() || pod.status.phase == "Failed" {
                groups.ignored.insert(name);
            } else if pod.status.phase == "Pending" {
                groups.unready.insert(name);
            } else if let Some(reading) = readings.get(name) {
                if resource == "cpu" && self.is_starting(pod, reading) {
                    groups.unready.insert(name);
                } else {
                    groups.ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        readings.retain(|pod, _| !groups.ignored.contains(pod.as_str()) && !groups.unready.contains(pod.as_str()));
        if readings.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
        }
        Ok(groups)
    }

    /// Whether the reading may tell of the pod's start rather than of its work.
    fn is_starting(&self, pod: &Pod, reading: &Reading) -> bool {
        let (Some((status, since)), Some(started)) = (pod.ready(), pod.started()) else { return true };
        let after = |time: Timestamp, span: SignedDuration| time.saturating_add(span).unwrap_or(Timestamp::MAX);
        if after(started, CPU_INITIALIZATION) > self.now {
            return status == "False" || reading.at < after(since, reading.window);
        }
        status == "False" && after(started, INITIAL_READINESS) > since
    }

    /// The count that a ratio asks for, with doubtful pods taken so that they dampen the change.
    fn settle(
        &self,
        mut readings: Readings,
        groups: &Groups<'_>,
        current: i32,
        ratio: f64,
        balance: &Balance<'_>,
    ) -> Result<i32, String> {
        let grows_unready = !groups.unready.is_empty() && ratio > 1.0;
        if !grows_unready && groups.missing.is_empty() {
            return Ok(if self.tolerances.hold(ratio) { current } else { whole(ratio * groups.ready as f64) });
        }
        for pod in groups.missing.iter().filter(|_| ratio != 1.0 || balance.idle_if_even) {
            let assumed = if ratio < 1.0 { (balance.if_low)(pod) } else { 0 };
            readings.insert((*pod).to_owned(), Reading::assumed(assumed));
        }
        if grows_unready {
            for pod in &groups.unready {
                readings.insert((*pod).to_owned(), Reading::assumed(0));
            }
        }
        let again = (balance.ratio)(&readings)?;
        let turns = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        if self.tolerances.hold(again) || turns {
            return Ok(current);
        }
        let replicas = whole(again * readings.len() as f64);
        let contradicts = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
        Ok(if contradicts { current } else { replicas })
    }
}

/// Rounded up; numbers that are too big stay at the biggest there is.
fn whole(number: f64) -> i32 {
    number.ceil() as i32
}

/// The ratio to the target, the percentage, and the average in thousandths.
fn measured(readings: &Readings, requests: &BTreeMap<&str, i64>, target: i32) -> Result<(f64, i32, i64), String> {
    let (mut used, mut requested, mut count) = (0_i64, 0_i64, 0_i64);
    for (pod, reading) in readings {
        let Some(request) = requests.get(pod.as_str()) else { continue };
        used = used.saturating_add(reading.value);
        requested = requested.saturating_add(*request);
        count += 1;
    }
    if requested == 0 {
        return Err("no metrics returned matched known pods".to_owned());
    }
    let percent = i32::try_from(used.saturating_mul(100) / requested).unwrap_or(i32::MAX);
    Ok((f64::from(percent) / f64::from(target), percent, used / count))
}

/// The ratio to the target, and the average.
fn average(readings: &Readings, target: i64) -> (f64, i64) {
    let sum: i64 = readings.values().fold(0, |sum, reading| sum.saturating_add(reading.value));
    let average = sum / i64::try_from(readings.len().max(1)).unwrap_or(i64::MAX);
    (average as f64 / target as f64, average)
}
