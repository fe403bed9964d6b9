//! The store without a disk, for tests and the simulator: no threads, the same order in every run.
//!
//! A [`Faults`] hook decides what goes wrong. What a machine's disk would keep across a crash lives
//! apart from the handle: [`MemoryStore::reopen`] is the restart.

use crate::{BoxFuture, Entry, Event, Expect, Revision, Sink, Started, Store, StoreError, Write};
use base::{Env, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What happens to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes well.
    None,
    /// It goes well, but takes this long, and all later ones wait for it.
    Slow(Duration),
    /// It is refused as if too many were waiting.
    Busy,
    /// The store crashes before the write reaches the disk.
    CrashBefore,
    /// The store crashes after the write is durable, before it is published or answered.
    CrashAfter,
}

/// Decides the fate of writes. Is asked once for each, in the order they are made.
pub trait Faults: Send + Sync {
    fn before_commit(&self, write: &Write) -> Fault;
}

/// A store in memory. Clones are the same store.
#[derive(Clone)]
pub struct MemoryStore {
    env: Env,
    faults: Option<Arc<dyn Faults>>,
    disk: Arc<Mutex<Disk>>,
    sink: Arc<Mutex<Option<Box<dyn Sink>>>>,
    /// Writes one after the other, in the order they came.
    turn: Arc<tokio::sync::Mutex<()>>,
    ended: Arc<watch::Sender<Option<String>>>,
}

/// What outlives a crash.
#[derive(Default)]
struct Disk {
    revision: Revision,
    compacted: Revision,
    current: BTreeMap<Arc<str>, Revision>,
    history: BTreeMap<Revision, Row>,
}

struct Row {
    key: Arc<str>,
    written: Timestamp,
    previous: Option<Revision>,
    value: Option<Bytes>,
    last: Option<Bytes>,
}

impl MemoryStore {
    pub fn new(env: &Env) -> MemoryStore {
        Self::with_disk(env, None, Arc::default())
    }

    /// A store whose writes go as `faults` says.
    pub fn with_faults(env: &Env, faults: Arc<dyn Faults>) -> MemoryStore {
        Self::with_disk(env, Some(faults), Arc::default())
    }

    /// The store after a restart: this one is closed, the new one has what was durable.
    pub fn reopen(&self) -> MemoryStore {
        self.end("it was shut down");
        Self::with_disk(&self.env, self.faults.clone(), Arc::clone(&self.disk))
    }

    fn with_disk(env: &Env, faults: Option<Arc<dyn Faults>>, disk: Arc<Mutex<Disk>>) -> MemoryStore {
        let ended = Arc::new(watch::Sender::new(None));
        MemoryStore { env: env.clone(), faults, disk, sink: Arc::default(), turn: Arc::default(), ended }
    }

    fn end(&self, why: &str) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert_with(|| why.to_owned());
            first
        });
        *lock(&self.sink) = None;
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match &*self.ended.borrow() {
            Some(why) => Err(StoreError::Closed(why.clone())),
            None => Ok(()),
        }
    }

    async fn write(self, write: Write) -> Result<Revision, StoreError> {
        let _turn = self.turn.lock().await;
        self.check_open()?;
        let fault = self.faults.as_ref().map_or(Fault::None, |faults| faults.before_commit(&write));
        match fault {
            Fault::None | Fault::CrashAfter => {}
            Fault::Slow(duration) => {
                self.env.clock.sleep(duration).await;
                self.check_open()?;
            }
            Fault::Busy => return Err(StoreError::Busy),
            Fault::CrashBefore => {
                let why = "crashed before the commit";
                self.end(why);
                return Err(StoreError::Closed(why.to_owned()));
            }
        }
        let event = lock(&self.disk).apply(write, self.env.clock.now())?;
        if fault == Fault::CrashAfter {
            let why = "crashed after the commit";
            self.end(why);
            return Err(StoreError::Unknown(why.to_owned()));
        }
        if let Some(sink) = &mut *lock(&self.sink) {
            sink.publish(std::slice::from_ref(&event));
        }
        Ok(event.revision)
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            store.check_open()?;
            read(&lock(&store.disk))
        })
    }
}

