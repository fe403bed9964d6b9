//! The caches of one process, so that whatever several rooms look at is watched once.

use super::shared::Shared;
use super::{Cache, Projection, reflector};
use crate::Api;
use base::Env;
use meta::GroupVersionResource;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::oneshot;

/// Which objects a cache holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    pub resource: GroupVersionResource,
    /// None: all namespaces, or a kind that has none.
    pub namespace: Option<String>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
}

impl Selection {
    /// All objects of a resource.
    pub fn all(resource: GroupVersionResource) -> Self {
        Selection { resource, namespace: None, label_selector: None, field_selector: None }
    }

    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }

    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.field_selector = Some(selector.into());
        self
    }
}

type Shelf = BTreeMap<(TypeId, Selection), Weak<dyn Any + Send + Sync>>;

/// The caches of one process under one identity. Clones are the same registry.
#[derive(Clone)]
pub struct Caches {
    api: Arc<dyn Api>,
    env: Env,
    shelf: Arc<Mutex<Shelf>>,
}

impl Caches {
    pub fn new(api: Arc<dyn Api>, env: &Env) -> Self {
        Caches { api, env: env.clone(), shelf: Arc::default() }
    }

    /// The cache of this selection and projection, started if nobody else has it.
    pub fn watch<P: Projection>(&self, selection: Selection) -> Arc<Cache<P>> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.retain(|_, cache| cache.strong_count() > 0);
        let place = (TypeId::of::<P>(), selection.clone());
        let standing = shelf.get(&place).and_then(Weak::upgrade).and_then(|cache| cache.downcast().ok());
        if let Some(cache) = standing {
            return cache;
        }
        let cache = Arc::new(self.start(selection));
        let erased: Arc<dyn Any + Send + Sync> = cache.clone();
        shelf.insert(place, Arc::downgrade(&erased));
        cache
    }

    fn start<P: Projection>(&self, selection: Selection) -> Cache<P> {
        let shared = Arc::new(Shared::new());
        let (alive, dropped) = oneshot::channel();
        let run = reflector::run(self.api.clone(), self.env.clone(), selection, shared.clone());
        self.env.tasks.spawn("reflector", async move {
            tokio::select! {
                biased;
                // An error is what a dropped sender looks like: the last handle is gone.
                _ = dropped => {}
                () = run => {}
            }
        });
        Cache { shared, _alive: alive }
    }
}
