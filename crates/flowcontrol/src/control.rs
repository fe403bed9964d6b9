//! The door: objects come in as they are committed, requests are sorted by them, and every ten
//! seconds the levels' seats are shared out anew.

use crate::bootstrap;
use crate::borrowing::{self, Demand};
use crate::config::{LevelSpec, SchemaSpec};
use crate::level::{Came, Kind, Level, Place, Seat, Told};
use crate::metrics::{self, All, Sharing};
use crate::work::Work;
use base::Env;
use bytes::Bytes;
use meta::Attributes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

const SHARE_EVERY: Duration = Duration::from_secs(10);
/// How much of the old stays when demand is smoothed over a period.
const INERTIA: f64 = 0.977;
/// Nobody waits longer in a queue than this, or than a quarter of his time limit.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What follows from one FlowSchema for its requests.
pub struct Flow {
    pub spec: SchemaSpec,
    pub schema_uid: Bytes,
    pub level_uid: Bytes,
    pub(crate) level: Arc<Level>,
    /// Whether requests may have to wait, so that it matters whose they are.
    queues: bool,
    metrics: metrics::Flow,
    inflight: [base::metrics::Gauge; 2],
    inqueue: [base::metrics::Gauge; 2],
}

impl Flow {
    pub fn level_name(&self) -> &str {
        &self.level.name
    }

    pub(crate) fn waits(&self, kind: Kind, change: i64) {
        self.metrics.inqueue.inc_by(change);
        self.inqueue[usize::from(!kind.reads)].inc_by(change);
    }

    pub(crate) fn starts(&self, kind: Kind, seats: u32) {
        self.metrics.dispatched.inc();
        self.metrics.executing.inc();
        self.metrics.seats.inc_by(i64::from(seats));
        self.inflight[usize::from(!kind.reads)].inc();
    }

    pub(crate) fn ends(&self, kind: Kind, seats: u32, seconds: f64) {
        self.metrics.executing.dec();
        self.metrics.seats.dec_by(i64::from(seats));
        self.inflight[usize::from(!kind.reads)].dec();
        self.metrics.ran[usize::from(kind.watches)].observe(seconds);
    }
}

/// What a request is answered that wants to begin.
pub enum Entry {
    Begin(Seat),
    Wait(Waiter),
    Refused(Refused),
}

/// Why not, and when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub reason: &'static str,
    pub retry_after: u32,
}

/// A request in a queue.
pub struct Waiter {
    place: Place,
    flow: Arc<Flow>,
    env: Env,
    patience: Duration,
    metrics: Arc<All>,
}

impl Waiter {
    /// # Errors
    /// Its patience ended first.
    pub async fn wait(mut self) -> Result<Seat, Refused> {
        let began = self.env.clock.instant();
        let outcome = self.env.clock.timeout(self.patience, &mut self.place.receiver).await;
        let waited = self.env.clock.instant().duration_since(began).as_secs_f64();
        if let Ok(Ok(seat)) = outcome {
            self.flow.metrics.waited[0].observe(waited);
            return Ok(seat);
        }
        self.place.timed_out = true;
        self.flow.metrics.waited[1].observe(waited);
        let retry_after = self.flow.level.record_drop();
        self.metrics.reject(&self.flow.spec.name, &self.flow.level.name, "time-out");
        Err(Refused { reason: "time-out", retry_after })
    }
}

#[derive(Default)]
struct Config {
    /// In the order in which they are tried.
    flows: Vec<Arc<Flow>>,
    /// Of mandatory schemas, which match whoever is left.
    last: Option<Arc<Flow>>,
}

#[derive(Default)]
struct Objects {
    schemas: BTreeMap<String, SchemaSpec>,
    levels: BTreeMap<String, LevelSpec>,
    running: BTreeMap<String, Arc<Level>>,
}

/// Priority and fairness for one API server.
pub struct FlowControl {
    env: Env,
    /// Seats of the whole server.
    total: u32,
    seed: u64,
    metrics: Arc<All>,
    objects: Mutex<Objects>,
    config: RwLock<Arc<Config>>,
}

