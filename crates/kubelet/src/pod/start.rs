//! Starting one container of a pod: back-off, image, configuration, creation, start, postStart.

use super::spec::{self, PodRef, Slot, field_path};
use super::stop;
use super::volumes::{self, PodVolumes};
use super::worker::PodState;
use crate::agent::Agent;
use crate::container_config::{self, Order};
use crate::crash_backoff::go_seconds;
use crate::events::Kind;
use crate::hooks;
use crate::pull::Waiting;
use base::Timestamp;
use container::runtime::{ContainerState, RuntimeError, SandboxStatus};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// What is missing in the cluster may come at any time: look again after this.
const LOOK_AGAIN: i64 = 10;
/// As long as ErrImagePull is shown before the back-off is.
const SHOW_PULL_ERROR: i64 = 2;

/// Where the container goes.
pub struct Place<'a> {
    pub pod: &'a Pod,
    pub sandbox: &'a SandboxStatus,
    pub volumes: &'a PodVolumes,
}

/// Starts the container; what keeps it from starting is noted in `state.waiting` and told.
pub async fn start(agent: &Arc<Agent>, place: &Place<'_>, slot: Slot, state: &mut PodState) {
    let Some(container) = spec::container(place.pod, slot) else { return };
    let hash = spec::hash(&container);
    let now = agent.env.clock.now();
    let resting = state.waiting.get(&container.name).and_then(|waiting| waiting.retry_at).is_some_and(|at| now < at);
    if resting && state.tried.get(&container.name) == Some(&hash) {
        // Whatever else has woken the worker, it is not time yet, and what was tried is the same.
        return;
    }
    state.tried.insert(container.name.clone(), hash);
    let start = Start { agent, place, slot, container: &container, pod_ref: PodRef::of(place.pod) };
    match start.run(state).await {
        Ok(()) => {
            state.waiting.remove(&container.name);
            state.start_failures.remove(&container.name);
        }
        Err(waiting) => {
            state.waiting.insert(container.name.clone(), waiting);
        }
    }
}

struct Start<'a> {
    agent: &'a Arc<Agent>,
    place: &'a Place<'a>,
    slot: Slot,
    container: &'a Container,
    pod_ref: PodRef,
}

