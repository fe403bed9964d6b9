//! The state behind a cache: items, indices, subscribers. Only the reflector changes it.

use super::{CONTROLLER, Change, Item, Key, ORPHANS, OWNED, Projection};
use crate::ReadAhead;
use base::Latest;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tracing::warn;

type Handler<P> = Box<dyn Fn(&Change<P>) + Send + Sync>;

pub(super) struct Shared<P> {
    state: RwLock<State<P>>,
    /// Held while a change is applied and told, so that a new subscriber misses none and gets none
    /// twice.
    handlers: Mutex<Vec<Handler<P>>>,
    progress: Latest<Progress>,
}

/// How far the cache has come; waiters watch it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub synced: bool,
    /// The first LIST was answered, be it that the kind is not served.
    pub answered: bool,
    pub seen: u64,
    pub changes: u64,
}

pub(super) struct State<P> {
    pub items: Items<P>,
    /// The items themselves, as thousands are asked for at once.
    indices: BTreeMap<&'static str, BTreeMap<String, Items<P>>>,
}

type Items<P> = BTreeMap<Key, Arc<Item<P>>>;

impl<P: Projection> State<P> {
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<Item<P>>> {
        let prefix = format!("{namespace}/");
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let of_namespace = self.items.range::<str, _>(from).take_while(|(key, _)| key.as_str().starts_with(&prefix));
        of_namespace.map(|(_, item)| item.clone()).collect()
    }

    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<Item<P>>> {
        let items = self.indices.get(index).and_then(|values| values.get(value));
        items.map(|items| items.values().cloned().collect()).unwrap_or_default()
    }

    fn insert(&mut self, item: Arc<Item<P>>) -> Option<Arc<Item<P>>> {
        let old = self.remove(&item.key);
        for_each_index(&item, |index, value| {
            let items = self.indices.entry(index).or_default().entry(value.to_owned()).or_default();
            items.insert(item.key.clone(), item.clone());
        });
        self.items.insert(item.key.clone(), item);
        old
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Item<P>>> {
        let old = self.items.remove(key)?;
        for_each_index(&old, |index, value| {
            let Some(values) = self.indices.get_mut(index) else { return };
            let Some(items) = values.get_mut(value) else { return };
            items.remove(key);
            if items.is_empty() {
                values.remove(value);
            }
        });
        Some(old)
    }
}

fn for_each_index<P: Projection>(item: &Item<P>, mut add: impl FnMut(&'static str, &str)) {
    match item.meta.controller() {
        Some(owner) => add(CONTROLLER, &owner.uid),
        None => add(ORPHANS, &item.meta.namespace),
    }
    item.meta.owner_references.iter().for_each(|owner| add(OWNED, &owner.uid));
    P::index(item, &mut add);
}

impl<P: Projection> Shared<P> {
    pub fn new() -> Self {
        Shared {
            state: RwLock::new(State { items: BTreeMap::new(), indices: BTreeMap::new() }),
            handlers: Mutex::new(Vec::new()),
            progress: Latest::new(Progress::default()),
        }
    }

    pub fn state(&self) -> RwLockReadGuard<'_, State<P>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn progress(&self) -> Progress {
        self.progress.read(|progress| *progress)
    }

    pub async fn wait(&self, done: impl FnMut(&Progress) -> bool) {
        self.progress.wait(done).await;
    }

    pub fn subscribe(&self, handler: Handler<P>) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let items: Vec<_> = self.state().items.values().cloned().collect();
        for item in items {
            handler(&Change { old: None, new: Some(item) });
        }
        handlers.push(handler);
    }

    /// Takes the result of a LIST: what is not in it is gone.
    pub fn replace(&self, objects: Vec<(Bytes, ReadAhead)>, version: u64) {
        let items = objects.into_iter().filter_map(|(object, metadata)| read::<P>(object, metadata));
        let fresh: BTreeMap<Key, Arc<Item<P>>> = items.map(|item| (item.key.clone(), item)).collect();
        let gone: Vec<Key> = self.state().items.keys().filter(|key| !fresh.contains_key(*key)).cloned().collect();
        for key in gone {
            self.apply(&key, None);
        }
        for (key, item) in fresh {
            self.apply(&key, Some(item));
        }
        self.progress.change(|progress| {
            progress.synced = true;
            progress.answered = true;
            progress.seen = progress.seen.max(version);
            true
        });
    }

    /// Takes an ADDED or MODIFIED event; returns the object's version where it can be read.
    pub fn put(&self, object: Bytes, metadata: ReadAhead) -> Option<String> {
        let item = read::<P>(object, metadata)?;
        let version = item.meta.resource_version.clone();
        let number = item.version;
        self.apply(&item.key.clone(), Some(item));
        self.advance(number);
        Some(version)
    }

    /// Takes a DELETED event.
    pub fn delete(&self, object: Bytes, metadata: ReadAhead) -> Option<String> {
        let item = read::<P>(object, metadata)?;
        self.apply(&item.key, None);
        self.advance(item.version);
        Some(item.meta.resource_version.clone())
    }

    /// The server does not serve the kind; the cache stays empty until it does.
    pub fn not_served(&self) {
        self.progress.change(|progress| !std::mem::replace(&mut progress.answered, true));
    }

    pub fn advance(&self, version: u64) {
        self.progress.change(|progress| {
            let newer = version > progress.seen;
            progress.seen = progress.seen.max(version);
            newer
        });
    }

    fn apply(&self, key: &Key, new: Option<Arc<Item<P>>>) {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let old = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if let (Some(new), Some(old)) = (&new, state.items.get(key))
                && new.meta.resource_version == old.meta.resource_version
                && new.meta.uid == old.meta.uid
            {
                return;
            }
            match &new {
                Some(item) => state.insert(item.clone()),
                None => state.remove(key),
            }
        };
        let replaced = matches!((&old, &new), (Some(old), Some(new)) if old.meta.uid != new.meta.uid);
        let changes = match (old, new) {
            (None, None) => vec![],
            (Some(old), Some(new)) if replaced => {
                vec![Change { old: Some(old), new: None }, Change { old: None, new: Some(new) }]
            }
            (old, new) => vec![Change { old, new }],
        };
        for change in &changes {
            handlers.iter().for_each(|handler| handler(change));
        }
        if !changes.is_empty() {
            self.progress.change(|progress| {
                progress.changes += 1;
                true
            });
        }
    }
}

fn read<P: Projection>(object: Bytes, metadata: ReadAhead) -> Option<Arc<Item<P>>> {
    match Item::<P>::read_on(object, metadata) {
        Ok(item) => Some(Arc::new(item)),
        Err(error) => {
            warn!(%error, "the API server sent an object that cannot be read; the cache goes on without it");
            None
        }
    }
}
