//! The worker of one pod: waits for news (its object, its containers, its probes, the time) and
//! brings the pod one step further, from running to stopped to gone.

use super::admit::{self, Demand, Refusal};
use super::resize::Held;
use super::spec::{self, PodRef};
use super::{report, stop, sync, sysctls, volumes};
use crate::agent::Agent;
use crate::crash_backoff::CrashBackoff;
use crate::events::Kind;
use crate::eviction::{self, Verdict};
use crate::pull::Waiting;
use crate::{names, services};
use base::{Backoff, Timestamp};
use bytes::Bytes;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, warn};

/// Volumes are brought up to date at least this often, and up to half as long again.
const RESYNC: Duration = Duration::from_secs(40);
const RETRY: Duration = Duration::from_secs(1);
/// A pod behind a service is ended only after this, so that no new connection comes to it any more:
/// meanwhile its endpoint is taken out on every node.
const DRAIN: Duration = Duration::from_millis(500);
/// A pod whose object is gone without a word about time gets as long as it had asked for.
const DEFAULT_GRACE: i64 = 30;

/// What comes in for a pod: always only the latest.
#[derive(Default)]
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    /// Counts news, so that everyone who waits sees them all.
    news: watch::Sender<u64>,
}

#[derive(Default, Clone)]
struct Inbox {
    /// The pod's object as JSON; None: the API server does not know it.
    object: Option<Bytes>,
    removed: bool,
    /// The node ends the pod, whatever its object says.
    verdict: Option<Arc<Verdict>>,
}

impl Mailbox {
    pub fn put(&self, object: Bytes) {
        let mut inbox = self.lock();
        (inbox.object, inbox.removed) = (Some(object), false);
        drop(inbox);
        self.wake();
    }

    /// The latest object of a pod that is still there.
    pub fn object(&self) -> Option<Bytes> {
        let inbox = self.lock();
        inbox.object.clone().filter(|_| !inbox.removed)
    }

    pub fn evict(&self, verdict: Verdict) {
        self.lock().verdict.get_or_insert_with(|| Arc::new(verdict));
        self.wake();
    }

    pub fn is_evicted(&self) -> bool {
        self.lock().verdict.is_some()
    }

    pub fn remove(&self) {
        self.lock().removed = true;
        self.wake();
    }

