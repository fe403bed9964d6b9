//! All objects of one stored kind in memory, and the ring of their recent changes that watches
//! read from.
//!
//! Filled by the store's sink only, so it never shows what is not durable. One lock guards map,
//! ring and the global revision's step together: a list's revision and its items always agree.

use crate::object::Object;
use base::Latest;
use imbl::OrdMap;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use store::Revision;

pub type Objects = OrdMap<Arc<str>, Arc<Object>>;

/// How many changes a ring keeps, and how many bytes of objects they may hold on to.
const RING_CHANGES: usize = 16_384;
const RING_BYTES: usize = 48 << 20;

/// One durable change as watches see it.
#[derive(Debug)]
pub struct Change {
    pub revision: Revision,
    /// The new state; of a delete the last state, at the revision of the delete.
    pub object: Arc<Object>,
    pub previous: Option<Arc<Object>>,
    pub deleted: bool,
    /// The event as one JSON line, made for the first watcher that sends it.
    pub frames: Frames,
}

/// JSON lines of a change, one per event type.
#[derive(Debug, Default)]
pub struct Frames {
    pub as_is: OnceLock<bytes::Bytes>,
}

/// What watchers may still ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    pub oldest: Revision,
}

pub struct Collection {
    inner: RwLock<Inner>,
    /// Sequence number after the newest change; watchers sleep on it.
    newest: Latest<u64>,
    global: Arc<AtomicU64>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Inner {
    objects: Objects,
    ring: VecDeque<Arc<Change>>,
    ring_bytes: usize,
    /// Sequence number of the ring's front.
    front: u64,
    /// Watches may start from this revision or later.
    floor: Revision,
}

impl Collection {
    pub fn new(global: Arc<AtomicU64>) -> Self {
        Collection { inner: RwLock::default(), newest: Latest::new(0), global, closed: AtomicBool::new(false) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the map at start-up; `floor` is the revision watches may resume after.
    pub fn load(&self, objects: Objects, floor: Revision) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.objects = objects;
        inner.floor = floor;
    }

    /// Puts history in front of an empty ring at start-up, oldest first, so that watches resume
    /// over a restart.
    pub fn remember(&self, changes: Vec<Change>, floor: Revision) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.floor = floor;
        for change in changes {
            inner.push(Arc::new(change));
        }
        self.grow(inner.end());
    }

    /// Applies a durable change and moves the global revision, as one step.
    pub fn apply(&self, change: Change) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let key: Arc<str> = Object::key(&change.object.index.namespace, &change.object.index.name).into();
        if change.deleted {
            inner.objects.remove(&key);
        } else {
            inner.objects.insert(key, change.object.clone());
        }
        self.global.store(change.revision, Ordering::Release);
        inner.push(Arc::new(change));
        self.grow(inner.end());
    }

    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects of one namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Object>> {
        let start = format!("{namespace}/");
        let objects = self.read().objects.clone();
        let bounds = (Bound::Included(start.as_str()), Bound::Unbounded);
        let inside = objects.range::<_, str>(bounds).take_while(|(key, _)| key.starts_with(&start));
        inside.map(|(_, object)| object.clone()).collect()
    }

    /// Everything as of the returned revision, at no cost.
    pub fn snapshot(&self) -> (Objects, Revision) {
        let inner = self.read();
        (inner.objects.clone(), self.global.load(Ordering::Acquire))
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// A place in the ring right after `revision`.
    ///
    /// # Errors
    /// The ring no longer reaches back that far.
    pub fn place_after(&self, revision: Revision) -> Result<u64, TooOld> {
        let inner = self.read();
        if revision < inner.floor {
            return Err(TooOld { oldest: inner.floor });
        }
        let skip = inner.ring.partition_point(|change| change.revision <= revision);
        Ok(inner.front + skip as u64)
    }

    /// Everything now, and the place in the ring that continues from it.
    pub fn snapshot_and_place(&self) -> (Objects, Revision, u64) {
        let inner = self.read();
        (inner.objects.clone(), self.global.load(Ordering::Acquire), inner.end())
    }

    /// Up to `limit` changes from `place` on, and the revision up to which nothing else happened.
    ///
    /// # Errors
    /// The reader fell behind and the ring has moved on.
    pub fn changes(&self, place: u64, limit: usize) -> Result<(Vec<Arc<Change>>, Revision), TooOld> {
        let inner = self.read();
        if place < inner.front {
            return Err(TooOld { oldest: inner.floor });
        }
        let skip = usize::try_from(place - inner.front).unwrap_or(usize::MAX);
        let changes: Vec<_> = inner.ring.iter().skip(skip).take(limit).cloned().collect();
        let upto = if skip + changes.len() >= inner.ring.len() {
            self.global.load(Ordering::Acquire)
        } else {
            changes.last().map_or(0, |change| change.revision)
        };
        Ok((changes, upto))
    }

    /// Ends all watches: the kind is not served any more, and no change will come.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.grow(u64::MAX);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until there are changes at `place`.
    pub async fn grown_past(&self, place: u64) {
        self.newest.wait(|end| *end > place).await;
    }

    fn grow(&self, end: u64) {
        self.newest.change(|newest| {
            *newest = end;
            true
        });
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.front + self.ring.len() as u64
    }

    fn push(&mut self, change: Arc<Change>) {
        self.ring_bytes += change.object.json.len();
        self.ring.push_back(change);
        while self.ring.len() > RING_CHANGES || (self.ring_bytes > RING_BYTES && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes -= oldest.object.json.len();
            self.front += 1;
            self.floor = oldest.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Index;

    fn change(revision: Revision, name: &str, deleted: bool) -> Change {
        let index = Index { name: name.to_owned(), ..Index::default() };
        let object = Arc::new(Object::new(revision, bytes::Bytes::from_static(b"{}"), index));
        Change { revision, object, previous: None, deleted, frames: Frames::default() }
    }

    #[test]
    fn a_watch_continues_exactly_where_a_list_ended() {
        let collection = Collection::new(Arc::default());
        collection.apply(change(1, "a", false));
        let (objects, revision, place) = collection.snapshot_and_place();
        assert_eq!((objects.len(), revision), (1, 1));
        collection.apply(change(2, "b", false));
        collection.apply(change(3, "a", true));
        let (changes, upto) = collection.changes(place, 100).unwrap();
        assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(upto, 3);
        assert_eq!(collection.place_after(2), Ok(place + 1));
        assert!(collection.get("a").is_none());
    }

    #[test]
    fn a_reader_that_fell_behind_is_told() {
        let collection = Collection::new(Arc::default());
        for revision in 1..=(RING_CHANGES as u64 + 5) {
            collection.apply(change(revision, "a", false));
        }
        assert_eq!(collection.changes(0, 1).map(|_| ()), Err(TooOld { oldest: 5 }));
        assert_eq!(collection.place_after(4), Err(TooOld { oldest: 5 }));
        assert!(collection.place_after(5).is_ok());
    }
}
