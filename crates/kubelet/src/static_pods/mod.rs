//! Pods from files on this node: they run whether or not the API server answers, and it shows a
//! mirror of each.
//!
//! `manifest` makes a pod of a file, `directory` reads the files, `mirrors` says what has to change at
//! the API server (pure). The pods themselves have workers like all others, which know them by the
//! hash of their file. What a file says is judged by the caller's rules for pods, not here.

mod directory;
mod manifest;
mod mirrors;

use crate::agent::Agent;
use crate::names;
use crate::pod::PodRef;
use base::Backoff;
use client::{DeleteOptions, Item, Preconditions, Request, Response, Verb};
use directory::Directory;
use k8s_openapi::api::core::v1::PodStatus;
use manifest::StaticPod;
use meta::{GroupVersionResource, Reason};
use mirrors::{Mirror, Step};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};

const NODES: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const PODS: GroupVersionResource = crate::pod::status_manager::PODS;
const LOOK: Duration = Duration::from_secs(1);

/// Where the files are, and how one becomes a Pod with all defaults that breaks no rule.
#[derive(Debug, Clone)]
pub struct ManifestOptions {
    pub directory: PathBuf,
    pub read: fn(&str) -> Result<Value, String>,
}

/// What the rest of the node knows of them.
#[derive(Default)]
pub(crate) struct StaticPods {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By uid, which is the hash of the file.
    wanted: BTreeMap<String, Arc<StaticPod>>,
    /// By uid, of those that have a worker.
    running: BTreeMap<String, PodRef>,
    /// What each was last said to be.
    statuses: BTreeMap<String, PodStatus>,
}

impl StaticPods {
    /// The static pod behind a mirror.
    pub fn behind(&self, mirror: &Item<()>) -> Option<Arc<Item<()>>> {
        let hash = mirror.meta.annotations.get(names::CONFIG_MIRROR)?;
        Some(self.lock().wanted.get(hash)?.item.clone())
    }

    /// Something about the mirrors has changed.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    pub fn is_static(&self, uid: &str) -> bool {
        let state = self.statics.lock();
        state.wanted.contains_key(uid) || state.running.contains_key(uid)
    }

    /// Tells the status of a static pod by its mirror; whether it is one.
    pub fn report_static(&self, pod: &PodRef, status: &PodStatus) -> bool {
        let mut state = self.statics.lock();
        if !state.wanted.contains_key(&pod.uid) {
            return state.running.contains_key(&pod.uid);
        }
        state.statuses.insert(pod.uid.clone(), status.clone());
        drop(state);
        if let Some(mirror) = self.mirrors().into_iter().find(|mirror| mirror.hash == pod.uid) {
            self.statuses.set(&mirror.pod, status, false);
        }
        true
    }

    /// What the API server shows of static pods.
    fn mirrors(&self) -> Vec<Mirror> {
        let all = self.pods.list();
        all.iter().filter_map(|item| Mirror::of(&item.meta)).collect()
    }
}

/// The pods that are wanted have workers when this returns; those of files that have gone are ending.
pub(crate) fn start(agent: &Arc<Agent>) {
    let directory = agent.options.manifests.clone().map(Directory::new);
    let mut keeper = Keeper { agent: agent.clone(), directory, failures: Backoff::new(LOOK, LOOK * 60), resting: None };
    for sandbox in agent.view.pods().values() {
        let config = &sandbox.config;
        if config.annotations.contains_key(names::CONFIG_SOURCE) {
            let pod =
                PodRef { namespace: config.namespace.clone(), name: config.name.clone(), uid: config.uid.clone() };
            agent.statics.lock().running.insert(pod.uid.clone(), pod);
        }
    }
    keeper.read();
    let wanted = agent.statics.lock().wanted.clone();
    agent.statics.lock().running.retain(|uid, pod| {
        if !wanted.contains_key(uid) {
            agent.orphan(pod);
        }
        !wanted.contains_key(uid)
    });
    keeper.run_wanted();
    agent.env.tasks.spawn("static pods", keeper.run());
}