impl Start<'_> {
    async fn run(&self, state: &mut PodState) -> Result<(), Waiting> {
        self.check_backoff(state)?;
        let image = self.agent.puller.ensure(self.agent, self.place.pod, self.slot, self.container).await;
        let image = image.map_err(|waiting| self.unpulled(waiting))?;
        let images = volumes::set_up_images(self.agent, self.place.pod, self.slot, self.container).await;
        let volumes::Images { ready: mut volumes, layers } = images.map_err(|waiting| self.unpulled(waiting))?;
        volumes.extend(self.place.volumes.iter().map(|(name, mounted)| (name.clone(), mounted.clone())));
        let attempt = self.next_attempt(state).await;
        let order = Order {
            pod: self.place.pod,
            slot: self.slot,
            container: self.container,
            image: &image,
            sandbox: self.place.sandbox,
            volumes: &volumes,
            attempt,
        };
        let mut config = container_config::make(self.agent, &order)
            .await
            .map_err(|message| self.failed("CreateContainerConfigError", message))?;
        config.mounted_images = layers;
        let runtime = &self.agent.runtime;
        let created = runtime.create_container(&self.place.sandbox.id, config).await;
        let id = created.map_err(|error| self.runtime_failed(state, "CreateContainerError", &error))?;
        self.event(Kind::Normal, "Created", "Container created");
        let started = runtime.start_container(&id).await;
        self.refresh(&id).await;
        self.prune().await;
        started.map_err(|error| self.runtime_failed(state, "RunContainerError", &error))?;
        self.event(Kind::Normal, "Started", "Container started");
        self.post_start(&id, state).await
    }

    /// The image, or that of a volume, cannot be had now.
    fn unpulled(&self, mut waiting: Waiting) -> Waiting {
        self.event(Kind::Warning, "Failed", &format!("Error: {}", waiting.reason));
        let shown = if waiting.reason == "ErrImagePull" { SHOW_PULL_ERROR } else { LOOK_AGAIN };
        if waiting.reason != "ImagePullBackOff" {
            waiting.retry_at = self.after(shown);
        }
        waiting
    }

    /// A container that ended is started again at once the first time, then after waiting times
    /// that double.
    fn check_backoff(&self, state: &mut PodState) -> Result<(), Waiting> {
        let runtime = self.agent.view.pod(&self.pod_ref.uid);
        let ended = runtime.latest(&self.container.name).filter(|status| status.state == ContainerState::Exited);
        let ended = ended.and_then(|status| Timestamp::from_nanosecond(i128::from(status.finished_at)).ok());
        let failed = state.start_failures.get(&self.container.name).copied();
        let Some(since) = ended.max(failed) else { return Ok(()) };
        let now = self.agent.env.clock.now();
        let name = &self.container.name;
        if let Some((until, seconds)) = state.backoff.wait(name, since, now) {
            let text = format!("Back-off restarting failed container {name} in pod {}", self.pod_ref);
            self.event(Kind::Warning, "BackOff", &text);
            let message =
                format!("back-off {} restarting failed container={name} pod={}", go_seconds(seconds), self.pod_ref);
            return Err(Waiting { reason: "CrashLoopBackOff", message, retry_at: Some(until) });
        }
        state.backoff.attempt(name, since, now);
        Ok(())
    }

    /// How often the container ran before: as the runtime knows, or else the API server.
    async fn next_attempt(&self, state: &PodState) -> u32 {
        let runtime = self.agent.view.pod(&self.pod_ref.uid);
        let Some(newest) = runtime.latest(&self.container.name) else {
            return known_status(self.place.pod, self.slot, &self.container.name).map_or(0, |status| {
                let count = u32::try_from(status.restart_count).unwrap_or(0);
                count + u32::from(status.container_id.is_some())
            });
        };
        if newest.state == ContainerState::Created && !state.start_failures.contains_key(&self.container.name) {
            // Made but never started, by a kutter that was stopped in between.
            if let Err(error) = stop::remove_container(self.agent, &newest.id).await {
                warn!(pod = %self.pod_ref, %error, "cannot remove a container that was never started");
            }
            return newest.attempt;
        }
        newest.attempt + 1
    }

    async fn refresh(&self, id: &str) {
        if let Err(error) = self.agent.view.refresh_container(id).await {
            warn!(pod = %self.pod_ref, %error, "cannot read the new container's state");
        }
    }

    /// Beside the newest container only the one before stays, for its log and exit code; of sandboxes that
    /// were replaced those that such a container was in.
    async fn prune(&self) {
        let runtime = self.agent.view.pod(&self.pod_ref.uid);
        let older = runtime.history(&self.container.name).skip(2);
        for old in older.filter(|status| status.state != ContainerState::Running) {
            match stop::remove_container(self.agent, &old.id).await {
                Ok(()) => crate::logs::remove(&self.agent.log_directory(&self.pod_ref).join(&old.log_path)),
                Err(error) => warn!(pod = %self.pod_ref, %error, "cannot remove an old container"),
            }
        }
        let runtime = self.agent.view.pod(&self.pod_ref.uid);
        let is_kept = |sandbox: &str| runtime.containers.iter().any(|status| status.sandbox == sandbox);
        let replaced = runtime.sandboxes.iter().skip(1).filter(|sandbox| !sandbox.ready && !is_kept(&sandbox.id));
        for old in replaced {
            if let Err(error) = stop::remove_sandbox(self.agent, &old.id).await {
                warn!(pod = %self.pod_ref, %error, "cannot remove an old sandbox");
            }
        }
    }

    async fn post_start(&self, id: &str, state: &mut PodState) -> Result<(), Waiting> {
        let Some(hook) = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) else {
            return Ok(());
        };
        let address = self.place.sandbox.addresses.first().copied().or(self.agent.options.node_ips.first().copied());
        let Err(why) = hooks::run(self.agent, hook, id, self.container.ports.as_ref(), address).await else {
            return Ok(());
        };
        warn!(pod = %self.pod_ref, container = self.container.name, why, "postStart hook failed");
        self.event(Kind::Warning, "FailedPostStartHook", "PostStartHook failed");
        if let Some(status) = self.agent.view.container(id) {
            let spec = Some(self.place.pod);
            let stop = stop::Stop { pod: &self.pod_ref, spec, status: &status, address, hooked: &state.hooked };
            let grace = Duration::from_secs(u64::try_from(spec::grace_period(self.place.pod)).unwrap_or(30));
            if let Err(error) = stop::container(self.agent, &stop, "FailedPostStartHook", grace).await {
                warn!(pod = %self.pod_ref, %error, "cannot stop a container whose postStart hook failed");
            }
        }
        Err(Waiting {
            reason: "PostStartHookError",
            message: "PostStartHook failed".to_owned(),
            retry_at: self.after(0),
        })
    }

    fn runtime_failed(&self, state: &mut PodState, reason: &'static str, error: &RuntimeError) -> Waiting {
        state.start_failures.insert(self.container.name.clone(), self.agent.env.clock.now());
        let mut waiting = self.failed(reason, error.to_string());
        waiting.retry_at = self.after(0);
        waiting
    }

    fn failed(&self, reason: &'static str, message: String) -> Waiting {
        self.event(Kind::Warning, "Failed", &format!("Error: {message}"));
        Waiting { reason, message, retry_at: self.after(LOOK_AGAIN) }
    }

    fn after(&self, seconds: i64) -> Option<Timestamp> {
        self.agent.env.clock.now().checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn event(&self, kind: Kind, reason: &str, message: &str) {
        let path = field_path(self.slot, &self.container.name);
        self.agent.events.pod(&self.pod_ref, Some(path), kind, reason, message);
    }
}

/// What the API server had last of a container.
pub fn known_status<'a>(pod: &'a Pod, slot: Slot, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let list = match slot {
        Slot::Init(_) => &status.init_container_statuses,
        Slot::Main(_) => &status.container_statuses,
        Slot::Ephemeral(_) => &status.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|status| status.name == name)
}
