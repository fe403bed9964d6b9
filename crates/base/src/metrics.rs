//! The metrics registry: rooms register counters and histograms under upstream's names, the API
//! server and the kubelet print them.

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::{Metric, Registry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use prometheus_client::encoding::EncodeLabelSet;
pub use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

/// A registry shared by the rooms of one process.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    registry: Mutex<Registry>,
    terms: Mutex<Vec<Metrics>>,
}

/// Metrics of rooms that run for a while and then begin anew, as they would in a process of their
/// own: shown with the others until this is dropped, and counted from nothing the next time.
pub struct Term {
    whole: Metrics,
    metrics: Metrics,
}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn begin_term(&self) -> Term {
        let metrics = Metrics::new();
        self.terms().push(metrics.clone());
        Term { whole: self.clone(), metrics }
    }

    /// Adds `metric` and gives it back, so that a room can register in one line. `name` is
    /// upstream's without the `_total` that counters get when printed.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(name, help, metric.clone());
        metric
    }

    /// All metrics in the text format that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        // Writing to a String cannot fail.
        let _ = encode_eof(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = encode_registry(text, &registry);
        drop(registry);
        self.terms().iter().for_each(|term| term.write(text));
    }

    fn terms(&self) -> MutexGuard<'_, Vec<Metrics>> {
        self.0.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Term {
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.whole.terms().retain(|one| !Arc::ptr_eq(&one.0, &self.metrics.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_shown_while_it_lasts_and_counts_anew() {
        let metrics = Metrics::new();
        metrics.register("always", "", Counter::<u64>::default());
        for turn in 1..=2 {
            let term = metrics.begin_term();
            let done: Counter = term.metrics().register("done", "", Counter::default());
            done.inc_by(turn);
            let text = metrics.render();
            assert!(text.contains("always_total 0\n") && text.ends_with("# EOF\n"), "{text}");
            assert!(text.contains(&format!("done_total {turn}\n")), "{text}");
            assert_eq!(text.matches("# TYPE done ").count(), 1, "{text}");
            drop(term);
            assert!(!metrics.render().contains("done_total"));
        }
    }
}
