//! What all parts of the node agent share, and the table of pod workers.

use crate::KubeletOptions;
use crate::events::Events;
use crate::eviction::{Pressure, Verdict};
use crate::names;
use crate::network_files::ClusterDns;
use crate::pod::admit::Demand;
use crate::pod::status_manager::StatusManager;
use crate::pod::worker::{self, Mailbox};
use crate::pod::{PodRef, RuntimeView};
use crate::probe::Probes;
use crate::pull::Puller;
use crate::services::ServiceView;
use crate::static_pods::StaticPods;
use base::{Env, Timestamp};
use bytes::Bytes;
use client::{Cache, Change};
use container::runtime::Runtime;
use images::ImageService;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Agent {
    pub env: Env,
    pub options: KubeletOptions,
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn ImageService>,
    pub puller: Puller,
    pub volumes: volumes::Context,
    pub events: Events,
    pub view: Arc<RuntimeView>,
    pub probes: Arc<Probes>,
    pub statuses: Arc<StatusManager>,
    pub pods: Arc<Cache<()>>,
    pub services: Arc<Cache<ServiceView>>,
    pub cluster_dns: ClusterDns,
    /// The machine's own name.
    pub hostname: String,
    pub capacity: volumes::fields::Allocatable,
    pub started_at: Timestamp,
    pub recent: crate::server::Recent,
    pub pressure: Pressure,
    pub statics: StaticPods,
    pub(crate) workers: Mutex<BTreeMap<String, Arc<Mailbox>>>,
    pub(crate) admitted: Mutex<BTreeMap<String, Demand>>,
    /// Pods that would grow if there were room.
    pub(crate) deferred: Mutex<BTreeSet<String>>,
}

impl Agent {
    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        self.options.root_dir.join("pods").join(uid)
    }

    pub fn log_directory(&self, pod: &PodRef) -> PathBuf {
        self.options.log_dir.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }

    pub fn node_memory(&self) -> i64 {
        self.capacity.memory().value()
    }

    pub fn admitted(&self) -> MutexGuard<'_, BTreeMap<String, Demand>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the pod took is free again: others may grow into it.
    pub fn release(&self, uid: &str) {
        self.admitted().remove(uid);
        self.wake_deferred();
    }

    /// A pod waits for room to grow, or no longer does.
    pub fn defer(&self, uid: &str, waits: bool) {
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            deferred.insert(uid.to_owned());
        } else {
            deferred.remove(uid);
        }
    }

    pub fn wake_deferred(&self) {
        let waiting = self.deferred.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waiting.iter().for_each(|uid| self.wake(uid));
    }

    /// Something happened to the pod.
    pub fn wake(&self, uid: &str) {
        if let Some(mailbox) = self.workers().get(uid) {
            mailbox.wake();
        }
    }

    /// A pod's object came, changed or went.
    pub fn pod_changed(self: &Arc<Self>, change: &Change<()>) {
        let Some(item) = change.latest() else { return };
        let meta = &item.meta;
        let pod = PodRef { namespace: meta.namespace.clone(), name: meta.name.clone(), uid: meta.uid.clone() };
        if meta.annotations.contains_key(names::CONFIG_MIRROR) {
            self.mirror_changed(change);
            return;
        }
        match &change.new {
            Some(item) => {
                self.statuses.seen(&pod.uid, item.version, &item.bytes);
                self.worker(&pod).put(item.bytes.clone());
            }
            None => self.worker(&pod).remove(),
        }
    }

    /// What the API server shows in place of a static pod is no pod of its own.
    fn mirror_changed(&self, change: &Change<()>) {
        match (&change.new, &change.old) {
            (Some(item), _) => self.statuses.seen(&item.meta.uid, item.version, &item.bytes),
            (None, Some(item)) => self.statuses.forget(&item.meta.uid),
            (None, None) => {}
        }
        self.statics.wake();
    }

    pub fn run_static(self: &Arc<Self>, pod: &PodRef, object: Bytes) {
        self.worker(pod).put(object);
    }

    /// The objects of all pods that have a worker.
    pub fn objects(&self) -> Vec<Bytes> {
        self.workers().values().filter_map(|mailbox| mailbox.object()).collect()
    }

    /// The pod has to go.
    pub fn evict(&self, uid: &str, verdict: Verdict) {
        if let Some(mailbox) = self.workers().get(uid) {
            mailbox.evict(verdict);
        }
    }

    pub fn is_evicted(&self, uid: &str) -> bool {
        self.workers().get(uid).is_none_or(|mailbox| mailbox.is_evicted())
    }

    /// Ends a pod that only the runtime knows.
    pub fn orphan(self: &Arc<Self>, pod: &PodRef) {
        self.worker(pod).remove();
    }

    pub fn has_worker(&self, uid: &str) -> bool {
        self.workers().contains_key(uid)
    }

    fn worker(self: &Arc<Self>, pod: &PodRef) -> Arc<Mailbox> {
        let mut workers = self.workers();
        if let Some(mailbox) = workers.get(&pod.uid) {
            return mailbox.clone();
        }
        let mailbox = Arc::new(Mailbox::default());
        workers.insert(pod.uid.clone(), mailbox.clone());
        self.env.tasks.spawn("pod worker", worker::run(self.clone(), pod.clone(), mailbox.clone()));
        mailbox
    }

    /// Nothing is left of the pod.
    pub fn forget(&self, uid: &str) {
        self.workers().remove(uid);
        self.statuses.forget(uid);
        self.puller.forget(uid);
        self.probes.retain(uid, |_, _| false);
        self.volumes.sources.forget(uid);
        self.defer(uid, false);
        self.release(uid);
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mailbox>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