    pub fn wake(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Sees all news from now on.
    fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn latest(&self) -> Inbox {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the worker remembers between steps.
pub struct PodState {
    pub waiting: BTreeMap<String, Waiting>,
    pub backoff: CrashBackoff,
    pub start_failures: BTreeMap<String, Timestamp>,
    /// Hashes of the definitions that were last tried.
    pub tried: BTreeMap<String, String>,
    pub messages: BTreeMap<String, String>,
    pub volumes_failing_since: Option<Timestamp>,
    pub volume_backoff: Backoff,
    /// When a sandbox may be tried again, and how often it failed.
    pub sandbox_retry: Option<(Timestamp, u32)>,
    pub hooked: stop::Hooked,
    pub admitted: bool,
    /// What running containers were last given, by their ids.
    pub applied: BTreeMap<String, ResourceRequirements>,
    /// Why a resize waits.
    pub resize: Option<Held>,
    /// The node itself ended the pod.
    pub failure: Option<Refusal>,
    /// It did so for its own sake: the pod itself did nothing wrong.
    pub disrupted: bool,
    /// Everything has been stopped for good.
    pub stopped: bool,
    /// The status last handed over, as JSON: what the API server shows may be older.
    pub reported: Option<Bytes>,
    drained: bool,
    volumes_gone: bool,
}

impl Default for PodState {
    fn default() -> Self {
        PodState {
            waiting: BTreeMap::new(),
            backoff: CrashBackoff::default(),
            start_failures: BTreeMap::new(),
            tried: BTreeMap::new(),
            messages: BTreeMap::new(),
            volumes_failing_since: None,
            volume_backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(122)),
            sandbox_retry: None,
            hooked: stop::Hooked::default(),
            admitted: false,
            applied: BTreeMap::new(),
            resize: None,
            failure: None,
            disrupted: false,
            stopped: false,
            reported: None,
            drained: false,
            volumes_gone: false,
        }
    }
}

enum Next {
    /// Wait for news, at most until then.
    Until(Option<Timestamp>),
    Gone,
}

pub async fn run(agent: Arc<Agent>, pod: PodRef, mailbox: Arc<Mailbox>) {
    let mut state = PodState::default();
    let mut news = mailbox.watch();
    loop {
        // What comes while the step runs is news for the next.
        news.mark_unchanged();
        let until = match step(&agent, &pod, &mailbox, &mut state).await {
            Next::Gone => break,
            Next::Until(until) => until,
        };
        let wait = until.map_or_else(|| resync(&agent), |at| wait_for(&agent, at));
        tokio::select! {
            biased;
            // Cannot fail: the sender is in the mailbox held here.
            _ = news.changed() => {}
            () = agent.env.clock.sleep(wait) => {}
        }
    }
    agent.forget(&pod.uid);
    debug!(%pod, "nothing is left of the pod");
}

fn resync(agent: &Agent) -> Duration {
    RESYNC + RESYNC.mul_f64(agent.env.rng.f64() / 2.0)
}

fn wait_for(agent: &Agent, at: Timestamp) -> Duration {
    let wait = at.duration_since(agent.env.clock.now());
    Duration::try_from(wait).unwrap_or(Duration::from_millis(1)).clamp(Duration::from_millis(1), RESYNC)
}

async fn step(agent: &Arc<Agent>, pod_ref: &PodRef, mailbox: &Mailbox, state: &mut PodState) -> Next {
    let inbox = mailbox.latest();
    let pod: Option<Pod> = match inbox.object.as_deref().map(serde_json::from_slice).transpose() {
        Ok(pod) => pod,
        Err(error) => {
            warn!(pod = %pod_ref, %error, "cannot read the pod's object; leaving the pod as it is");
            return Next::Until(None);
        }
    };
    if inbox.removed || pod.is_none() {
        return remove(agent, pod_ref, pod.as_ref(), mailbox, state).await;
    }
    let Some(pod) = pod else { return Next::Gone };
    if pod.metadata.deletion_timestamp.is_some() {
        return end(agent, &pod, mailbox, state).await;
    }
    if is_over(&pod) || state.stopped {
        return end(agent, &pod, mailbox, state).await;
    }
    if let Some(verdict) = inbox.verdict.filter(|_| state.failure.is_none()) {
        state.failure = Some(Refusal { reason: eviction::REASON.to_owned(), message: verdict.message.clone() });
        state.disrupted = verdict.disrupts;
    }
    admit(agent, &pod, pod_ref, state);
    let deadline = check_deadline(agent, &pod, pod_ref, state);
    if sync::is_finished(&pod, state, &agent.view.pod(&pod_ref.uid)) {
        return end(agent, &pod, mailbox, state).await;
    }
    let retry = tokio::select! {
        biased;
        () = ending(mailbox) => return Next::Until(Some(agent.env.clock.now())),
        retry = sync::sync(agent, &pod, state) => retry,
    };
    if sync::is_finished(&pod, state, &agent.view.pod(&pod_ref.uid)) {
        return Next::Until(Some(agent.env.clock.now()));
    }
    Next::Until([retry, deadline].into_iter().flatten().min())
}

/// Whether the API server holds an end that was reported before.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Waits until the pod is to end.
async fn ending(mailbox: &Mailbox) {
    let mut news = mailbox.watch();
    loop {
        let inbox = mailbox.latest();
        let is_over = inbox.removed || inbox.verdict.is_some();
        if is_over || inbox.object.as_deref().is_some_and(|object| deletion(object).is_some()) {
            return;
        }
        // Cannot fail: the sender is in the mailbox held here.
        let _ = news.changed().await;
    }
}

/// The grace period of a pod that is being deleted.
fn deletion(object: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: meta::ObjectMeta,
    }
    let Envelope { metadata } = serde_json::from_slice(object).ok()?;
    metadata.is_deleting().then(|| metadata.deletion_grace_period_seconds.unwrap_or(DEFAULT_GRACE))
}

/// Pods that run already were admitted before.
fn admit(agent: &Agent, pod: &Pod, pod_ref: &PodRef, state: &mut PodState) {
    if state.admitted {
        return;
    }
    state.admitted = true;
    let demand = Demand::of(pod);
    let running = !agent.view.pod(&pod_ref.uid).is_empty();
    let mut admitted = agent.admitted();
    if !running {
        let others: Vec<&Demand> = admitted.values().collect();
        let fits = || admit::check(&demand, &others, &agent.volumes.allocatable);
        let under_pressure = || match eviction::refusal(pod, &agent.pressure.conditions()) {
            Some(text) if !agent.is_static(&pod_ref.uid) => Err(Refusal::rejected(eviction::REASON, &text)),
            _ => Ok(()),
        };
        let allowed =
            under_pressure().and_then(|()| sysctls::check(pod, &agent.options.unsafe_sysctls)).and_then(|()| fits());
        if let Err(refusal) = allowed {
            drop(admitted);
            let text = refusal.message.strip_prefix("Pod was rejected: ").unwrap_or(&refusal.message);
            agent.events.pod(pod_ref, None, Kind::Warning, &refusal.reason, text);
            state.failure = Some(refusal);
            return;
        }
    }
    admitted.insert(pod_ref.uid.clone(), demand);
}

/// Ends a pod that was active too long; otherwise tells when it will have been.
fn check_deadline(agent: &Agent, pod: &Pod, pod_ref: &PodRef, state: &mut PodState) -> Option<Timestamp> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    let deadline = started.checked_add(SignedDuration::from_secs(seconds)).ok()?;
    if agent.env.clock.now() < deadline {
        return Some(deadline);
    }
    if state.failure.is_none() {
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        agent.events.pod(pod_ref, None, Kind::Normal, "DeadlineExceeded", message.clone());
        state.failure = Some(Refusal { reason: "DeadlineExceeded".to_owned(), message });
    }
    None
}

