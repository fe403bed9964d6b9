//! What a room is given to stand on: caches, its queue, the options of the whole crate.

use crate::Options;
use crate::action::Plan;
use base::{Env, Timestamp};
use client::cache::Observed;
use client::{Cache, Change, Key, Projection, Selection, WorkQueue};
use meta::GroupVersionResource;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One controller, as [`crate::ALL`] lists it.
pub struct Def {
    /// Upstream's name, as `--controllers` and metrics spell it.
    pub name: &'static str,
    /// The service account of kube-system it acts as.
    pub identity: &'static str,
    /// The source of its Events.
    pub component: &'static str,
    pub workers: usize,
    /// The first and the longest delay after failures of one key.
    pub retry: (Duration, Duration),
    /// Builds the room: opens caches and says which changes concern which keys.
    pub build: fn(&Rig) -> Box<dyn Room>,
}

/// The brain of a controller. `reconcile` looks at the caches and decides; it sends nothing.
pub trait Room: Send + Sync {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError>;
}

#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// An object does not read as its kind.
    #[error("cannot read {key}: {why}")]
    Decode { key: Key, why: serde_json::Error },
    #[error("invalid selector of {key}: {why}")]
    Selector { key: Key, why: meta::labels::SelectorError },
    #[error("{0}")]
    Other(String),
}

/// What a room's `build` works with.
pub struct Rig {
    pub env: Env,
    pub options: Arc<Options>,
    pub queue: WorkQueue<Key>,
    watched: Mutex<BTreeMap<GroupVersionResource, Watched>>,
}

/// A cache as the executor knows it.
#[derive(Clone)]
pub(crate) struct Watched {
    pub cache: Arc<dyn Observed>,
    /// Nothing is planned before it is there.
    pub needed: bool,
}

impl Rig {
    pub(crate) fn new(env: &Env, options: &Arc<Options>, def: &Def) -> Self {
        let queue = WorkQueue::with_retry(env, def.retry);
        Rig { env: env.clone(), options: options.clone(), queue, watched: Mutex::default() }
    }

    /// The cache of all objects of a resource, shared with the other rooms. The executor waits for
    /// the room's own writes to this resource to show in it.
    pub fn cache<P: Projection>(&self, resource: &GroupVersionResource) -> Arc<Cache<P>> {
        self.cache_of(Selection::all(resource.clone()))
    }

    /// The same of some objects only; the room must write to no others.
    pub fn cache_of<P: Projection>(&self, selection: Selection) -> Arc<Cache<P>> {
        self.watch(selection, true)
    }

    /// A cache that the room can do without: the kind may not be served.
    pub fn cache_if_served<P: Projection>(&self, resource: &GroupVersionResource) -> Arc<Cache<P>> {
        self.watch(Selection::all(resource.clone()), false)
    }

    fn watch<P: Projection>(&self, selection: Selection, needed: bool) -> Arc<Cache<P>> {
        let resource = selection.resource.clone();
        let cache = self.options.caches.watch::<P>(selection);
        let watched = Watched { cache: cache.clone(), needed };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(resource, watched);
        cache
    }

    pub(crate) fn watched(&self) -> BTreeMap<GroupVersionResource, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls `handler` at every change, with the room's queue.
    pub fn on<P: Projection>(
        &self,
        cache: &Cache<P>,
        handler: impl Fn(&Change<P>, &WorkQueue<Key>) + Send + Sync + 'static,
    ) {
        let queue = self.queue.clone();
        cache.subscribe(move |change| handler(change, &queue));
    }

    /// Works on every object of the cache whenever it changes.
    pub fn on_itself<P: Projection>(&self, cache: &Cache<P>) {
        self.on(cache, |change, queue| change.latest().into_iter().for_each(|item| queue.add(item.key.clone())));
    }
}
