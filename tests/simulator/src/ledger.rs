//! The simulation's memory: every durable write and every request, their hash, and what was found
//! to be wrong.
//!
//! It sees writes as the store makes them, so it knows the truth that clients and caches may only
//! approach. The rules of one workload are the [`Judge`]'s.

use crate::judge::{self, Judge};
use base::Clock;
use base::collections::Fx;
use bytes::Bytes;
use client::Request;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher as _;
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
}

#[derive(Default)]
struct State {
    seen: Revision,
    objects: BTreeMap<Arc<str>, (Revision, Bytes)>,
    history: Vec<Written>,
    judge: Judge,
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
            let line = format!("write {} {} {}", event.revision, event.key, digest(event));
            self.note(&line);
            let mut state = self.state();
            if event.revision != state.seen + 1 {
                let seen = state.seen;
                state.wrongs.push(format!("the store went from revision {seen} to {}", event.revision));
            }
            state.seen = event.revision;
            state.history.push(Written { revision: event.revision, key: event.key.clone() });
            let found = state.judge.observe(self.clock.instant(), &event.key, event.value.as_deref());
            match &event.value {
                Some(value) => drop(state.objects.insert(event.key.clone(), (event.revision, value.clone()))),
                None => drop(state.objects.remove(&event.key)),
            }
            drop(state);
            found.into_iter().for_each(|wrong| self.wrong(wrong));
        }
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

    /// The objects under a prefix, with the revisions that wrote them.
    pub fn under(&self, prefix: &str) -> BTreeMap<Arc<str>, Revision> {
        let state = self.state();
        let from = state.objects.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let own = from.take_while(|(key, _)| key.starts_with(prefix));
        own.map(|(key, (revision, _))| (key.clone(), *revision)).collect()
    }

    /// The objects under a prefix.
    pub fn values(&self, prefix: &str) -> Vec<Bytes> {
        let state = self.state();
        let from = state.objects.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        let own = from.take_while(|(key, _)| key.starts_with(prefix));
        own.map(|(_, (_, value))| value.clone()).collect()
    }

    /// Asks or tells the judge.
    pub fn judge<T>(&self, consult: impl FnOnce(&mut Judge, Instant) -> T) -> T {
        consult(&mut self.state().judge, self.clock.instant())
    }
}

/// A short form of what an event wrote.
fn digest(event: &Event) -> String {
    let Some(value) = &event.value else { return "gone".to_owned() };
    let mut hash = Fx::default();
    hash.write(value);
    format!("{:016x} {}", hash.finish(), judge::describe(&event.key, value))
}
