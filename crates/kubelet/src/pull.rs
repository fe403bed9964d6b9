//! Getting images for containers: pull policies, credentials, back-off, a bound on pulls at once,
//! and upstream's events and waiting reasons.

use crate::agent::Agent;
use crate::crash_backoff::{CrashBackoff, go_millis};
use crate::credentials;
use crate::events::Kind;
use crate::pod::Slot;
use crate::pod::spec::{PodRef, field_path};
use base::Timestamp;
use images::{Image, ImageError, RegistryAuth};
use k8s_openapi::api::core::v1::{Container, ImageVolumeSource, Pod};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Why a container keeps waiting: its status' waiting state, and when it is worth trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub reason: &'static str,
    pub message: String,
    pub retry_at: Option<Timestamp>,
}

impl Waiting {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Waiting { reason, message: message.into(), retry_at: None }
    }
}

pub struct Puller {
    /// Image and pod, with the last error.
    failures: Mutex<(CrashBackoff, std::collections::BTreeMap<String, String>)>,
    slots: Semaphore,
}

/// No more errors than this are kept.
const REMEMBER: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Puller {
    /// At most `at_once` pulls run side by side; 1 pulls one after the other.
    pub fn new(at_once: usize) -> Self {
        Puller { failures: Mutex::default(), slots: Semaphore::new(at_once.max(1)) }
    }

    /// The image of a container, pulled if its policy says so.
    ///
    /// # Errors
    /// The container's waiting state; events are recorded.
    pub async fn ensure(&self, agent: &Agent, pod: &Pod, slot: Slot, container: &Container) -> Result<Image, Waiting> {
        let name = container.image.as_deref().unwrap_or("");
        let policy = policy(container.image_pull_policy.as_deref(), name);
        let pod_ref = PodRef::of(pod);
        Job { puller: self, agent, pod, pod_ref: &pod_ref, slot, container, name, policy }.run().await
    }

    /// The image of a volume that the container mounts.
    ///
    /// # Errors
    /// As of [`Self::ensure`].
    pub async fn ensure_volume(
        &self,
        agent: &Agent,
        pod: &Pod,
        slot: Slot,
        container: &Container,
        volume: &ImageVolumeSource,
    ) -> Result<Image, Waiting> {
        let name = volume.reference.as_deref().unwrap_or("");
        let policy = policy(volume.pull_policy.as_deref(), name);
        let pod_ref = PodRef::of(pod);
        Job { puller: self, agent, pod, pod_ref: &pod_ref, slot, container, name, policy }.run().await
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, uid: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<String> = failures.1.keys().filter(|key| key.starts_with(uid)).cloned().collect();
        for key in keys {
            failures.0.forget(&key);
            failures.1.remove(&key);
        }
    }
}

struct Job<'a> {
    puller: &'a Puller,
    agent: &'a Agent,
    pod: &'a Pod,
    pod_ref: &'a PodRef,
    slot: Slot,
    /// Which it is for.
    container: &'a Container,
    name: &'a str,
    policy: Policy,
}

