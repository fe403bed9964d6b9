//! What the store must hold: a record of every write, its answer and its publication, and the
//! comparison with what is found after a restart.

use base::Rng;
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use store::{Entry, Event, Expect, Revision, Sink, SqliteStore, Started, Store, StoreError, Write};

const CLIENTS: usize = 48;
/// A client writes at most so often in one life, so that some lives end in peace.
const WRITES_PER_LIFE: usize = 40;
/// History beyond this many revisions is compacted, to keep the checks quick.
const HISTORY: u64 = 400;

/// What one write left at its key; None: no value.
type State = Option<(Revision, Bytes)>;

pub struct Model {
    rng: Rng,
    /// What each key must hold, by its last acknowledged write.
    certain: BTreeMap<Arc<str>, State>,
    /// Writes whose outcome was never told: either may be found.
    maybe: BTreeMap<Arc<str>, Option<Bytes>>,
    /// All acknowledged writes that history still has to show.
    acknowledged: BTreeMap<Revision, (Arc<str>, Option<Bytes>)>,
    published: Published,
    refused: BTreeSet<Bytes>,
    newest: Revision,
    attempts: u64,
    counts: Counts,
}

/// How far a check came.
#[derive(Debug)]
pub enum Checked {
    Complete,
    /// The store could not be read: fine only where the power is gone.
    Interrupted(StoreError),
}

#[derive(Default, Debug)]
struct Counts {
    acknowledged: u64,
    uncertain: u64,
    refused: u64,
    checks: u64,
}

#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Event>>>);

impl Sink for Published {
    fn publish(&mut self, events: &[Event]) {
        self.0.lock().expect("no panic while it was held").extend_from_slice(events);
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, newest revision {}", self.counts, self.newest)
    }
}