impl FlowControl {
    /// Knows the mandatory objects from the start.
    pub fn new(env: &Env, total: u32) -> Self {
        let control = FlowControl {
            env: env.clone(),
            total,
            seed: env.rng.u64(..),
            metrics: Arc::new(All::new(&env.metrics)),
            objects: Mutex::default(),
            config: RwLock::default(),
        };
        control.rebuild(&mut control.lock());
        control
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A FlowSchema or PriorityLevelConfiguration as it is now; None: it is gone.
    pub fn observe(&self, resource: &str, name: &str, object: Option<&Value>) {
        let mut objects = self.lock();
        let is_news = match (resource, object) {
            ("flowschemas", Some(schema)) => {
                // Conditions come and go: they sort nothing.
                objects.schemas.insert(name.to_owned(), SchemaSpec::read(schema));
                true
            }
            ("flowschemas", None) => objects.schemas.remove(name).is_some(),
            (_, Some(level)) => {
                let spec = LevelSpec::read(level);
                objects.levels.insert(name.to_owned(), spec.clone()) != Some(spec)
            }
            (_, None) => objects.levels.remove(name).is_some(),
        };
        if is_news {
            self.rebuild(&mut objects);
        }
    }

    /// Whether a FlowSchema may refer to a level of this name.
    pub fn has_level(&self, name: &str) -> bool {
        self.lock().levels.contains_key(name)
    }

    fn rebuild(&self, objects: &mut Objects) {
        let mut levels = objects.levels.clone();
        let mut schemas = objects.schemas.clone();
        for level in bootstrap::levels().map(|level| LevelSpec::read(&level)) {
            if bootstrap::is_mandatory(&level.name) {
                levels.entry(level.name.clone()).or_insert(level);
            }
        }
        for schema in bootstrap::schemas().map(|schema| SchemaSpec::read(&schema)) {
            if bootstrap::is_mandatory(&schema.name) {
                schemas.entry(schema.name.clone()).or_insert(schema);
            }
        }
        self.run_levels(objects, &levels);
        let mut flows: Vec<Arc<Flow>> = Vec::new();
        for schema in schemas.into_values() {
            let (Some(level), Some(spec)) = (objects.running.get(&schema.level), levels.get(&schema.level)) else {
                continue;
            };
            flows.push(Arc::new(Flow {
                schema_uid: schema.uid.clone().into(),
                level_uid: spec.uid.clone().into(),
                level: level.clone(),
                queues: spec.queuing.is_some(),
                metrics: self.metrics.flow(&schema.name, &level.name),
                inflight: self.metrics.inflight.clone(),
                inqueue: self.metrics.inqueue_by_kind.clone(),
                spec: schema,
            }));
        }
        flows.sort_by(|one, other| {
            (one.spec.precedence, &one.spec.name).cmp(&(other.spec.precedence, &other.spec.name))
        });
        let last = flows.iter().find(|flow| flow.spec.name == "catch-all").cloned();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Config { flows, last });
    }

    /// Starts new levels, changes others, and lets those that are gone run dry.
    fn run_levels(&self, objects: &mut Objects, wanted: &BTreeMap<String, LevelSpec>) {
        objects.running.retain(|name, level| {
            let mut inner = level.lock();
            inner.quiescing = !wanted.contains_key(name);
            !inner.quiescing || !inner.queues.is_idle()
        });
        let shares: f64 = wanted.values().map(|level| f64::from(level.shares)).sum();
        for (name, spec) in wanted {
            let level = objects
                .running
                .entry(name.clone())
                .or_insert_with(|| Arc::new(Level::new(spec.clone(), &self.env.clock, &self.env.tasks)))
                .clone();
            {
                let nominal = seats(f64::from(self.total) * f64::from(spec.shares) / shares.max(1.0));
                let mut inner = level.lock();
                let is_changed = inner.nominal != nominal || inner.spec != *spec;
                inner.queues.configure(spec.queuing);
                inner.nominal = nominal;
                inner.spec = spec.clone();
                if spec.exempt {
                    inner.queues.limit = None;
                } else if is_changed {
                    inner.queues.limit = Some(nominal);
                }
                let sharing = Sharing { nominal, current: nominal, ..self.bounds(spec, nominal) };
                self.metrics.share(name, &sharing);
            }
            level.dispatch();
        }
    }

    /// Between what a level keeps and what it may borrow.
    fn bounds(&self, spec: &LevelSpec, nominal: u32) -> Sharing {
        let part = |percent: u32| seats_rounded(f64::from(nominal) * f64::from(percent) / 100.0);
        let upper = spec.borrowing_percent.map_or(self.total.max(nominal), |percent| nominal + part(percent));
        Sharing { lower: nominal.saturating_sub(part(spec.lendable_percent)), upper, ..Sharing::default() }
    }

