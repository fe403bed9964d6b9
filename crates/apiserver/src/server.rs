//! The API server's heart: the served resources, the store behind them and the sink that turns
//! durable writes into shared objects.
//!
//! Transport-free: HTTP, in-process clients and the simulator all come in through
//! [`Server::handle`]. Time and randomness come from [`base::Env`].

use crate::access::Access;
use crate::collection::{Change, Collection, Frames};
use crate::custom;
use crate::object::{Index, Object};
use crate::resources::{Resource, Resources};
use crate::services::Services;
use crate::write::metadata;
use base::Env;
use base::collections::HashMap;
use bytes::Bytes;
use meta::Status;
use meta::field::ErrorList;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use store::{Event, Expect, Revision, Sink, Started, Store, StoreError, Write};
use tracing::error;

/// How many past changes are read back at start-up so that watches resume.
const RESUMED_CHANGES: u64 = 20_000;

pub struct Server {
    /// For work that goes on after a request.
    own: Weak<Server>,
    pub env: Env,
    pub resources: Arc<Resources>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) revision: Arc<AtomicU64>,
    pub(crate) pending: Pending,
    pub(crate) chain: admission::Chain,
    pub(crate) access: Arc<Access>,
    pub(crate) remotes: crate::aggregate::Remotes,
    /// Calls the conversion webhooks of definitions.
    pub(crate) converters: client::webhook::Caller,
    pub(crate) services: Services,
    pub(crate) authenticator: auth::authn::Authenticator,
    pub(crate) token_uses: Arc<crate::token_use::Uses>,
    pub(crate) issuer: Option<auth::authn::Issuer>,
    pub(crate) snapshots: crate::snapshots::Snapshots,
    pub(crate) decoded: crate::lookup::Decoded,
    pub(crate) tills: crate::write::Tills,
    pub(crate) webhooks: admission::webhook::Webhooks,
    pub(crate) policies: admission::policy::Policies,
    pub(crate) flow: crate::flow::Gate,
    pub(crate) ready: AtomicBool,
    /// The ways out, once the wiring has them.
    pub(crate) links: OnceLock<Links>,
    pub(crate) rounds: crate::usage::Rounds,
    pub settings: Settings,
}

/// How other servers are reached.
pub struct Links {
    /// Nodes.
    pub connector: Arc<crate::connect::Connector>,
    /// Aggregated API servers.
    pub aggregator: Arc<crate::aggregate::Aggregator>,
}

/// What wiring decides.
#[derive(Clone)]
pub struct Settings {
    pub service_cidr: String,
    pub cluster_domain: String,
    /// PEM of the CA that clients trust; goes into cluster-info and root CA ConfigMaps.
    pub ca_pem: String,
    pub feature_gates: BTreeMap<String, bool>,
    /// Which versions are answered.
    pub apis: crate::apis::Apis,
    pub limits: crate::flow::Limits,
    pub audiences: Vec<String>,
}

/// Where users and tokens come from, beside client certificates.
#[derive(Default)]
pub struct Identity {
    pub token_file: Option<auth::authn::TokenFile>,
    pub verifier: Option<auth::authn::Verifier>,
    /// Issuers and a webhook that know users of their own.
    pub outside: Option<Arc<auth::authn::Outside>>,
    /// None: TokenRequest is refused.
    pub issuer: Option<auth::authn::Issuer>,
}

/// Index parts computed by the writer, waiting to be published with the bytes they were made from.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<HashMap<usize, Index>>>);

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Index>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keyed by where the bytes lie, which no two live values share.
    fn hold<'a>(&'a self, bytes: &'a Bytes, index: Index) -> Held<'a> {
        self.lock().insert(bytes.as_ptr() as usize, index);
        Held { pending: self, bytes }
    }

    fn take(&self, bytes: &Bytes) -> Option<Index> {
        self.lock().remove(&(bytes.as_ptr() as usize))
    }
}

/// Takes an index back that nobody used, even where the request was given up in the middle.
struct Held<'a> {
    pending: &'a Pending,
    bytes: &'a Bytes,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.pending.take(self.bytes);
    }
}

