//! The metrics of work queues, under upstream's names.

use base::metrics::{Counter, Family, Gauge, Histogram, Metrics};

type Labels = Vec<(&'static str, &'static str)>;

/// Seconds; upstream's buckets from 10 ns up to 10 s, without those below what a request takes.
const BUCKETS: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0];

/// The metrics of all queues of a process.
pub(crate) struct AllQueues {
    depth: Family<Labels, Gauge>,
    retries: Family<Labels, Counter>,
    worked: Family<Labels, Histogram, fn() -> Histogram>,
}

/// Those of one queue.
pub(crate) struct QueueMetrics {
    pub depth: Gauge,
    pub retries: Counter,
    pub worked: Histogram,
}

impl AllQueues {
    pub fn register(metrics: &Metrics) -> Self {
        let worked = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        AllQueues {
            depth: metrics.register("workqueue_depth", "Current depth of workqueue", Family::default()),
            retries: metrics.register(
                "workqueue_retries",
                "Total number of retries handled by workqueue",
                Family::default(),
            ),
            worked: metrics.register(
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes.",
                worked,
            ),
        }
    }

    pub fn of(&self, name: &'static str) -> QueueMetrics {
        let labels = vec![("name", name)];
        QueueMetrics {
            depth: self.depth.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            worked: self.worked.get_or_create(&labels).clone(),
        }
    }
}
