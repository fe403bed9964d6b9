//! Looks every ten seconds at what is left, tells the node's conditions, and evicts: pods beyond their
//! own limits, and when the node is short of something, one pod after the other until it no longer is.

use super::memory::{Memory, Observations};
use super::ranking::{self, Candidate, Layout};
use super::signals::{Machine, Signal, Signals};
use super::thresholds::Threshold;
use super::usage;
use super::verdict::{self, REASON, Verdict};
use crate::agent::Agent;
use crate::events::Kind;
use crate::garbage;
use crate::pod::PodRef;
use crate::resources;
use base::metrics::{Family, Gauge, Metrics};
use k8s_openapi::api::core::v1::Pod;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

const LOOK: Duration = Duration::from_secs(10);
/// How long the next look waits for an evicted pod to be gone.
const CLEANUP: Duration = Duration::from_secs(30);
const CLEANUP_LOOK: Duration = Duration::from_secs(1);

/// What the rest of the node knows of all this.
#[derive(Default)]
pub(crate) struct Pressure {
    conditions: Mutex<Vec<&'static str>>,
    /// They have changed.
    pub changed: tokio::sync::Notify,
}

impl Pressure {
    pub fn conditions(&self) -> Vec<&'static str> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, conditions: Vec<&'static str>) {
        let mut known = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == conditions {
            return;
        }
        info!(?conditions, "the node's pressure has changed");
        *known = conditions;
        self.changed.notify_one();
    }
}

/// Name and value.
type Label = [(&'static str, &'static str); 1];

struct Manager {
    agent: Arc<Agent>,
    thresholds: Vec<Threshold>,
    signals: Arc<dyn Signals>,
    memory: Memory,
    started: Instant,
    /// Upstream's counter has no `_total` in its name, so that it is a gauge here.
    evictions: Family<Label, Gauge>,
}

/// The first look is done when this returns: the node is registered with the right conditions.
pub(crate) fn start(agent: &Arc<Agent>) {
    let options = &agent.options;
    let machine = || Arc::new(Machine { root_dir: options.root_dir.clone(), images: agent.images.root() });
    let mut manager = Manager {
        agent: agent.clone(),
        thresholds: options.eviction.thresholds(),
        signals: options.signals.clone().unwrap_or_else(|| machine()),
        memory: Memory::default(),
        started: agent.env.clock.instant(),
        evictions: count(&agent.env.metrics),
    };
    manager.judge();
    agent.env.tasks.spawn("evictions", manager.run());
}

fn count(metrics: &Metrics) -> Family<Label, Gauge> {
    let help = "[ALPHA] Cumulative number of pod evictions by eviction signal";
    metrics.register("kubelet_evictions", help, Family::default())
}

impl Manager {
    async fn run(mut self) {
        loop {
            match self.look().await {
                Some(evicted) => self.wait_until_gone(&evicted).await,
                None => self.agent.env.clock.sleep(LOOK).await,
            }
        }
    }

    fn observe(&self) -> Observations {
        let signals = self.thresholds.iter().map(|threshold| threshold.signal);
        signals.filter_map(|signal| Some((signal, self.signals.observe(signal)?))).collect()
    }

    /// Brings the node's conditions up to date; what has to be acted upon, and what was seen.
    fn judge(&mut self) -> (Vec<Threshold>, Observations) {
        let observed = self.observe();
        let now = self.started.elapsed();
        let found = self.memory.judge(&self.thresholds, &observed, self.agent.options.eviction.transition, now);
        self.agent.pressure.set(found.conditions);
        (found.due, observed)
    }

    /// One look; the pods that have to go.
    async fn look(&mut self) -> Option<Vec<PodRef>> {
        let (due, observed) = self.judge();
        let pods = self.active();
        let evicted = self.enforce_limits(&pods).await;
        if !evicted.is_empty() {
            return Some(evicted);
        }
        let starved = due.first()?.signal;
        let text = format!("Attempting to reclaim {}", starved.resource());
        self.agent.events.node(Kind::Warning, "EvictionThresholdMet", text);
        if starved.condition() == "DiskPressure" && self.reclaim().await {
            return None;
        }
        self.evict_one(pods, &due, &observed).await.map(|pod| vec![pod])
    }