/// A pod that has ended or is to end: stop it, report, give everything back, and let its object go
/// if that is asked for.
async fn end(agent: &Arc<Agent>, pod: &Pod, mailbox: &Mailbox, state: &mut PodState) -> Next {
    let pod_ref = PodRef::of(pod);
    let deleting = pod.metadata.deletion_timestamp.is_some();
    if !state.stopped {
        report::read_messages(agent, &pod_ref, state);
        report::publish(agent, pod, state, false);
        // Readiness goes on being asked while the pod ends; a restart is no longer of use.
        agent.probes.retain(&pod_ref.uid, |_, kind| kind == crate::probe::ProbeKind::Readiness);
        drain(agent, pod, state).await;
        if !stop_all(agent, &pod_ref, Some(pod), mailbox, state).await {
            return Next::Until(retry(agent));
        }
    }
    report::read_messages(agent, &pod_ref, state);
    if !state.volumes_gone {
        report::publish(agent, pod, state, false);
        if let Err(error) = volumes::tear_down(agent, &pod_ref.uid).await {
            warn!(pod = %pod_ref, %error, "cannot take the pod's volumes away; trying again");
            return Next::Until(retry(agent));
        }
        state.volumes_gone = true;
        agent.release(&pod_ref.uid);
    }
    report::publish(agent, pod, state, deleting);
    Next::Until(None)
}

