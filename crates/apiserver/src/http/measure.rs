//! How many requests there were, of which kind, and how long they took: upstream's names. Handles
//! are kept by what was asked for, so that counting a request looks up nothing but them.

use crate::resources::Resource;
use base::Metrics;
use base::collections::{Fx, HashMap};
use base::metrics::{Counter, Family, Gauge, Histogram};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock};

type Labels = [(&'static str, String); 8];
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Of handles; forms of custom resources come and go.
const MAX_KNOWN: usize = 8192;

/// What a request is counted as.
#[derive(Clone)]
pub struct Counted {
    pub row: Option<Arc<Resource>>,
    /// As upstream's metrics name it: `GET`, `LIST`, `APPLY`.
    pub verb: &'static str,
    pub scope: &'static str,
    pub subresource: String,
}

struct Handles {
    total: Counter,
    duration: Histogram,
    size: Histogram,
}

pub struct Measure {
    total: Family<[(&'static str, String); 9], Counter>,
    duration: Histograms,
    size: Histograms,
    long_running: Family<Labels, Gauge>,
    known: RwLock<HashMap<u64, Arc<Handles>>>,
    pub handshake_errors: Counter,
    pub terminations: Counter,
    pub goaways: Counter,
}

impl Measure {
    pub fn new(metrics: &Metrics) -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATIONS);
        let sizes: fn() -> Histogram = || Histogram::new(SIZES);
        Measure {
            total: metrics.register(
                "apiserver_request",
                "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, \
                 scope, component, and HTTP response code",
                Family::default(),
            ),
            duration: metrics.register(
                "apiserver_request_duration_seconds",
                "Response latency distribution in seconds for each verb, dry run value, group, version, resource, \
                 subresource, scope and component",
                Family::new_with_constructor(durations),
            ),
            size: metrics.register(
                "apiserver_response_sizes",
                "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and \
                 component",
                Family::new_with_constructor(sizes),
            ),
            long_running: metrics.register(
                "apiserver_longrunning_requests",
                "Gauge of all active long-running apiserver requests",
                Family::default(),
            ),
            known: RwLock::default(),
            handshake_errors: metrics.register(
                "apiserver_tls_handshake_errors",
                "Number of requests dropped with 'TLS handshake error from' error",
                Counter::default(),
            ),
            terminations: metrics.register(
                "apiserver_request_timeouts",
                "Requests that were ended because they did not complete in time",
                Counter::default(),
            ),
            goaways: metrics.register(
                "apiserver_goaway",
                "Connections that were asked to go elsewhere",
                Counter::default(),
            ),
        }
    }

    pub fn count(&self, counted: &Counted, code: u16, seconds: f64, size: Option<u64>) {
        let mut hasher = Fx::default();
        counted.row.as_ref().map_or(0, |row| row.number).hash(&mut hasher);
        (counted.verb, counted.scope, counted.subresource.as_str(), code).hash(&mut hasher);
        let key = hasher.finish();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let handles = known.unwrap_or_else(|| self.learn(key, counted, code));
        handles.total.inc();
        handles.duration.observe(seconds);
        if let Some(size) = size {
            // Bodies are far smaller than what a float counts exactly.
            #[allow(clippy::cast_precision_loss)]
            handles.size.observe(size as f64);
        }
    }

    fn learn(&self, key: u64, counted: &Counted, code: u16) -> Arc<Handles> {
        let labels = labels(counted);
        let [verb, dry, group, version, resource, subresource, scope, component] = labels.clone();
        let coded = [verb, dry, group, version, resource, subresource, scope, component, ("code", code.to_string())];
        let handles = Arc::new(Handles {
            total: self.total.get_or_create(&coded).clone(),
            duration: self.duration.get_or_create(&labels).clone(),
            size: self.size.get_or_create(&labels).clone(),
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, handles.clone());
        handles
    }

    /// Counts a watch or stream for as long as what comes back is kept.
    pub fn long_running(&self, counted: &Counted) -> Running {
        let gauge = self.long_running.get_or_create(&labels(counted)).clone();
        gauge.inc();
        Running(gauge)
    }
}

pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn labels(counted: &Counted) -> Labels {
    let kind = counted.row.as_ref().map(|row| &row.kind);
    [
        ("verb", counted.verb.to_owned()),
        ("dry_run", String::new()),
        ("group", kind.map(|kind| kind.group.to_string()).unwrap_or_default()),
        ("version", kind.map(|kind| kind.version.to_string()).unwrap_or_default()),
        ("resource", kind.map(|kind| kind.resource.to_string()).unwrap_or_default()),
        ("subresource", counted.subresource.clone()),
        ("scope", counted.scope.to_owned()),
        ("component", "apiserver".to_owned()),
    ]
}

/// How many objects there are of each kind, under upstream's old name and its new one.
pub fn add_objects(text: &mut String, resources: &crate::resources::Resources) {
    // The page so far ends with the mark of its end.
    let end = "# EOF\n";
    let body = text.strip_suffix(end).map_or(text.len(), str::len);
    text.truncate(body);
    text.push_str("# HELP apiserver_resource_objects Number of stored objects at the time of last check.\n");
    text.push_str("# TYPE apiserver_resource_objects gauge\n");
    let rows = resources.stored();
    let counts = rows.iter().filter_map(|row| Some((row, row.collection.as_ref()?.len())));
    for (row, count) in counts.clone() {
        let _ = writeln!(
            text,
            "apiserver_resource_objects{{group={:?},resource={:?}}} {count}",
            row.kind.group, row.kind.resource
        );
    }
    text.push_str("# HELP apiserver_storage_objects Number of stored objects, by resource.\n");
    text.push_str("# TYPE apiserver_storage_objects gauge\n");
    for (row, count) in counts {
        let dot = if row.kind.group.is_empty() { "" } else { "." };
        let _ = writeln!(
            text,
            "apiserver_storage_objects{{resource=\"{}{dot}{}\"}} {count}",
            row.kind.resource, row.kind.group
        );
    }
    text.push_str(end);
}