impl Server {
    /// Loads everything the store holds and starts following it.
    ///
    /// # Errors
    /// The store cannot be read, or holds objects that are no JSON.
    pub async fn start(
        env: Env,
        store: Arc<dyn Store>,
        chain: admission::Chain,
        mut access: Access,
        identity: Identity,
        settings: Settings,
    ) -> Result<Arc<Server>, StartError> {
        let revision = Arc::new(AtomicU64::new(0));
        let resources = Arc::new(Resources::built_in(&revision, &settings.apis));
        let pending = Pending::default();
        let services = Services::new(&settings.service_cidr).map_err(StartError::ServiceRange)?;
        access.observers.push(Arc::new(services.clone()));
        let webhooks = admission::webhook::Webhooks::new(&env);
        access.observers.push(Arc::new(crate::access::Hooks(webhooks.clone())));
        let policies = admission::policy::Policies::default();
        access.observers.push(Arc::new(crate::access::Policies(policies.clone())));
        let flow = crate::flow::Gate::new(&env, &settings.limits);
        access.observers.extend(flow.observer());
        let remotes = crate::aggregate::Remotes::default();
        let converters = client::webhook::Caller::new(&env, "kube-apiserver");
        access.observers.push(Arc::new(remotes.clone()));
        let access = Arc::new(access);
        let sink = Publisher {
            resources: resources.clone(),
            revision: revision.clone(),
            pending: pending.clone(),
            access: access.clone(),
        };
        let started = store.start(Box::new(sink))?;
        let (at, oldest) = (started.revision, started.oldest);
        load(&resources, &access, started)?;
        // The sink may have published later writes already; none exist before `start` returns.
        revision.fetch_max(at, Ordering::AcqRel);
        remember(&resources, store.as_ref(), at, oldest).await?;
        let token_uses = Arc::new(crate::token_use::Uses::default());
        let directory = Arc::new(crate::directory::Known { resources: resources.clone(), uses: token_uses.clone() });
        let authenticator = auth::authn::Authenticator::new(directory, identity.token_file, identity.verifier);
        let authenticator = authenticator.with_outside(identity.outside).counting(&env.metrics);
        Ok(Arc::new_cyclic(|own| Server {
            own: own.clone(),
            env,
            resources,
            store,
            revision,
            pending,
            chain,
            access,
            remotes,
            converters,
            services,
            authenticator,
            token_uses,
            issuer: identity.issuer,
            snapshots: crate::snapshots::Snapshots::default(),
            decoded: crate::lookup::Decoded::default(),
            tills: crate::write::Tills::default(),
            webhooks,
            policies,
            flow,
            ready: AtomicBool::new(false),
            links: OnceLock::new(),
            rounds: crate::usage::Rounds::default(),
            settings,
        }))
    }

    pub(crate) fn own(&self) -> Option<Arc<Server>> {
        self.own.upgrade()
    }

    /// Gives the server its ways out; later ones are not taken.
    pub fn link(&self, links: Links) {
        // Only wiring calls this, and once.
        let _ = self.links.set(links);
    }

    /// What an aggregated server says to a room of this process; None: this server answers itself.
    pub(crate) async fn ask_remote(
        &self,
        user: &meta::User,
        request: &client::Request,
    ) -> Option<Result<client::Response, Status>> {
        let remote = self.remotes.find(&request.resource.group, &request.resource.version)?;
        if let Err(refusal) = self.authorize(user, request) {
            return Some(Err(refusal));
        }
        let Some(links) = self.links.get() else { return Some(Err(crate::aggregate::pass::unavailable())) };
        Some(links.aggregator.ask(self, &remote, user, request).await)
    }

