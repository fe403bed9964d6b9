//! Upstream's metrics of the scheduler, by upstream's names.

use crate::plugins;
use crate::queue::Depth;
use base::Env;
use base::metrics::{Counter, Family, Gauge, Histogram};
use std::time::Duration;

type Labels<const N: usize> = [(&'static str, String); N];
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

#[derive(Clone)]
pub struct Metrics {
    attempts: Family<Labels<2>, Counter>,
    attempt_duration: Histograms<2>,
    algorithm_duration: Histogram,
    sli_duration: Histograms<1>,
    pod_attempts: Histogram,
    pending: Family<Labels<1>, Gauge>,
    unschedulable: Family<Labels<2>, Gauge>,
    cache: Family<Labels<1>, Gauge>,
    preemption_attempts: Counter,
    victims: Histogram,
}

/// `count` buckets, each twice as wide as the one before.
fn doubling(start: f64, count: i32) -> Histogram {
    Histogram::new((0..count).map(|power| start * 2f64.powi(power)))
}

fn seconds() -> Histogram {
    doubling(0.001, 20)
}

fn long_seconds() -> Histogram {
    doubling(0.01, 20)
}

impl Metrics {
    pub fn new(env: &Env) -> Self {
        let registry = &env.metrics;
        Metrics {
            attempts: registry.register(
                "scheduler_schedule_attempts",
                "Attempts to schedule pods, by result: unschedulable means no fit, error an internal problem.",
                Family::default(),
            ),
            attempt_duration: registry.register(
                "scheduler_scheduling_attempt_duration_seconds",
                "Time from picking a pod to its being bound or given up.",
                Family::new_with_constructor(seconds as fn() -> Histogram),
            ),
            algorithm_duration: registry.register(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Time taken to find a node.",
                doubling(0.0001, 20),
            ),
            sli_duration: registry.register(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "Time from a pod's coming into the queue to its being bound.",
                Family::new_with_constructor(long_seconds as fn() -> Histogram),
            ),
            pod_attempts: registry.register(
                "scheduler_pod_scheduling_attempts",
                "Attempts it took to schedule a pod.",
                doubling(1.0, 5),
            ),
            pending: registry.register("scheduler_pending_pods", "Pending pods, by queue.", Family::default()),
            unschedulable: registry.register(
                "scheduler_unschedulable_pods",
                "Attempts that a plugin made fail, by plugin.",
                Family::default(),
            ),
            cache: registry.register("scheduler_cache_size", "Nodes and pods known.", Family::default()),
            preemption_attempts: registry.register(
                "scheduler_preemption_attempts",
                "Attempts to make room by evicting pods.",
                Counter::default(),
            ),
            victims: registry.register(
                "scheduler_preemption_victims",
                "Pods evicted to make room for one.",
                doubling(1.0, 7),
            ),
        }
    }

    /// `result` is scheduled, unschedulable or error.
    pub fn attempted(&self, result: &str, profile: &str, took: Duration) {
        let labels = || [("profile", profile.to_owned()), ("result", result.to_owned())];
        self.attempts.get_or_create(&labels()).inc();
        self.attempt_duration.get_or_create(&labels()).observe(took.as_secs_f64());
    }

    pub fn searched(&self, took: Duration) {
        self.algorithm_duration.observe(took.as_secs_f64());
    }

    pub fn scheduled(&self, attempts: u32, waited: Duration) {
        self.pod_attempts.observe(f64::from(attempts));
        let attempts = if attempts > 15 { "16+".to_owned() } else { attempts.to_string() };
        self.sli_duration.get_or_create(&[("attempts", attempts)]).observe(waited.as_secs_f64());
    }

    pub fn kept_out(&self, by: u32, profile: &str) {
        for plugin in plugins::names(by) {
            let labels = [("plugin", plugin.to_owned()), ("profile", profile.to_owned())];
            self.unschedulable.get_or_create(&labels).inc();
        }
    }

    pub fn preempting(&self, victims: usize) {
        self.preemption_attempts.inc();
        self.victims.observe(victims as f64);
    }

    pub fn standing(&self, depth: Depth, nodes: usize, pods: usize) {
        let set = |family: &Family<Labels<1>, Gauge>, label: &'static str, value: &str, count: usize| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            family.get_or_create(&[(label, value.to_owned())]).set(count);
        };
        set(&self.pending, "queue", "active", depth.active);
        set(&self.pending, "queue", "backoff", depth.backoff);
        set(&self.pending, "queue", "unschedulable", depth.unschedulable);
        set(&self.cache, "type", "nodes", nodes);
        set(&self.cache, "type", "pods", pods);
    }
}
