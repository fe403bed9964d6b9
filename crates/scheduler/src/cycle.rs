//! One pod after the other: filter the nodes, score what is left, assume the winner and bind in
//! the background while the next pod is looked at.

use crate::Options;
use crate::failure::{self, Preemption};
use crate::framework::{Rejection, normalize};
use crate::node::{Node, NodeView, Placed};
use crate::plugins::ALL;
use crate::pod::{Candidate, PodView};
use crate::queue::{Queue, Rank};
use crate::snapshot::Snapshot;
use base::Env;
use client::cache::{Cache, Change, Item, Key};
use client::events::{Happening, Severity, Style};
use client::{Api, Client, ObjectRef, PatchType, Recorder};
use k8s_openapi::api::core::v1 as core;
use meta::GroupVersionKind;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Bindings under way at once.
const BINDINGS: usize = 128;

pub struct Scheduler {
    env: Env,
    client: Client,
    options: Options,
    pods: Arc<Cache<PodView>>,
    nodes: Arc<Cache<NodeView>>,
    snapshot: Mutex<Snapshot>,
    queue: Queue,
    recorder: Recorder,
    slots: Arc<Semaphore>,
}

/// What a cycle came to.
enum Outcome {
    Node(String),
    Nowhere { message: String },
}

impl Scheduler {
    pub fn new(
        env: &Env,
        api: Arc<dyn Api>,
        options: Options,
        pods: Arc<Cache<PodView>>,
        nodes: Arc<Cache<NodeView>>,
    ) -> Self {
        Scheduler {
            env: env.clone(),
            recorder: Recorder::new(api.clone(), env, &options.name, "", Style::Core),
            client: Client::new(api).with_manager("kube-scheduler"),
            queue: Queue::new(env.clock.clone()),
            options,
            pods,
            nodes,
            snapshot: Mutex::default(),
            slots: Arc::new(Semaphore::new(BINDINGS)),
        }
    }

    /// Keeps snapshot and queue current from here on.
    pub fn subscribe(self: Arc<Self>) {
        let own = Arc::downgrade(&self);
        self.nodes.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.node_changed(change);
            }
        });
        let own = Arc::downgrade(&self);
        self.pods.subscribe(move |change| {
            if let Some(scheduler) = own.upgrade() {
                scheduler.pod_changed(change);
            }
        });
    }

    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node_changed(&self, change: &Change<NodeView>) {
        self.snapshot().observe_node(change);
        if change.new.as_ref().is_some_and(|new| change.old.as_ref().is_none_or(|old| differs(old, new))) {
            self.queue.move_all();
        }
    }

    fn pod_changed(&self, change: &Change<PodView>) {
        let frees = self.snapshot().observe_pod(change);
        if frees {
            self.queue.move_all();
        }
        let Some(latest) = change.latest() else { return };
        match &change.new {
            Some(item) if self.wants(item) => {
                // Its own status changes must not make it try again: only what was asked for counts.
                let is_news = change.old.as_ref().is_none_or(|old| old.meta.generation != item.meta.generation);
                if is_news || change.old.as_ref().is_some_and(|old| !self.wants(old)) {
                    let created = item.meta.creation_timestamp.clone().unwrap_or_default();
                    self.queue.add(item.key.clone(), Rank { priority: item.view.priority, created });
                }
            }
            _ => self.queue.remove(&latest.key),
        }
    }

    fn wants(&self, item: &Item<PodView>) -> bool {
        let view = &item.view;
        view.node_name.is_empty()
            && !view.is_over
            && !view.is_gated
            && view.scheduler_name == self.options.name
            && !item.meta.is_deleting()
    }

    async fn schedule(self: &Arc<Self>, key: &Key) {
        let Some(item) = self.pods.get_key(key).filter(|item| self.wants(item)) else {
            return self.queue.remove(key);
        };
        let pod = match Candidate::read(&item) {
            Ok(pod) => pod,
            Err(error) => {
                warn!(pod = %key, %error, "cannot read a pod");
                return self.queue.failed(key, true);
            }
        };
        match self.find_node(&pod) {
            Outcome::Node(node) => {
                self.snapshot().place(key.clone(), &node, Placed::of(&pod.view));
                let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
                let own = self.clone();
                self.env.tasks.spawn("binding", async move {
                    let _slot = slot;
                    own.bind(item, node).await;
                });
            }
            Outcome::Nowhere { message } => {
                self.queue.failed(key, false);
                self.tell(&item, &message).await;
            }
        }
    }

    fn find_node(&self, pod: &Candidate) -> Outcome {
        let snapshot = self.snapshot();
        let total = snapshot.len();
        if let Some(what) = pod.unsupported {
            return Outcome::Nowhere { message: format!("{what} is not supported by this scheduler") };
        }
        let mut fitting: Vec<&Node> = Vec::new();
        let mut rejected: Vec<(&Node, Rejection)> = Vec::new();
        for node in snapshot.nodes() {
            let refusal = ALL.iter().filter_map(|plugin| plugin.filter).find_map(|filter| filter(pod, node).err());
            match refusal {
                None => fitting.push(node),
                Some(rejection) => rejected.push((node, rejection)),
            }
        }
        match best(pod, &fitting, &self.env.rng) {
            Some(node) => Outcome::Node(node.name.clone()),
            None => {
                let preemption = preemption(pod, &rejected);
                let rejections: Vec<Rejection> = rejected.into_iter().map(|(_, rejection)| rejection).collect();
                Outcome::Nowhere { message: failure::message(total, &rejections, preemption.as_ref()) }
            }
        }
    }

    async fn bind(&self, item: Arc<Item<PodView>>, node: String) {
        let (namespace, name) = (item.key.namespace(), item.key.name());
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": item.meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        match self.client.post::<core::Pod, Value>(namespace, name, "binding", &binding).await {
            Ok(_) => {
                self.queue.remove(&item.key);
                let message = format!("Successfully assigned {namespace}/{name} to {node}");
                let happening = Happening::new(self.about(&item), Severity::Normal, "Scheduled", message);
                self.recorder.record(happening.action("Binding"));
            }
            Err(error) => {
                debug!(pod = %item.key, %node, %error, "cannot bind");
                self.snapshot().forget(&item.key);
                self.queue.failed(&item.key, true);
            }
        }
    }

    fn about(&self, item: &Item<PodView>) -> ObjectRef {
        ObjectRef::of(&GroupVersionKind::of("", "v1", "Pod"), &item.meta)
    }

    /// The event and the condition of a pod that has no place.
    async fn tell(&self, item: &Item<PodView>, message: &str) {
        let happening = Happening::new(self.about(item), Severity::Warning, "FailedScheduling", message);
        self.recorder.record(happening.action("Scheduling"));
        let stands = item.decode::<core::Pod>().ok().and_then(|pod| pod.status?.conditions).is_some_and(|conditions| {
            conditions.iter().any(|one| {
                one.type_ == "PodScheduled" && one.status == "False" && one.message.as_deref() == Some(message)
            })
        });
        if stands {
            return;
        }
        let now = self.env.clock.now();
        let patch = json!({"status": {"conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": base::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string(),
        }]}});
        let (namespace, name) = (item.key.namespace(), item.key.name());
        let outcome = self.client.patch_status::<core::Pod>(namespace, name, PatchType::Strategic, &patch).await;
        if let Err(error) = outcome {
            debug!(pod = %item.key, %error, "cannot set PodScheduled");
        }
    }
}