/// Lets a pod that clients may reach go on for a moment while it is taken out of the services.
async fn drain(agent: &Agent, pod: &Pod, state: &mut PodState) {
    if std::mem::replace(&mut state.drained, true) || pod.metadata.deletion_timestamp.is_none() {
        return;
    }
    let ready = |status: &PodStatus| {
        status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let in_time = spec::grace_period(pod) > 1;
    if in_time && pod.status.as_ref().is_some_and(ready) && services::serve(&agent.services, namespace, &labels) {
        agent.env.clock.sleep(DRAIN).await;
    }
}

/// Stops everything; begins anew with less time when the pod is to end sooner than it was. Whether
/// all has ended.
async fn stop_all(
    agent: &Arc<Agent>,
    pod_ref: &PodRef,
    pod: Option<&Pod>,
    mailbox: &Mailbox,
    state: &mut PodState,
) -> bool {
    let mut grace = grace_of(agent, pod_ref, pod, mailbox);
    let started = agent.env.clock.instant();
    loop {
        let left = Duration::from_secs(grace).saturating_sub(started.elapsed());
        let left = if grace == 0 { Duration::ZERO } else { left.max(Duration::from_secs(1)) };
        let outcome = tokio::select! {
            outcome = stop::pod(agent, pod_ref, pod, left, &state.hooked) => outcome,
            shorter = shorter_grace(agent, pod_ref, pod, mailbox, grace) => {
                grace = shorter;
                continue;
            }
        };
        agent.probes.retain(&pod_ref.uid, |_, _| false);
        match outcome {
            Ok(()) => {
                state.stopped = true;
                state.waiting.clear();
                return true;
            }
            Err(error) => {
                let text = format!("error killing pod: {error}");
                agent.events.pod(pod_ref, None, Kind::Warning, "FailedKillPod", text);
                return false;
            }
        }
    }
}

/// In seconds: what the deletion says, or the spec, or the notes on the sandbox.
fn grace_of(agent: &Agent, pod_ref: &PodRef, pod: Option<&Pod>, mailbox: &Mailbox) -> u64 {
    let inbox = mailbox.latest();
    let asked = inbox.object.as_deref().and_then(deletion);
    let noted = || {
        let runtime = agent.view.pod(&pod_ref.uid);
        runtime.sandboxes.first()?.config.annotations.get(names::POD_GRACE_PERIOD)?.parse().ok()
    };
    let grace = asked.or_else(|| pod.map(spec::grace_period)).or_else(noted).unwrap_or(DEFAULT_GRACE);
    let grace = u64::try_from(grace).unwrap_or(0);
    inbox.verdict.map_or(grace, |verdict| grace.min(verdict.grace))
}

async fn shorter_grace(agent: &Agent, pod_ref: &PodRef, pod: Option<&Pod>, mailbox: &Mailbox, than: u64) -> u64 {
    let mut news = mailbox.watch();
    loop {
        let grace = grace_of(agent, pod_ref, pod, mailbox);
        if grace < than {
            return grace;
        }
        // Cannot fail: the sender is in the mailbox held here.
        let _ = news.changed().await;
    }
}

/// A pod that the API server no longer knows: nothing of it stays.
async fn remove(
    agent: &Arc<Agent>,
    pod_ref: &PodRef,
    pod: Option<&Pod>,
    mailbox: &Mailbox,
    state: &mut PodState,
) -> Next {
    if !state.stopped && !stop_all(agent, pod_ref, pod, mailbox, state).await {
        return Next::Until(retry(agent));
    }
    if let Err(error) = volumes::tear_down(agent, &pod_ref.uid).await {
        warn!(pod = %pod_ref, %error, "cannot take the pod's volumes away; trying again");
        return Next::Until(retry(agent));
    }
    if let Err(error) = stop::remove(agent, pod_ref).await {
        warn!(pod = %pod_ref, %error, "cannot remove the pod's containers; trying again");
        return Next::Until(retry(agent));
    }
    for directory in [agent.pod_directory(&pod_ref.uid), agent.log_directory(pod_ref)] {
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!(pod = %pod_ref, %error, "cannot remove {}", directory.display());
            }
            _ => {}
        }
    }
    Next::Gone
}

fn retry(agent: &Agent) -> Option<Timestamp> {
    let wait = SignedDuration::try_from(RETRY).ok()?;
    agent.env.clock.now().checked_add(wait).ok()
}