    /// The pods that run something, are not on their way out and may be evicted.
    fn active(&self) -> Vec<Pod> {
        let objects = self.agent.objects();
        let pods = objects.iter().filter_map(|object| serde_json::from_slice::<Pod>(object).ok());
        let runs = |pod: &Pod| self.agent.view.pod(&PodRef::of(pod).uid).running().next().is_some();
        let is_spared = |pod: &Pod| resources::is_critical(pod) || self.agent.is_static(&PodRef::of(pod).uid);
        let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && !is_spared(pod);
        pods.filter(|pod| stays(pod) && runs(pod)).collect()
    }

    fn one_disk(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &std::path::Path| std::fs::metadata(path).ok().map(|found| found.dev());
        device(&self.agent.options.root_dir) == device(&self.agent.images.root())
    }

    async fn enforce_limits(&self, pods: &[Pod]) -> Vec<PodRef> {
        let mut evicted = Vec::new();
        for pod in pods.iter().filter(|pod| verdict::has_limits(pod)) {
            let usage = usage::measure(&self.agent, pod).await;
            if let Some(verdict) = verdict::of_limits(pod, &usage, self.one_disk()) {
                evicted.extend(self.evict(pod, verdict));
            }
        }
        evicted
    }

    /// Throws away what no pod needs; whether that was enough.
    async fn reclaim(&self) -> bool {
        garbage::dead_containers(&self.agent).await;
        let freed = garbage::unused_images(&self.agent, i64::MAX).await;
        info!(freed, "removed ended containers and unused images: the disk is short");
        let observed = self.observe();
        let is_met = |threshold: &Threshold| {
            observed.get(&threshold.signal).is_some_and(|found| threshold.is_met(*found, false))
        };
        !self.thresholds.iter().any(is_met)
    }

    async fn evict_one(&self, pods: Vec<Pod>, due: &[Threshold], observed: &Observations) -> Option<PodRef> {
        let starved: Signal = due.first()?.signal;
        let mut candidates = Vec::new();
        for pod in pods {
            let usage = usage::measure(&self.agent, &pod).await;
            candidates.push(Candidate { pod, usage });
        }
        ranking::rank(starved, Layout { one_disk: self.one_disk() }, &mut candidates);
        let Some(first) = candidates.first() else {
            debug!(resource = starved.resource(), "the node is short of it, and no pod can be evicted");
            return None;
        };
        let max_grace = self.agent.options.eviction.max_pod_grace;
        self.evict(&first.pod, verdict::of_pressure(first, due, observed, max_grace)?)
    }

    fn evict(&self, pod: &Pod, verdict: Verdict) -> Option<PodRef> {
        let pod_ref = PodRef::of(pod);
        if self.agent.is_evicted(&pod_ref.uid) {
            return None;
        }
        warn!(pod = %pod_ref, why = verdict.message, "evicting the pod");
        self.agent.events.annotated(&pod_ref, REASON, verdict.message.clone(), verdict.annotations.clone());
        self.evictions.get_or_create(&[("eviction_signal", verdict.signal)]).inc();
        self.agent.evict(&pod_ref.uid, verdict);
        Some(pod_ref)
    }

    async fn wait_until_gone(&self, evicted: &[PodRef]) {
        let clock = &self.agent.env.clock;
        let since = clock.instant();
        let is_there = |pod: &PodRef| {
            let holds = self.agent.pod_directory(&pod.uid).join("volumes").exists();
            holds || self.agent.view.pod(&pod.uid).running().next().is_some()
        };
        while evicted.iter().any(is_there) && since.elapsed() < CLEANUP {
            clock.sleep(CLEANUP_LOOK).await;
        }
    }
}
