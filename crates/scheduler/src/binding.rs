//! Carries out what a cycle decided, while the next one runs: volumes first, then the pod; and
//! evicts the victims of a preemption. A write of which the outcome is not known is looked up: what
//! was assumed stands until it is known to be wrong.

use crate::cycle::{Lane, Scheduler};
use crate::failure;
use crate::plugins::{Decision, Reservation, SELECTED_NODE};
use crate::pod::PodItem;
use crate::preemption::Candidate;
use crate::queue::{Failure, Next};
use base::Backoff;
use client::cache::Key;
use client::events::{Happening, Severity};
use client::{DeleteOptions, Error, ObjectRef, PatchType, Preconditions};
use k8s_openapi::api::core::v1 as core;
use meta::{GroupVersionKind, Reason};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, warn};

/// What a pod is to be told is tried for some half a minute.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pods are placed faster than events are written; where too many wait, placing slows down a little.
const EVENT_PATIENCE: Duration = Duration::from_millis(100);

/// A pod that has been given a node.
pub(crate) struct Placement {
    pub pod: PodItem,
    pub node: String,
    pub decision: Decision,
    pub reservations: Vec<Reservation>,
    /// Of its profile.
    pub place: usize,
    pub began: Instant,
    pub next: Next,
}

fn about(pod: &PodItem) -> ObjectRef {
    ObjectRef::of(&GroupVersionKind::of("", "v1", "Pod"), &pod.meta)
}

impl Scheduler {
    pub(crate) async fn bind(self: std::sync::Arc<Self>, placement: Placement) {
        let Placement { pod, node, decision, reservations, place, began, next } = placement;
        let lane = &self.lanes[place];
        let mut outcome = self.prepare_volumes(&pod, &node, &decision, lane).await;
        if outcome.is_ok() {
            outcome = self.prepare_claims(&pod, &reservations).await;
        }
        if outcome.is_ok() {
            outcome = self.write_binding(&pod, &node).await;
        }
        self.keep_promises(&decision);
        let is_lost = outcome.is_err() && !pod.view.claims.is_empty();
        // Wherever it is, its claims are its own there.
        if is_lost && self.where_is(&pod).await.is_none() {
            self.give_back_claims(&pod, lane).await;
        }
        self.forget_claims(&reservations);
        let name = &lane.profile.name;
        match outcome {
            Ok(()) => {
                self.queue.remove(&pod.key);
                let (namespace, pod_name) = (pod.key.namespace(), pod.key.name());
                let message = format!("Successfully assigned {namespace}/{pod_name} to {node}");
                let happening = Happening::new(about(&pod), Severity::Normal, "Scheduled", message);
                self.metrics.attempted("scheduled", name, began.elapsed());
                self.metrics.scheduled(next.attempts, next.first_queued.elapsed());
                lane.recorder.record_within(EVENT_PATIENCE, happening.action("Binding")).await;
            }
            Err(error) => self.take_back(&pod, lane, &node, error, began),
        }
    }

    /// What was promised of volumes is written by now, or void.
    fn keep_promises(&self, decision: &Decision) {
        let promised = &mut self.cluster.assumed().volumes;
        decision.bind.iter().for_each(|(volume, _)| drop(promised.remove(volume)));
    }

    /// The pod is not on its node after all.
    fn take_back(self: &std::sync::Arc<Self>, pod: &PodItem, lane: &Lane, node: &str, error: String, began: Instant) {
        debug!(pod = %pod.key, %node, %error, "cannot bind");
        let gone = self.state().snapshot.withdraw(pod);
        self.queue.failed(&pod.key, Failure::Error);
        self.metrics.attempted("error", &lane.profile.name, began.elapsed());
        if let Some((pod, _)) = gone {
            // Others may have been refused what it seemed to hold.
            if let Some(news) = crate::news::News::of_pod(Some(&pod), None) {
                self.pass_on(&news);
            }
        }
        if self.pods.get_key(&pod.key).is_some_and(|now| self.wants(&now) && now.meta.uid == pod.meta.uid) {
            self.announce(pod, lane, &error);
        }
    }