/// Schedules until the task group ends.
pub async fn run(scheduler: Arc<Scheduler>) {
    scheduler.nodes.synced().await;
    scheduler.pods.synced().await;
    loop {
        let key = scheduler.queue.next().await;
        scheduler.schedule(&key).await;
    }
}

/// The best of the nodes that take the pod; equals are drawn by lot.
fn best<'n>(pod: &Candidate, nodes: &[&'n Node], rng: &base::Rng) -> Option<&'n Node> {
    if nodes.len() < 2 {
        return nodes.first().copied();
    }
    let mut totals = vec![0; nodes.len()];
    for plugin in ALL {
        let Some(score) = plugin.score else { continue };
        let mut scores: Vec<i64> = nodes.iter().map(|node| score(pod, node)).collect();
        normalize(&mut scores, plugin.normalize);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score * plugin.weight;
        }
    }
    let highest = totals.iter().max()?;
    let winners: Vec<&Node> =
        nodes.iter().zip(&totals).filter(|(_, total)| *total == highest).map(|(node, _)| *node).collect();
    Some(winners[rng.usize(0..winners.len())])
}

/// What could be said about evicting others; None where someone could be, which this scheduler
/// does not do.
fn preemption(pod: &Candidate, rejected: &[(&Node, Rejection)]) -> Option<Preemption> {
    let mut found = Preemption { not_helpful: 0, no_victims: 0 };
    for (node, rejection) in rejected {
        if rejection.is_final {
            found.not_helpful += 1;
        } else if node.pods.values().all(|placed| placed.priority >= pod.view.priority) {
            found.no_victims += 1;
        } else {
            return None;
        }
    }
    Some(found)
}

/// Whether a node changed in a way that may let pods in; its heartbeats do not.
fn differs(old: &Item<NodeView>, new: &Item<NodeView>) -> bool {
    old.meta.labels != new.meta.labels
        || old.view.unschedulable != new.view.unschedulable
        || old.view.taints != new.view.taints
        || old.view.allocatable != new.view.allocatable
        || old.view.max_pods != new.view.max_pods
}
