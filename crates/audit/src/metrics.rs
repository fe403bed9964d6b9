//! Upstream's counters.

use crate::policy::Level;
use base::Metrics;
use base::metrics::{Counter, Family};

type Labels = [(&'static str, String); 1];

#[derive(Clone)]
pub struct Counters {
    pub events: Counter,
    errors: Family<Labels, Counter>,
    levels: [Counter; 4],
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Self {
        let levels: Family<Labels, Counter> = metrics.register(
            "apiserver_audit_level",
            "Counter of policy levels for audit events (1 per request).",
            Family::default(),
        );
        let of = |level: Level| levels.get_or_create(&[("level", level.as_str().to_owned())]).clone();
        Counters {
            events: metrics.register(
                "apiserver_audit_event",
                "Counter of audit events generated and sent to the audit backend.",
                Counter::default(),
            ),
            errors: metrics.register(
                "apiserver_audit_error",
                "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by \
                 the error.",
                Family::default(),
            ),
            levels: [of(Level::None), of(Level::Metadata), of(Level::Request), of(Level::RequestResponse)],
        }
    }

    pub fn level(&self, level: Level) -> &Counter {
        &self.levels[level as usize]
    }

    pub fn failed(&self, plugin: &str, events: usize) {
        self.errors.get_or_create(&[("plugin", plugin.to_owned())]).inc_by(events as u64);
    }
}
