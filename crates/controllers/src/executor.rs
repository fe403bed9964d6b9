//! The one executor: takes keys from a room's queue, has the room plan, sends the actions, waits
//! until the caches show what was written, retries what failed.
//!
//! Rooms decide, this sends: nothing else in the crate writes to the API.

mod send;

use crate::action::{Action, Outcome, Plan};
use crate::metrics::QueueMetrics;
use crate::rig::{Def, Rig, Room, Watched};
use base::Env;
use bytes::Bytes;
use client::events::Style;
use client::{Api, Error, Key, Recorder, WorkQueue};
use meta::{GroupVersionResource, Reason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{debug, warn};

/// How long to wait for one's own writes to show before looking at the caches as they are (upstream's
/// `ExpectationsTimeout`): who plans sooner on a cache that is cut off makes everything twice.
const PATIENCE: Duration = Duration::from_secs(300);
/// The same for deletions, of which it may not be known whether they were done.
const DELETION_PATIENCE: Duration = Duration::from_secs(30);
/// A plan may lead to another this often: read, then act, then write the status.
const PLANS: usize = 8;

/// A write that the caches do not show yet.
enum Pending {
    Write { resource: GroupVersionResource, version: u64 },
    Deletion { resource: GroupVersionResource, key: Key, uid: String },
}

pub(crate) struct Executor {
    def: &'static Def,
    env: Env,
    api: Arc<dyn Api>,
    recorder: Recorder,
    queue: WorkQueue<Key>,
    room: Box<dyn Room>,
    caches: BTreeMap<GroupVersionResource, Watched>,
    metrics: QueueMetrics,
    pending: Mutex<BTreeMap<Key, Vec<Pending>>>,
}

/// What is left to do after a plan.
#[derive(Default)]
struct Rest {
    again: Option<Duration>,
    unfinished: bool,
}

/// Why a plan ended before its last action.
enum Stop {
    /// There is nothing more to do for it.
    Quietly,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

impl Executor {
    pub fn new(rig: &Rig, room: Box<dyn Room>, def: &'static Def, api: Arc<dyn Api>, metrics: QueueMetrics) -> Self {
        Executor {
            def,
            env: rig.env.clone(),
            recorder: Recorder::new(api.clone(), &rig.env, def.component, "", Style::Core),
            api,
            queue: rig.queue.clone(),
            room,
            caches: rig.watched(),
            metrics,
            pending: Mutex::default(),
        }
    }

    /// Waits for the caches, then works until the task group ends.
    pub async fn run(self: Arc<Self>) {
        for watched in self.caches.values() {
            match watched.needed {
                true => watched.cache.synced().await,
                false => watched.cache.answered().await,
            }
        }
        for _ in 0..self.def.workers {
            self.env.tasks.spawn(self.def.name, self.clone().work());
        }
    }

    /// One worker.
    async fn work(self: Arc<Self>) {
        loop {
            let key = self.queue.next().await;
            self.metrics.depth.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
            let started = self.env.clock.instant();
            self.see_own_writes(&key).await;
            self.reconcile(&key).await;
            self.metrics.worked.observe(started.elapsed().as_secs_f64());
            self.queue.done(&key);
        }
    }

    async fn reconcile(&self, key: &Key) {
        let plan = match self.room.reconcile(key, self.env.clock.now()) {
            Ok(plan) => plan,
            Err(error) => {
                warn!(controller = self.def.name, %key, %error, "cannot plan");
                return self.retry(key);
            }
        };
        match self.carry_out(key, plan).await {
            Ok(Rest { unfinished: true, .. }) => self.retry(key),
            Ok(Rest { again, .. }) => {
                self.queue.forget(key);
                if let Some(again) = again {
                    self.queue.add_after(key.clone(), again);
                }
            }
            Err(error) if error.is(Reason::Conflict) => {
                debug!(controller = self.def.name, %key, %error, "somebody else was quicker");
                self.retry(key);
            }
            Err(error) => {
                warn!(controller = self.def.name, %key, %error, "cannot carry out the plan; trying again later");
                self.retry(key);
            }
        }
    }

    fn retry(&self, key: &Key) {
        self.metrics.retries.inc();
        self.queue.retry(key.clone());
    }

    /// Carries out a plan and those that follow from it; says when to look again.
    async fn carry_out(&self, key: &Key, mut plan: Plan) -> Result<Rest, Error> {
        let mut failure = None;
        let mut rest = Rest::default();
        for _ in 0..PLANS {
            rest.again = sooner(rest.again, plan.again);
            rest.unfinished |= plan.unfinished;
            let mut outcome = Outcome::default();
            match self.send(key, plan.actions, &mut outcome).await {
                Ok(()) => {}
                Err(Stop::Quietly) => return Ok(rest),
                Err(Stop::Failed(error)) => outcome.failure = Some(error),
            }
            failure = failure.or_else(|| outcome.failure.clone());
            match plan.then {
                Some(then) => plan = then(&outcome),
                None => break,
            }
        }
        failure.map_or(Ok(rest), Err)
    }

    async fn send(&self, key: &Key, actions: Vec<Action>, outcome: &mut Outcome) -> Result<(), Stop> {
        for action in actions {
            match action {
                Action::Create(creates) => self.create(key, creates, outcome).await?,
                Action::Patch(patch) => self.patch(key, patch, outcome).await?,
                Action::PatchAll(patches) => self.patch_all(key, patches, outcome).await?,
                Action::Update(update) => self.update(key, update, outcome).await?,
                Action::Delete(deletes) => self.delete(key, deletes).await?,
                Action::DeleteAll { resource, namespace } => self.delete_all(resource, namespace, outcome).await?,
                Action::Confirm { resource, key, uid } => self.confirm(&resource, &key, &uid).await?,
                Action::Read { resource, key } => outcome.reads.push(self.read(&resource, &key).await?),
                Action::List { resource, namespace } => outcome.lists.push(self.list(&resource, &namespace).await),
                Action::Ask(requests) => outcome.answers.extend(self.ask(requests).await),
                Action::Page(request) => outcome.pages.push(self.page(*request).await),
                Action::Event(event) => self.recorder.record(event.into()),
            }
        }
        Ok(())
    }

    /// Waits until the caches show what earlier reconciles of this key wrote: planning on an older
    /// state would do the same again.
    async fn see_own_writes(&self, key: &Key) {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        for write in pending.into_iter().flatten() {
            let shows = match &write {
                Pending::Write { resource, version } => {
                    let Some(watched) = self.caches.get(resource) else { continue };
                    self.env.clock.timeout(PATIENCE, watched.cache.wait_seen(*version)).await
                }
                Pending::Deletion { resource, key, uid } => {
                    let Some(watched) = self.caches.get(resource) else { continue };
                    self.env.clock.timeout(DELETION_PATIENCE, watched.cache.wait_gone(key, uid)).await
                }
            };
            if shows.is_err() {
                warn!(controller = self.def.name, %key, "own writes do not show in the caches; going on without");
                return;
            }
        }
    }

    fn expect(&self, key: &Key, pending: Pending) {
        let resource = match &pending {
            Pending::Write { resource, .. } | Pending::Deletion { resource, .. } => resource,
        };
        if self.caches.contains_key(resource) {
            let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(key.clone()).or_default().push(pending);
        }
    }

    /// Remembers the version an answer carries.
    fn expect_written(&self, key: &Key, resource: &GroupVersionResource, body: &Bytes) {
        #[derive(serde::Deserialize)]
        struct Written {
            metadata: meta::ObjectMeta,
        }
        let Ok(Written { metadata }) = serde_json::from_slice(body) else { return };
        let version = client::cache::parse_version(&metadata.resource_version);
        // An object whose last finalizer went is gone, and will never show at this version.
        let ended = metadata.is_deleting() && metadata.finalizers.is_empty();
        if version > 0 && !ended {
            self.expect(key, Pending::Write { resource: resource.clone(), version });
        }
    }
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