struct Keeper {
    agent: Arc<Agent>,
    directory: Option<Directory>,
    failures: Backoff,
    /// The API server refused something: not before then again.
    resting: Option<Instant>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let agent = self.agent.clone();
            tokio::select! {
                () = agent.env.clock.sleep(LOOK), if self.directory.is_some() => {}
                () = agent.statics.changed.notified() => {}
            }
            self.read();
            self.run_wanted();
            let rests = self.resting.is_some_and(|until| agent.env.clock.instant() < until);
            if agent.pods.is_synced() && !rests {
                self.mirror().await;
            }
        }
    }

    fn read(&mut self) {
        let node = &self.agent.options.node_name;
        let now = self.agent.env.clock.now();
        if let Some(found) = self.directory.as_mut().and_then(|directory| directory.read(node, now)) {
            self.agent.statics.lock().wanted = found.into_iter().map(|pod| (pod.pod.uid.clone(), pod)).collect();
        }
    }

    /// A changed pod starts when what it was before has ended.
    fn run_wanted(&self) {
        let agent = &self.agent;
        let mut state = agent.statics.lock();
        let State { wanted, running, statuses } = &mut *state;
        let mut ending = Vec::new();
        running.retain(|uid, pod| {
            let goes_on = agent.has_worker(uid);
            if goes_on && !wanted.contains_key(uid) {
                ending.push(pod.clone());
            }
            goes_on
        });
        statuses.retain(|uid, _| wanted.contains_key(uid));
        let mut starting = Vec::new();
        for pod in wanted.values() {
            let same_name = |other: &PodRef| (&other.namespace, &other.name) == (&pod.pod.namespace, &pod.pod.name);
            if !running.values().any(same_name) {
                running.insert(pod.pod.uid.clone(), pod.pod.clone());
                starting.push(pod.clone());
            }
        }
        drop(state);
        ending.iter().for_each(|pod| agent.orphan(pod));
        for pod in starting {
            info!(pod = %pod.pod, "starting a pod from a file");
            agent.run_static(&pod.pod, pod.item.bytes.clone());
        }
    }

    /// Brings what the API server shows up to date.
    async fn mirror(&mut self) {
        let (wanted, running, statuses) = {
            let state = self.agent.statics.lock();
            (state.wanted.clone(), state.running.clone(), state.statuses.clone())
        };
        let mirrors = self.agent.mirrors();
        for step in mirrors::plan(&wanted, &running, &mirrors) {
            let outcome = match &step {
                Step::Make(pod) => self.make(pod).await,
                Step::Remove(mirror) => self.remove(mirror).await,
            };
            if let Err(error) = outcome {
                warn!(?step, %error, "cannot bring the mirror of a static pod up to date; trying again");
                let wait = self.failures.next(&self.agent.env.rng);
                self.resting = Some(self.agent.env.clock.instant() + wait);
                return;
            }
        }
        self.failures.reset();
        for mirror in mirrors.iter().filter(|mirror| !mirror.is_deleting) {
            if let Some(status) = statuses.get(&mirror.hash) {
                self.agent.statuses.set(&mirror.pod, status, false);
            }
        }
    }

    async fn make(&self, pod: &StaticPod) -> Result<(), client::Error> {
        let options = &self.agent.options;
        let node = match options.api.call(Request::new(Verb::Get, NODES).name(&options.node_name)).await? {
            Response::Object { body, .. } => {
                serde_json::from_slice::<Value>(&body).map_err(|error| client::Error::Decode(error.to_string()))?
            }
            _ => return Err(client::Error::Decode("a GET was not answered with an object".to_owned())),
        };
        let uid = node["metadata"]["uid"].as_str().unwrap_or_default();
        let body = pod.mirror(&options.node_name, uid).to_string();
        let request = Request::new(Verb::Create, PODS).namespace(&pod.pod.namespace).body(body);
        match options.api.call(request).await {
            Ok(_) => debug!(pod = %pod.pod, "made the mirror of a static pod"),
            // The cache will tell of it.
            Err(error) if error.is(Reason::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn remove(&self, mirror: &Mirror) -> Result<(), client::Error> {
        let preconditions = Preconditions { uid: Some(mirror.pod.uid.clone()), resource_version: None };
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteOptions::default()
        };
        let body = serde_json::to_vec(&options).map_err(|error| client::Error::Decode(error.to_string()))?;
        let request = Request::new(Verb::Delete, PODS).namespace(&mirror.pod.namespace).name(&mirror.pod.name);
        match self.agent.options.api.call(request.body(body)).await {
            Err(error) if !error.is(Reason::NotFound) && !error.is(Reason::Conflict) => Err(error),
            _ => Ok(()),
        }
    }
}
