//! Reflector caches: the objects of one resource, kept current by LIST and WATCH.
//!
//! An item holds the object's bytes as the server sent them (in process they are the server's own),
//! its metadata and a small projection computed once. Rooms read caches instead of asking the
//! server, subscribe to changes, and can wait until a cache has seen a write of their own. A cache
//! never writes and never holds typed objects.

mod metadata;
mod reflector;
mod registry;
mod shared;
#[cfg(test)]
mod tests;

pub use metadata::read as read_metadata;
pub use registry::{Caches, Selection};

use crate::{BoxFuture, ReadAhead};
use bytes::Bytes;
use meta::ObjectMeta;
use serde::de::DeserializeOwned;
use shared::Shared;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The index every cache has: objects by the uid of the owner that controls them.
pub const CONTROLLER: &str = "controller";

/// Another: objects by the uid of any owner.
const OWNED: &str = "owned";
/// Another: by namespace, the objects that no owner controls.
const ORPHANS: &str = "orphans";

/// What a room keeps of each object besides its metadata. Small: there is one per object for as
/// long as the object lives.
pub trait Projection: Sized + Send + Sync + 'static {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error>;

    /// Tells `add` every (index, value) under which [`Cache::by_index`] is to find the item.
    fn index(_item: &Item<Self>, _add: &mut dyn FnMut(&'static str, &str)) {}
}

/// Metadata alone.
impl Projection for () {
    fn project(_object: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(())
    }
}

/// `namespace/name`, or `name` where the kind has no namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// An empty namespace means none.
    pub fn new(namespace: &str, name: &str) -> Self {
        if namespace.is_empty() { Key(name.into()) } else { Key(format!("{namespace}/{name}").into()) }
    }

    pub fn of(meta: &ObjectMeta) -> Self {
        Key::new(&meta.namespace, &meta.name)
    }

    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

/// An object at one resource version.
#[derive(Debug)]
pub struct Item<P> {
    pub key: Key,
    /// The whole object as JSON.
    pub bytes: Bytes,
    /// In process one copy for all caches that hold the object.
    pub meta: Arc<ObjectMeta>,
    /// The resource version as a number; 0 where the server's is none.
    pub version: u64,
    pub view: P,
}

impl<P> Item<P> {
    /// The typed object, for the length of one reconcile.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }
}

impl<P: Projection> Item<P> {
    pub fn read(bytes: Bytes) -> Result<Self, serde_json::Error> {
        Self::read_on(bytes, None)
    }

    /// The same where the metadata may have been read.
    fn read_on(bytes: Bytes, metadata: ReadAhead) -> Result<Self, serde_json::Error> {
        let metadata = match metadata {
            Some(metadata) => metadata,
            None => Arc::new(metadata::read(&bytes)?),
        };
        let view = P::project(&bytes)?;
        let version = parse_version(&metadata.resource_version);
        Ok(Item { key: Key::of(&metadata), bytes, meta: metadata, version, view })
    }
}

/// A resource version as a number that can be compared; 0 where it is none.
pub fn parse_version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

/// What happened to one object: added (no old), deleted (no new) or changed. An object replaced by
/// another of the same name is told as a deletion and an addition.
pub struct Change<P> {
    pub old: Option<Arc<Item<P>>>,
    pub new: Option<Arc<Item<P>>>,
}

impl<P> Change<P> {
    /// The latest state there is of the object.
    pub fn latest(&self) -> Option<&Arc<Item<P>>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// The states there are: old, then new.
    pub fn states(&self) -> impl Iterator<Item = &Arc<Item<P>>> {
        self.old.iter().chain(self.new.iter())
    }
}

/// The objects of one [`Selection`]. Ends its watch when the last handle is dropped.
pub struct Cache<P: Projection> {
    shared: Arc<Shared<P>>,
    /// Closing it ends the reflector.
    _alive: oneshot::Sender<()>,
}

impl<P: Projection> Cache<P> {
    /// An empty namespace means none.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Item<P>>> {
        self.get_key(&Key::new(namespace, name))
    }

    pub fn get_key(&self, key: &Key) -> Option<Arc<Item<P>>> {
        self.shared.state().items.get(key).cloned()
    }

    /// All items, in key order.
    pub fn list(&self) -> Vec<Arc<Item<P>>> {
        self.shared.state().items.values().cloned().collect()
    }

    /// The items of one namespace, in order of name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<Item<P>>> {
        self.shared.state().list_in(namespace)
    }

    /// The items that their projection put under `value` of `index`, in key order.
    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<Item<P>>> {
        self.shared.state().by_index(index, value)
    }

    /// The items controlled by the owner of this uid.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<Item<P>>> {
        self.by_index(CONTROLLER, uid)
    }

    /// The items that name this uid among their owners.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Item<P>>> {
        self.by_index(OWNED, uid)
    }

    /// The items of a namespace that no owner controls.
    pub fn orphans_in(&self, namespace: &str) -> Vec<Arc<Item<P>>> {
        self.by_index(ORPHANS, namespace)
    }

    pub fn len(&self) -> usize {
        self.shared.state().items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for every item there is (as additions) and for every change from now on, in
    /// order. It runs on the reflector: it must be quick (put a key into a queue), and must not
    /// subscribe to the same cache.
    pub fn subscribe(&self, handler: impl Fn(&Change<P>) + Send + Sync + 'static) {
        self.shared.subscribe(Box::new(handler));
    }

    /// Whether the first LIST is in.
    pub fn is_synced(&self) -> bool {
        self.shared.progress().synced
    }

    /// Waits until the first LIST is in.
    pub async fn synced(&self) {
        self.shared.wait(|progress| progress.synced).await;
    }

    /// The newest resource version that this cache is known to reflect.
    pub fn seen(&self) -> u64 {
        self.shared.progress().seen
    }

    /// Waits until the cache reflects `version`: the answer of a write tells which.
    pub async fn wait_seen(&self, version: u64) {
        self.shared.wait(|progress| progress.seen >= version).await;
    }

    /// Waits for anything to change after `since`, and returns the count to wait after next.
    pub async fn changed(&self, since: u64) -> u64 {
        self.shared.wait(|progress| progress.changes > since).await;
        self.shared.progress().changes
    }
}

/// A cache of any projection, as far as waiting for one's own writes needs it.
pub trait Observed: Send + Sync {
    fn synced(&self) -> BoxFuture<'_, ()>;
    /// Waits until the first LIST is in, or it is known that the kind is not served.
    fn answered(&self) -> BoxFuture<'_, ()>;
    /// Waits until the cache reflects this version.
    fn wait_seen(&self, version: u64) -> BoxFuture<'_, ()>;
    /// Waits until this object is gone, replaced or marked as being deleted.
    fn wait_gone<'a>(&'a self, key: &'a Key, uid: &'a str) -> BoxFuture<'a, ()>;
}

impl<P: Projection> Observed for Cache<P> {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(Cache::synced(self))
    }

    fn answered(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.wait(|progress| progress.answered))
    }

    fn wait_seen(&self, version: u64) -> BoxFuture<'_, ()> {
        Box::pin(Cache::wait_seen(self, version))
    }

    fn wait_gone<'a>(&'a self, key: &'a Key, uid: &'a str) -> BoxFuture<'a, ()> {
        let gone = move || self.get_key(key).is_none_or(|item| item.meta.uid != uid || item.meta.is_deleting());
        Box::pin(self.shared.wait(move |_| gone()))
    }
}