    /// The newest durable revision.
    pub fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    /// Answers /readyz with ok from now on.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn gate(&self, name: &str) -> Option<bool> {
        self.settings.feature_gates.get(name).copied()
    }

    /// Writes an encoded object and answers with it as published.
    pub(crate) async fn commit_put(
        &self,
        resource: &Resource,
        expect: Expect,
        json: Vec<u8>,
        index: Index,
    ) -> Result<Arc<Object>, CommitError> {
        let key = resource.store_key(&index.namespace, &index.name);
        let value = Bytes::from(json);
        let backing = self.back(resource, &index, &value, &expect).await?;
        let held = self.pending.hold(&value, index.clone());
        let write = Write { key, expect, value: Some(value.clone()), last: None };
        let outcome = self.store.commit(write).await;
        drop(held);
        if outcome.is_err() {
            self.settle(resource, &index.namespace, &index.name);
        }
        if let Some(backing) = backing {
            self.end_backing(resource, backing, outcome.is_ok()).await;
        }
        let revision = outcome.map_err(CommitError::from)?;
        // Mostly the newest state is what was just written: the answer shares its bytes.
        let newest = resource.collection.as_ref().and_then(|all| all.get(&Object::key(&index.namespace, &index.name)));
        let shared = newest.filter(|object| object.revision == revision);
        Ok(shared.unwrap_or_else(|| Arc::new(Object::publish(revision, &value, index))))
    }

    /// Gives back what a Service was assigned in a write that did not happen.
    pub(crate) fn settle(&self, resource: &Resource, namespace: &str, name: &str) {
        let Some(collection) = resource.collection.as_ref().filter(|_| resource.is("", "services")) else { return };
        let key = Object::key(namespace, name);
        let stored = collection.get(&key).and_then(|object| object.value().ok());
        self.services.settle(&key, stored.as_ref());
    }

    /// Assigns what the server gives out: the addresses and node ports of Services.
    pub(crate) fn assign(&self, resource: &Resource, object: &mut Value, old: Option<&Value>) -> ErrorList {
        if !resource.is("", "services") {
            return ErrorList::new();
        }
        let key = Object::key(metadata::text(object, "namespace"), metadata::text(object, "name"));
        self.services.assign(object, old, &key, &self.env.rng)
    }

    /// Deletes an object; `last` is its final state, which watchers see.
    pub(crate) async fn commit_delete(
        &self,
        resource: &Resource,
        current: &Object,
        last: Vec<u8>,
        index: Index,
    ) -> Result<Arc<Object>, CommitError> {
        let key = resource.store_key(&index.namespace, &index.name);
        let last = Bytes::from(last);
        let held = self.pending.hold(&last, index.clone());
        let expect = Expect::Revision(current.revision);
        let write = Write { key, expect, value: None, last: Some(last.clone()) };
        let outcome = self.store.commit(write).await;
        drop(held);
        let revision = outcome.map_err(CommitError::from)?;
        self.drop_addresses(resource, &Object::key(&index.namespace, &index.name), current).await;
        Ok(Arc::new(Object::publish(revision, &last, index)))
    }
}

/// Why a write did not happen.
pub(crate) enum CommitError {
    /// The object changed or came or went meanwhile: read it again.
    Conflict,
    Failed(Status),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => CommitError::Conflict,
            StoreError::Busy => CommitError::Failed(Status::too_many_requests(error.to_string(), 1)),
            other => CommitError::Failed(Status::internal(other)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("service CIDR: {0}")]
    ServiceRange(String),
    #[error("the stored object {key} cannot be read: {error}")]
    Damaged { key: String, error: serde_json::Error },
}

fn load(resources: &Resources, access: &Access, started: Started) -> Result<(), StartError> {
    let mut objects: BTreeMap<String, crate::collection::Objects> = BTreeMap::new();
    define_customs(resources, &started)?;
    for entry in started.entries {
        let Some(resource) = resources.of_store_key(&entry.key) else { continue };
        let index = Index::of_bytes(&entry.value, &*resource.strategy)
            .map_err(|error| StartError::Damaged { key: entry.key.to_string(), error })?;
        let object = Arc::new(Object::publish(entry.revision, &entry.value, index));
        access.observe(&resource, &object, false);
        let key: Arc<str> = Object::key(&object.index.namespace, &object.index.name).into();
        objects.entry(resource.prefix.clone()).or_default().insert(key, object);
    }
    for resource in resources.stored() {
        let Some(collection) = &resource.collection else { continue };
        collection.load(objects.remove(resource.prefix.as_str()).unwrap_or_default(), started.revision);
    }
    Ok(())
}

