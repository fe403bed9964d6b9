//! The simulation's memory: every durable write and every request, their hash, and what was found
//! to be wrong.
//!
//! It sees writes as the store makes them, so it knows the truth that clients and caches may only
//! approach. The rules of Deployments are the [`Judge`]'s; a scenario adds [`Rule`]s of its own.

use crate::judge::{self, Judge};
use base::Clock;
use base::collections::Fx;
use client::Request;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher as _;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Event, Revision};
use tokio::time::Instant;

/// Lines of the trace kept for whoever has to understand a failure.
const TAIL: usize = 400;
/// More than any healthy run needs; a component that spins would otherwise run for ever.
const MAX_LINES: u64 = 400_000;

/// One durable write.
#[derive(Clone)]
pub struct Written {
    pub revision: Revision,
    pub key: Arc<str>,
    /// There was no object of this key before.
    pub is_creation: bool,
}

/// Every object as it was last written, with the revision that wrote it.
pub type Objects = BTreeMap<Arc<str>, (Revision, Arc<Value>)>;

/// A write as rules see it.
pub struct Change<'a> {
    pub now: Instant,
    pub key: &'a str,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
    /// Everything, after the write.
    pub objects: &'a Objects,
}

/// Says what is wrong about a write.
pub type Rule = Box<dyn FnMut(&Change<'_>) -> Option<String> + Send>;

/// The objects under a prefix.
pub fn under<'a>(
    objects: &'a Objects,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a Arc<str>, &'a (Revision, Arc<Value>))> {
    let from = objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    from.take_while(move |(key, _)| key.starts_with(prefix))
}

#[derive(Default)]
struct State {
    seen: Revision,
    objects: Objects,
    history: Vec<Written>,
    judge: Judge,
    rules: Vec<Rule>,
    hash: Fx,
    lines: u64,
    tail: VecDeque<String>,
    wrongs: Vec<String>,
}

pub struct Ledger {
    clock: Clock,
    started: Instant,
    prints: bool,
    state: Mutex<State>,
}

impl Ledger {
    /// With `prints` the trace goes to standard output as it happens.
    pub fn new(clock: Clock, prints: bool) -> Arc<Self> {
        Arc::new(Ledger { started: clock.instant(), clock, prints, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in writes; they must follow each other without a gap.
    pub fn observe(&self, events: &[Event]) {
        for event in events {
            let object = event.value.as_deref().map(|value| serde_json::from_slice::<Value>(value).unwrap_or_default());
            self.note(&format!("write {} {} {}", event.revision, event.key, digest(event, object.as_ref())));
            let now = self.clock.instant();
            let found = self.state().take_in(now, event, object.map(Arc::new));
            found.into_iter().for_each(|wrong| self.wrong(wrong));
        }
    }

    /// From now on every write is shown to this rule too.
    pub fn keep(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Adds a line to the trace.
    pub fn note(&self, line: &str) {
        let line = format!("{:>9} {line}", self.started.elapsed().as_millis());
        if self.prints {
            println!("{line}");
        }
        let mut state = self.state();
        state.hash.write(line.as_bytes());
        state.lines += 1;
        if state.lines == MAX_LINES {
            state.wrongs.push("somebody spins: there is no end to the trace".to_owned());
        }
        if state.tail.len() == TAIL {
            state.tail.pop_front();
        }
        state.tail.push_back(line);
    }

    pub fn wrong(&self, what: String) {
        self.note(&format!("WRONG {what}"));
        self.state().wrongs.push(what);
    }

    /// A client was told that its write is done at this revision.
    pub fn acknowledged(&self, request: &Request, revision: Revision) {
        let name = request.name.clone().unwrap_or_default();
        let state = self.state();
        let at = state.history.partition_point(|written| written.revision < revision);
        let is_there = state.history.get(at).is_some_and(|written| {
            written.revision == revision && (name.is_empty() || written.key.ends_with(&format!("/{name}")))
        });
        drop(state);
        if !is_there {
            let verb = request.verb.as_str();
            self.wrong(format!(
                "{verb} of {name} was acknowledged at revision {revision}, which the store never wrote"
            ));
        }
    }

    pub fn seen(&self) -> Revision {
        self.state().seen
    }

    /// How long the trace is.
    pub fn lines(&self) -> u64 {
        self.state().lines
    }

    pub fn hash(&self) -> u64 {
        self.state().hash.finish()
    }

    pub fn first_wrong(&self) -> Option<String> {
        self.state().wrongs.first().cloned()
    }

    pub fn tail(&self) -> Vec<String> {
        self.state().tail.iter().cloned().collect()
    }

    /// The writes after a revision.
    pub fn since(&self, revision: Revision) -> Vec<Written> {
        let state = self.state();
        let at = state.history.partition_point(|written| written.revision <= revision);
        state.history[at..].to_vec()
    }

    /// The revisions that last wrote the objects under a prefix.
    pub fn revisions(&self, prefix: &str) -> Vec<Revision> {
        under(&self.state().objects, prefix).map(|(_, (revision, _))| *revision).collect()
    }

    /// The objects under a prefix.
    pub fn values(&self, prefix: &str) -> Vec<Arc<Value>> {
        under(&self.state().objects, prefix).map(|(_, (_, value))| value.clone()).collect()
    }

    /// The same with their keys.
    pub fn entries(&self, prefix: &str) -> Vec<(Arc<str>, Arc<Value>)> {
        under(&self.state().objects, prefix).map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    pub fn value(&self, key: &str) -> Option<Arc<Value>> {
        self.state().objects.get(key).map(|(_, value)| value.clone())
    }

    /// Asks or tells the judge.
    pub fn judge<T>(&self, consult: impl FnOnce(&mut Judge, Instant) -> T) -> T {
        consult(&mut self.state().judge, self.clock.instant())
    }
}

impl State {
    fn take_in(&mut self, now: Instant, event: &Event, after: Option<Arc<Value>>) -> Vec<String> {
        let mut wrong = Vec::new();
        if event.revision != self.seen + 1 {
            wrong.push(format!("the store went from revision {} to {}", self.seen, event.revision));
        }
        self.seen = event.revision;
        let before = match &after {
            Some(value) => self.objects.insert(event.key.clone(), (event.revision, value.clone())),
            None => self.objects.remove(&event.key),
        };
        let is_creation = before.is_none() && after.is_some();
        self.history.push(Written { revision: event.revision, key: event.key.clone(), is_creation });
        wrong.extend(self.judge.observe(now, &event.key, after.as_deref()));
        let before = before.as_ref().map(|(_, value)| &**value);
        let change = Change { now, key: &event.key, before, after: after.as_deref(), objects: &self.objects };
        wrong.extend(self.rules.iter_mut().filter_map(|rule| rule(&change)));
        wrong
    }
}

/// A short form of what an event wrote.
fn digest(event: &Event, object: Option<&Value>) -> String {
    let (Some(value), Some(object)) = (&event.value, object) else { return "gone".to_owned() };
    let mut hash = Fx::default();
    hash.write(value);
    format!("{:016x} {}", hash.finish(), judge::describe(&event.key, object))
}