impl Model {
    pub fn new(rng: Rng) -> Model {
        Model {
            rng,
            certain: BTreeMap::new(),
            maybe: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            published: Published::default(),
            refused: BTreeSet::new(),
            newest: 0,
            attempts: 0,
            counts: Counts::default(),
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged
    }

    pub fn uncertain(&self) -> u64 {
        self.counts.uncertain
    }

    /// Compares what `store` holds with the record.
    pub async fn check(&mut self, store: &SqliteStore) -> Result<Checked, String> {
        let started = match store.start(Box::new(self.published.clone())) {
            Ok(started) => started,
            Err(error) => return Ok(Checked::Interrupted(error)),
        };
        self.check_entries(&started)?;
        let history = match store.history(started.oldest, usize::MAX).await {
            Ok(history) => history,
            Err(error) => return Ok(Checked::Interrupted(error)),
        };
        self.check_history(&started, &history)?;
        self.counts.checks += 1;
        // What was uncertain is certain now.
        self.newest = started.revision;
        self.maybe.clear();
        self.certain =
            started.entries.into_iter().map(|entry| (entry.key, Some((entry.revision, entry.value)))).collect();
        self.acknowledged = history.into_iter().map(|event| (event.revision, (event.key, event.value))).collect();
        self.published.0.lock().expect("no panic while it was held").clear();
        Ok(Checked::Complete)
    }

    fn check_entries(&self, started: &Started) -> Result<(), String> {
        if started.revision < self.newest {
            return Err(format!("the store stands at {}, but {} was acknowledged", started.revision, self.newest));
        }
        let found: BTreeMap<_, _> = started.entries.iter().map(|entry| (&entry.key, entry)).collect();
        for key in self.certain.keys().chain(self.maybe.keys()).chain(found.keys().copied()) {
            let entry = found.get(key).copied();
            let certain = self.certain.get(key).cloned().flatten();
            let is_certain = entry.map(|entry| (entry.revision, entry.value.clone())) == certain;
            let is_maybe = self.maybe.get(key).is_some_and(|maybe| entry.map(|entry| &entry.value) == maybe.as_ref());
            if !is_certain && !is_maybe {
                return Err(format!("{key}: {certain:?} was acknowledged, found {}", shown(entry)));
            }
        }
        Ok(())
    }

    fn check_history(&self, started: &Started, history: &[Event]) -> Result<(), String> {
        let found: BTreeMap<_, _> = history.iter().map(|event| (event.revision, event)).collect();
        let expected: Vec<_> = (started.oldest + 1..=started.revision).collect();
        if !found.keys().copied().eq(expected) {
            return Err(format!("history after {} up to {} has gaps", started.oldest, started.revision));
        }
        for (revision, (key, value)) in self.acknowledged.range(started.oldest + 1..) {
            if found.get(revision).is_none_or(|event| event.key != *key || event.value != *value) {
                return Err(format!("{key} at {revision} was acknowledged, and is not in history"));
            }
        }
        for event in self.published.0.lock().expect("no panic while it was held").iter() {
            if event.revision > started.oldest && found.get(&event.revision) != Some(&event) {
                return Err(format!("{} at {} was published, and is not in history", event.key, event.revision));
            }
        }
        let refused = |event: &&Event| event.value.as_ref().is_some_and(|value| self.refused.contains(value));
        match history.iter().find(refused) {
            Some(event) => Err(format!("{} at {} was refused, and is there", event.key, event.revision)),
            None => Ok(()),
        }
    }

    /// Lets all clients write, each its own key, until the power goes or all have written enough.
    pub async fn write_until_failure(&mut self, store: &SqliteStore) -> Result<(), String> {
        let compaction = self.newest.saturating_sub(self.rng.u64(HISTORY / 2..HISTORY));
        let compacting = store.compact(compaction);
        let clients: Vec<_> = (0..CLIENTS).map(|index| self.client(index)).collect();
        let running = join_all(clients.into_iter().map(|client| client.run(store)));
        let (_, finished) = tokio::join!(compacting, running);
        for client in finished {
            self.take_over(client)?;
        }
        Ok(())
    }

    fn client(&mut self, index: usize) -> Client {
        let key: Arc<str> = format!("/registry/things/{index:03}").into();
        let state = self.certain.get(&key).cloned().flatten();
        self.attempts += 1;
        let writes = self.rng.usize(..WRITES_PER_LIFE);
        Client { key, state, life: self.attempts, rng: self.rng.fork(), writes, record: Vec::new() }
    }

    fn take_over(&mut self, client: Client) -> Result<(), String> {
        let key = client.key;
        for (write, outcome) in client.record {
            match outcome {
                Ok(revision) => {
                    self.counts.acknowledged += 1;
                    if self.acknowledged.insert(revision, (Arc::clone(&key), write.clone())).is_some() {
                        return Err(format!("revision {revision} was given out twice"));
                    }
                    self.newest = self.newest.max(revision);
                    self.certain.insert(Arc::clone(&key), write.map(|value| (revision, value)));
                }
                Err(StoreError::Unknown(_)) => {
                    self.counts.uncertain += 1;
                    self.maybe.insert(Arc::clone(&key), write);
                }
                Err(_) => {
                    self.counts.refused += 1;
                    self.refused.extend(write);
                }
            }
        }
        Ok(())
    }
}

fn shown(entry: Option<&Entry>) -> String {
    entry.map_or_else(|| "nothing".to_owned(), |entry| format!("{:?} at {}", entry.value, entry.revision))
}

/// Writes one key over and over: creates, changes, deletes, and now and then a write that must
/// be refused.
struct Client {
    key: Arc<str>,
    state: State,
    life: u64,
    rng: Rng,
    writes: usize,
    record: Vec<(Option<Bytes>, Result<Revision, StoreError>)>,
}

impl Client {
    async fn run(mut self, store: &SqliteStore) -> Client {
        for attempt in 0..self.writes {
            let refused = self.rng.chance(0.1);
            let expect = match (&self.state, refused) {
                (Some((revision, _)), false) => Expect::Revision(*revision),
                (None, false) | (Some(_), true) => Expect::Absent,
                (None, true) => Expect::Revision(1),
            };
            let delete = self.state.is_some() && !refused && self.rng.chance(0.15);
            let size = 1usize << self.rng.usize(..13);
            let value = format!("{} {} {attempt} {}", self.key, self.life, "x".repeat(self.rng.usize(..size)));
            let value = (!delete).then(|| Bytes::from(value));
            let last = delete.then(|| Bytes::from_static(b"last"));
            let write = Write { key: Arc::clone(&self.key), expect, value: value.clone(), last };
            let outcome = store.commit(write).await;
            let over = matches!(outcome, Err(StoreError::Unknown(_) | StoreError::Closed(_)));
            if let Ok(revision) = outcome {
                self.state = value.clone().map(|value| (revision, value));
            }
            self.record.push((value, outcome));
            if over {
                break;
            }
        }
        self
    }
}