/// Custom resources are served from the start, so definitions come before all other objects.
fn define_customs(resources: &Resources, started: &Started) -> Result<(), StartError> {
    let Some(definitions) = resources.find(custom::GROUP, "v1", custom::RESOURCE) else { return Ok(()) };
    for entry in started.entries.iter().filter(|entry| entry.key.starts_with(&definitions.prefix)) {
        let index = Index::of_bytes(&entry.value, &*definitions.strategy)
            .map_err(|error| StartError::Damaged { key: entry.key.to_string(), error })?;
        custom::define(resources, &Object::publish(entry.revision, &entry.value, index), false);
    }
    Ok(())
}

/// Reads the newest part of history back into the rings.
async fn remember(resources: &Resources, store: &dyn Store, at: Revision, oldest: Revision) -> Result<(), StartError> {
    let floor = oldest.max(at.saturating_sub(RESUMED_CHANGES));
    let limit = usize::try_from(at.saturating_sub(floor)).unwrap_or(usize::MAX);
    let events = if limit == 0 { Vec::new() } else { store.history(floor, limit).await? };
    let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for event in &events {
        let Some(resource) = resources.of_store_key(&event.key) else { continue };
        if let Some(change) = change_of(&resource, event, &Pending::default(), None) {
            changes.entry(resource.prefix.clone()).or_default().push(change);
        }
    }
    for resource in resources.stored() {
        let Some(collection) = &resource.collection else { continue };
        collection.remember(changes.remove(resource.prefix.as_str()).unwrap_or_default(), floor);
    }
    Ok(())
}

/// The store's sink: runs on its writer, right after a batch became durable.
struct Publisher {
    resources: Arc<Resources>,
    revision: Arc<AtomicU64>,
    pending: Pending,
    access: Arc<Access>,
}

impl Sink for Publisher {
    fn publish(&mut self, events: &[Event]) {
        for event in events {
            let target = self.resources.of_store_key(&event.key).and_then(|r| Some((r.collection.clone()?, r)));
            let Some((collection, resource)) = target else {
                self.revision.store(event.revision, Ordering::Release);
                continue;
            };
            let current = current_of(&resource, &collection, &event.key);
            match change_of(&resource, event, &self.pending, current) {
                Some(change) => {
                    if resource.is(custom::GROUP, custom::RESOURCE) {
                        custom::define(&self.resources, &change.object, change.deleted);
                    }
                    self.access.observe(&resource, &change.object, change.deleted);
                    collection.apply(change);
                }
                None => self.revision.store(event.revision, Ordering::Release),
            }
        }
    }
}

fn current_of(resource: &Resource, collection: &Collection, key: &str) -> Option<Arc<Object>> {
    collection.get(key.strip_prefix(resource.prefix.as_str())?)
}

/// None only where bytes cannot be read, which is logged: they were checked before the write.
fn change_of(resource: &Resource, event: &Event, pending: &Pending, current: Option<Arc<Object>>) -> Option<Change> {
    let publish = |revision: Revision, bytes: &Bytes| {
        let index = pending.take(bytes).map_or_else(|| Index::of_bytes(bytes, &*resource.strategy), Ok);
        match index {
            Ok(index) => Some(Arc::new(Object::publish(revision, bytes, index))),
            Err(reason) => {
                error!(key = %event.key, revision, %reason, "cannot read an object that was stored");
                None
            }
        }
    };
    let previous = current.or_else(|| event.previous.as_ref().and_then(|(revision, bytes)| publish(*revision, bytes)));
    let deleted = event.value.is_none();
    let state = event.value.as_ref().or(event.last.as_ref()).or(event.previous.as_ref().map(|(_, bytes)| bytes))?;
    let object = publish(event.revision, state)?;
    Some(Change { revision: event.revision, object, previous, deleted, frames: Frames::default() })
}