impl Store for MemoryStore {
    fn start(&self, sink: Box<dyn Sink>) -> Result<Started, StoreError> {
        self.check_open()?;
        let disk = lock(&self.disk);
        let entries = disk.current.iter().filter_map(|(key, revision)| disk.entry(key, *revision)).collect();
        *lock(&self.sink) = Some(sink);
        Ok(Started { revision: disk.revision, oldest: disk.compacted, entries })
    }

    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, StoreError>> {
        Box::pin(self.clone().write(write))
    }

    fn history(&self, after: Revision, limit: usize) -> BoxFuture<'static, Result<Vec<Event>, StoreError>> {
        self.read(move |disk| {
            disk.check_kept(after)?;
            let rows = disk.history.range((Bound::Excluded(after), Bound::Unbounded));
            Ok(rows.take(limit).map(|(revision, row)| disk.event(*revision, row)).collect())
        })
    }

    fn entries_at(&self, prefix: Arc<str>, at: Revision) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.read(move |disk| {
            disk.check_kept(at)?;
            let mut then: BTreeMap<&Arc<str>, Revision> = BTreeMap::new();
            for (revision, row) in disk.history.range(..=at).filter(|(_, row)| row.key.starts_with(&*prefix)) {
                then.insert(&row.key, *revision);
            }
            // A key whose newest row was a delete has no value there, hence no entry.
            Ok(then.into_iter().filter_map(|(key, revision)| disk.entry(key, revision)).collect())
        })
    }

    fn compact(&self, before: Revision) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            store.check_open()?;
            lock(&store.disk).compact(before);
            Ok(())
        })
    }

    fn written_at(&self, revision: Revision) -> BoxFuture<'static, Result<Option<Timestamp>, StoreError>> {
        self.read(move |disk| Ok(disk.history.get(&revision).map(|row| row.written)))
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let store = self.clone();
        Box::pin(async move {
            let _turn = store.turn.lock().await;
            store.end("it was shut down");
        })
    }

    fn closed(&self) -> BoxFuture<'static, String> {
        let mut ended = self.ended.subscribe();
        Box::pin(async move {
            match ended.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "it was dropped".to_owned(),
            }
        })
    }
}

impl Disk {
    fn apply(&mut self, write: Write, written: Timestamp) -> Result<Event, StoreError> {
        let previous = self.current.get(&write.key).copied();
        let holds = match write.expect {
            Expect::Absent => previous.is_none(),
            Expect::Revision(expected) => previous == Some(expected),
        };
        if !holds {
            let current = previous.and_then(|revision| self.entry(&write.key, revision));
            return Err(StoreError::Conflict { current });
        }
        self.revision += 1;
        let revision = self.revision;
        match &write.value {
            Some(_) => self.current.insert(Arc::clone(&write.key), revision),
            None => self.current.remove(&write.key),
        };
        let row = Row { key: write.key, written, previous, value: write.value, last: write.last };
        let event = self.event(revision, &row);
        self.history.insert(revision, row);
        Ok(event)
    }

    fn entry(&self, key: &Arc<str>, revision: Revision) -> Option<Entry> {
        let value = self.history.get(&revision)?.value.clone()?;
        Some(Entry { key: Arc::clone(key), revision, value })
    }

    fn event(&self, revision: Revision, row: &Row) -> Event {
        let value_at = |revision| Some((revision, self.history.get(&revision)?.value.clone()?));
        let (key, value, last) = (Arc::clone(&row.key), row.value.clone(), row.last.clone());
        Event { revision, key, value, previous: row.previous.and_then(value_at), last }
    }

    fn check_kept(&self, asked: Revision) -> Result<(), StoreError> {
        let oldest = self.compacted;
        if asked < oldest { Err(StoreError::Compacted { asked, oldest }) } else { Ok(()) }
    }

    fn compact(&mut self, before: Revision) {
        let target = before.min(self.revision);
        if target <= self.compacted {
            return;
        }
        let range = (Bound::Excluded(self.compacted), Bound::Included(target));
        let rows = self.history.range(range);
        let replaced: Vec<_> = rows.clone().filter_map(|(_, row)| row.previous).collect();
        let deletes: Vec<_> = rows.filter(|(_, row)| row.value.is_none()).map(|(revision, _)| *revision).collect();
        for revision in replaced.into_iter().chain(deletes) {
            self.history.remove(&revision);
        }
        self.compacted = target;
    }
}

/// A panic while the lock was held has ended the test already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