    async fn write_binding(&self, pod: &PodItem, node: &str) -> Result<(), String> {
        if let Some(extender) = self.extenders.iter().find(|one| one.binds() && one.cares_for(&pod.view.spec)) {
            return extender.bind(pod, node).await;
        }
        let (namespace, name) = (pod.key.namespace(), pod.key.name());
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": pod.meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let outcome = self.client.post::<core::Pod, Value>(namespace, name, "binding", &binding).await;
        let error = match outcome {
            Ok(_) => return Ok(()),
            // Refused, it may be since an earlier attempt came through.
            Err(error) if error.leaves_doubt() || error.is(Reason::Conflict) => error,
            Err(error) => return Err(rejected(&error)),
        };
        match self.where_is(pod).await {
            Some(standing) if standing == node => Ok(()),
            _ => Err(rejected(&error)),
        }
    }

    /// The node that the server has for the pod. Asks until it is told.
    async fn where_is(&self, pod: &PodItem) -> Option<String> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).with_jitter(0.5);
        loop {
            match self.client.find::<core::Pod>(pod.key.namespace(), pod.key.name()).await {
                Ok(None) => return None,
                Ok(Some(found)) if found.metadata.uid.as_deref() != Some(&pod.meta.uid) => return None,
                Ok(Some(found)) => return found.spec.and_then(|spec| spec.node_name),
                Err(Error::Status(status)) if status.is(Reason::Forbidden) => return None,
                Err(error) => debug!(pod = %pod.key, %error, "cannot look up a binding"),
            }
            self.env.clock.sleep(backoff.next(&self.env.rng)).await;
        }
    }

    /// Writes what was decided about volumes, and waits until the pod's claims are bound.
    async fn prepare_volumes(&self, pod: &PodItem, node: &str, decision: &Decision, lane: &Lane) -> Result<(), String> {
        if decision.is_done {
            return Ok(());
        }
        let fail = |why: String| format!("running PreBind plugin \"VolumeBinding\": {why}");
        for (volume, claim) in &decision.bind {
            self.promise(volume, claim).await.map_err(|error| fail(error.to_string()))?;
        }
        for claim in &decision.provision {
            let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
            let written = self.client.patch::<core::PersistentVolumeClaim>(
                claim.namespace(),
                claim.name(),
                PatchType::Merge,
                &patch,
            );
            written.await.map_err(|error| fail(error.to_string()))?;
        }
        let claims: Vec<&Key> = decision.bind.iter().map(|(_, claim)| claim).chain(&decision.provision).collect();
        let bound = self.wait_bound(&claims, &decision.provision, node);
        match self.env.clock.timeout(lane.profile.args.binding.timeout, bound).await {
            Ok(outcome) => outcome.map_err(|why| fail(format!("binding volumes: {why}"))),
            Err(_) => {
                warn!(pod = %pod.key, "the pod's volumes were not bound in time");
                Err(fail("binding volumes: context deadline exceeded".to_owned()))
            }
        }
    }

    /// Says on a volume which claim it is for; the binder does the rest.
    async fn promise(&self, volume: &str, claim: &Key) -> Result<(), Error> {
        let uid = self.cluster.claims.get_key(claim).map(|claim| claim.meta.uid.clone()).unwrap_or_default();
        let version = self.cluster.volume(volume).map(|volume| volume.meta.resource_version.clone());
        let patch = json!({
            "metadata": {
                "resourceVersion": version,
                "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
            },
            "spec": {"claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name(), "uid": uid,
            }},
        });
        self.client.patch::<core::PersistentVolume>("", volume, PatchType::Merge, &patch).await.map(drop)
    }

    async fn wait_bound(&self, claims: &[&Key], provisioned: &[Key], node: &str) -> Result<(), String> {
        let mut seen = 0;
        let mut was_selected = vec![false; provisioned.len()];
        loop {
            let bound = claims.iter().all(|key| {
                let claim = self.cluster.claims.get_key(key);
                claim.is_some_and(|claim| {
                    !claim.view.volume.is_empty()
                        && claim.meta.annotations.contains_key("pv.kubernetes.io/bind-completed")
                })
            });
            if bound {
                return Ok(());
            }
            for (key, was_selected) in provisioned.iter().zip(&mut was_selected) {
                let Some(claim) = self.cluster.claims.get_key(key) else {
                    return Err(format!("persistentvolumeclaim \"{}\" not found", key.name()));
                };
                let is_selected = claim.meta.annotations.get(SELECTED_NODE).is_some_and(|selected| selected == node);
                if *was_selected && !is_selected {
                    return Err(format!("provisioning failed for PVC \"{}\"", key.name()));
                }
                *was_selected = is_selected;
            }
            seen = self.cluster.claims.changed(seen).await;
        }
    }

    pub(crate) fn announce(&self, pod: &PodItem, lane: &Lane, message: &str) {
        let happening = Happening::new(about(pod), Severity::Warning, "FailedScheduling", failure::cut(message));
        lane.recorder.record(happening.action("Scheduling"));
    }

    /// Says on the pod why it has no node, and perhaps where room is being made for it.
    pub(crate) async fn set_condition(&self, pod: &PodItem, reason: &str, message: &str, nomination: Option<&str>) {
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "observedGeneration": pod.meta.generation,
        });
        if pod.view.unscheduled.is_none() {
            condition["lastProbeTime"] = Value::Null;
            condition["lastTransitionTime"] = json!(meta::time::format(self.env.clock.now()));
        }
        let mut status = json!({"conditions": [condition]});
        match nomination {
            Some("") => status["nominatedNodeName"] = Value::Null,
            Some(node) => status["nominatedNodeName"] = json!(node),
            None => {}
        }
        let patch = json!({"metadata": {"uid": pod.meta.uid}, "status": status});
        self.patch_pod(pod, &patch, "cannot set PodScheduled").await;
    }

    async fn patch_pod(&self, pod: &PodItem, patch: &Value, failure: &str) {
        let (namespace, name) = (pod.key.namespace(), pod.key.name());
        let mut pause = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut patch = patch.clone();
        loop {
            match self.client.patch_status::<core::Pod>(namespace, name, PatchType::Strategic, &patch).await {
                Ok(_) => return,
                // The pod may not be looked at again for minutes. By then it may have changed, and what
                // was found be wrong: only the same pod is told.
                Err(Error::Connection(_)) if pause.failures() < TRIES => {
                    patch["metadata"]["resourceVersion"] = pod.meta.resource_version.as_str().into();
                    self.env.clock.sleep(pause.next(&self.env.rng)).await;
                }
                Err(error) => return debug!(pod = %pod.key, %error, "{failure}"),
            }
        }
    }

    /// Makes the room that a preemption found.
    pub(crate) async fn evict(&self, preemptor: &PodItem, place: usize, candidate: Candidate) {
        let lane = &self.lanes[place];
        let mut is_any_left = false;
        for victim in &candidate.victims {
            let now = meta::time::format(self.env.clock.now());
            let scheduler = &preemptor.view.spec.scheduler_name;
            let condition = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
                "observedGeneration": victim.meta.generation,
                "lastProbeTime": null,
                "lastTransitionTime": now,
            });
            let patch = json!({"metadata": {"uid": victim.meta.uid}, "status": {"conditions": [condition]}});
            self.patch_pod(victim, &patch, "cannot mark a victim").await;
            let options = DeleteOptions {
                preconditions: Some(Preconditions { uid: Some(victim.meta.uid.clone()), resource_version: None }),
                ..DeleteOptions::default()
            };
            let (namespace, name) = (victim.key.namespace(), victim.key.name());
            match self.client.delete::<core::Pod>(namespace, name, &options).await {
                Ok(()) => {
                    let message = format!("Preempted by pod {} on node {}", preemptor.meta.uid, candidate.node);
                    let happening = Happening::new(about(victim), Severity::Normal, "Preempted", message);
                    lane.recorder.record(happening.action("Preempting").related(about(preemptor)));
                }
                Err(error) if error.is(Reason::NotFound) => {}
                Err(error) => {
                    warn!(pod = %victim.key, %error, "cannot evict a pod to make room");
                    is_any_left = true;
                }
            }
        }
        self.withdraw_nominations(preemptor, &candidate.node).await;
        if is_any_left {
            self.queue.activate(&preemptor.key);
        }
    }

    /// Less important pods that waited for room on the node have to look for other places.
    async fn withdraw_nominations(&self, preemptor: &PodItem, node: &str) {
        let lower: Vec<PodItem> = {
            let state = self.state();
            let priority = preemptor.view.spec.priority;
            state.snapshot.nominated(node).filter(|pod| pod.view.spec.priority < priority).cloned().collect()
        };
        for pod in lower {
            self.state().snapshot.nominate(&pod, "");
            let patch = json!({"metadata": {"uid": pod.meta.uid}, "status": {"nominatedNodeName": null}});
            self.patch_pod(&pod, &patch, "cannot withdraw a nomination").await;
            self.queue.activate(&pod.key);
        }
    }
}

fn rejected(error: &Error) -> String {
    format!("binding rejected: running Bind plugin \"DefaultBinder\": {error}")
}