impl Job<'_> {
    async fn run(&self) -> Result<Image, Waiting> {
        let name = self.name;
        let present = match self.agent.images.present(name).await {
            Ok(present) => present,
            Err(ImageError::InvalidName(why)) => {
                let text = format!(
                    "Failed to apply default image tag {name:?}: couldn't parse image reference {name:?}: {why}"
                );
                self.event(Kind::Warning, "InspectFailed", &text);
                return Err(Waiting::new("InvalidImageName", text));
            }
            Err(error) => {
                let text = format!("Failed to inspect image {name:?}: {error}");
                self.event(Kind::Warning, "InspectFailed", &text);
                return Err(Waiting::new("ImageInspectError", text));
            }
        };
        match (self.policy, present) {
            (Policy::Never, None) => {
                let text = format!("Container image {name:?} is not present with pull policy of Never");
                self.event(Kind::Warning, "ErrImageNeverPull", &text);
                Err(Waiting::new("ErrImageNeverPull", text))
            }
            (Policy::IfNotPresent | Policy::Never, Some(image)) => {
                let text =
                    format!("Container image {name:?} already present on machine and can be accessed by the pod");
                self.event(Kind::Normal, "Pulled", &text);
                Ok(image)
            }
            (Policy::Always, _) | (Policy::IfNotPresent, None) => self.pull().await,
        }
    }

    async fn pull(&self) -> Result<Image, Waiting> {
        let key = format!("{}_{}", self.pod_ref.uid, self.name);
        self.check_backoff(&key)?;
        let asked = self.agent.env.clock.instant();
        let auths = self.auths().await;
        // Never closed while the puller lives.
        let _slot = self.puller.slots.acquire().await;
        let started = self.agent.env.clock.instant();
        self.event(Kind::Normal, "Pulling", &format!("Pulling image {:?}", self.name));
        match self.agent.images.pull(self.name, &auths).await {
            Ok(image) => {
                self.succeed(&key);
                let text = format!(
                    "Successfully pulled image {:?} in {} ({} including waiting). Image size: {} bytes.",
                    self.name,
                    go_millis(started.elapsed().as_millis()),
                    go_millis(asked.elapsed().as_millis()),
                    image.size
                );
                self.event(Kind::Normal, "Pulled", &text);
                Ok(image)
            }
            Err(error) => {
                let text = error.to_string();
                self.event(Kind::Warning, "Failed", &format!("Failed to pull image {:?}: {text}", self.name));
                let retry_at = self.fail(&key, &text);
                Err(Waiting { reason: "ErrImagePull", message: text, retry_at })
            }
        }
    }

    fn check_backoff(&self, key: &str) -> Result<(), Waiting> {
        let now = self.agent.env.clock.now();
        let (until, error) = {
            let failures = self.puller.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((until, _)) = failures.0.wait_since_attempt(key, now) else { return Ok(()) };
            (until, failures.1.get(key).cloned().unwrap_or_default())
        };
        let text = format!("Back-off pulling image {:?}", self.name);
        self.event(Kind::Normal, "BackOff", &text);
        let message = if error.is_empty() { text } else { format!("{text}: ErrImagePull: {error}") };
        Err(Waiting { reason: "ImagePullBackOff", message, retry_at: Some(until) })
    }

    fn succeed(&self, key: &str) {
        let mut failures = self.puller.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.0.forget(key);
        failures.1.remove(key);
    }

    fn fail(&self, key: &str, error: &str) -> Option<Timestamp> {
        let now = self.agent.env.clock.now();
        let mut failures = self.puller.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.0.attempt(key, now, now);
        while failures.1.len() >= REMEMBER {
            let Some((old, _)) = failures.1.pop_first() else { break };
            failures.0.forget(&old);
        }
        failures.1.insert(key.to_owned(), error.to_owned());
        // At once, so that status shows the back-off as upstream's does.
        Some(now)
    }

    async fn auths(&self) -> Vec<RegistryAuth> {
        let references = self.pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let mut keyring = credentials::Keyring::new();
        let mut missing = Vec::new();
        for reference in references.into_iter().flatten() {
            match self.agent.volumes.sources.secret(&self.pod_ref.namespace, &reference.name).await {
                Ok(Some(secret)) => keyring.extend(credentials::read(&secret)),
                _ => missing.push(reference.name.as_str()),
            }
        }
        if !missing.is_empty() {
            let text = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.agent.events.pod(self.pod_ref, None, Kind::Warning, "FailedToRetrieveImagePullSecret", text);
        }
        credentials::matching(&keyring, self.name)
    }

    fn event(&self, kind: Kind, reason: &str, message: &str) {
        let path = field_path(self.slot, &self.container.name);
        self.agent.events.pod(self.pod_ref, Some(path), kind, reason, message);
    }
}

/// As written, or upstream's default: Always for `latest` or no tag.
fn policy(written: Option<&str>, image: &str) -> Policy {
    match written {
        Some("Always") => Policy::Always,
        Some("IfNotPresent") => Policy::IfNotPresent,
        Some("Never") => Policy::Never,
        _ => {
            let last = image.rsplit('/').next().unwrap_or(image);
            let latest = !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
            if latest { Policy::Always } else { Policy::IfNotPresent }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_default_by_tag() {
        for (image, written, expected) in [
            ("nginx", None, Policy::Always),
            ("nginx:latest", None, Policy::Always),
            ("nginx:1.27", None, Policy::IfNotPresent),
            ("reg:5000/nginx", None, Policy::Always),
            ("nginx@sha256:abc", None, Policy::IfNotPresent),
            ("nginx:1", Some("Always"), Policy::Always),
            ("nginx", Some("Never"), Policy::Never),
        ] {
            assert_eq!(policy(written, image), expected, "{image}");
        }
    }
}