    /// Which flow schema a request falls under.
    pub fn classify(&self, asked: &Attributes<'_>) -> Option<Arc<Flow>> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let found = config.flows.iter().find(|flow| flow.spec.matches(asked));
        found.or(config.last.as_ref()).cloned()
    }

    /// Asks for seats. `limit` is how long the whole request may take.
    pub fn enter(&self, flow: &Arc<Flow>, asked: &Attributes<'_>, work: Work, limit: Duration) -> Entry {
        let kind = Kind {
            reads: matches!(asked.verb, "get" | "list" | "watch" | "head" | "options"),
            watches: asked.verb == "watch",
        };
        let hash = if flow.queues { flow.spec.flow(asked, self.seed) } else { 0 };
        match flow.level.arrive(flow, hash, work, kind, || self.tell(flow, asked)) {
            Came::Seat(seat) => Entry::Begin(seat),
            Came::Wait(place) => Entry::Wait(Waiter {
                place,
                flow: flow.clone(),
                env: self.env.clone(),
                patience: (limit / 4).min(LONGEST_WAIT),
                metrics: self.metrics.clone(),
            }),
            Came::Refused(reason, retry_after) => {
                self.metrics.reject(&flow.spec.name, &flow.level.name, reason);
                Entry::Refused(Refused { reason, retry_after })
            }
        }
    }

    fn tell(&self, flow: &Flow, asked: &Attributes<'_>) -> Told {
        let own = str::to_owned;
        let api_version = match asked.group {
            "" => own(asked.version),
            group => format!("{group}/{}", asked.version),
        };
        Told {
            arrived: self.env.clock.now(),
            distinguisher: own(flow.spec.distinguisher.of(asked)),
            user: asked.user.name.clone(),
            verb: own(asked.verb),
            path: own(asked.path),
            namespace: own(asked.namespace),
            name: own(asked.name),
            api_version,
            resource: own(asked.resource),
            subresource: own(asked.subresource),
        }
    }

    pub(crate) fn levels(&self) -> Vec<Arc<Level>> {
        self.lock().running.values().cloned().collect()
    }

    /// Shares seats out anew now and then, for as long as the server runs.
    pub async fn keep_sharing(self: Arc<Self>) {
        loop {
            self.env.clock.sleep(SHARE_EVERY).await;
            self.share();
        }
    }

    pub(crate) fn share(&self) {
        let now = self.env.clock.instant();
        let mut remaining = 0.0;
        let (mut limited, mut demands, mut told) = (Vec::new(), Vec::new(), Vec::new());
        {
            // Levels that are gone and ran dry go.
            let mut objects = self.lock();
            objects.running.retain(|_, level| {
                let inner = level.lock();
                !inner.quiescing || !inner.queues.is_idle()
            });
        }
        for level in self.levels() {
            let mut inner = level.lock();
            let demand = inner.take_demand(now);
            let (average, deviation) = demand.spread();
            let envelope = average + deviation;
            inner.smoothed = (INERTIA * inner.smoothed + (1.0 - INERTIA) * envelope).max(envelope);
            let mut sharing = Sharing {
                nominal: inner.nominal,
                highest: demand.highest,
                average,
                deviation,
                smoothed: inner.smoothed,
                ..self.bounds(&inner.spec, inner.nominal)
            };
            remaining += f64::from(inner.nominal);
            if inner.spec.exempt {
                remaining -= average;
                drop(inner);
                self.metrics.share(&level.name, &sharing);
                continue;
            }
            let low = sharing.nominal.min(demand.highest).max(sharing.lower);
            sharing.target = inner.smoothed.max(f64::from(low)).max(1.0);
            demands.push(Demand { low: f64::from(low), high: f64::from(sharing.upper), target: sharing.target });
            told.push(sharing);
            drop(inner);
            limited.push(level);
        }
        let (shares, fraction) = borrowing::allocate(remaining.max(1.0), &demands);
        self.metrics.set_fraction(fraction);
        for ((level, share), mut sharing) in limited.into_iter().zip(shares).zip(told) {
            sharing.current = seats_rounded(share).max(1);
            level.lock().queues.limit = Some(sharing.current);
            self.metrics.share(&level.name, &sharing);
            level.dispatch();
        }
    }
}

/// Whole seats, of a number that stems from u32s and percents.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seats(number: f64) -> u32 {
    number.ceil() as u32
}

fn seats_rounded(number: f64) -> u32 {
    seats(number.round())
}

#[cfg(test)]
mod tests;
