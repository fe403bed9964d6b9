//! Throwing away what nobody needs: images when the disk fills up, directories of pods that are
//! long gone, and under pressure the containers that have ended.
//!
//! Otherwise those are removed by their pod's worker when a newer one takes their place.

use crate::agent::Agent;
use crate::events::Kind;
use crate::eviction::{Observed, space};
use crate::pod::{PodRef, spec, stop};
use container::runtime::{ContainerState, ContainerStatus};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

const LOOK: Duration = Duration::from_secs(300);

/// Percent of the disk in use where cleaning of images starts, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageGarbage {
    /// 100: never.
    pub high: u8,
    pub low: u8,
}

impl Default for ImageGarbage {
    fn default() -> Self {
        ImageGarbage { high: 85, low: 80 }
    }
}

impl ImageGarbage {
    /// How many bytes have to go.
    fn surplus(self, disk: Observed) -> i64 {
        let used = disk.capacity - disk.available;
        if self.high >= 100 || used.saturating_mul(100) / disk.capacity.max(1) < i64::from(self.high) {
            return 0;
        }
        (used - disk.capacity / 100 * i64::from(self.low)).max(0)
    }
}

pub(crate) fn start(agent: &Arc<Agent>) {
    let cleaner = agent.clone();
    agent.env.tasks.spawn("garbage", async move {
        loop {
            cleaner.env.clock.sleep(LOOK).await;
            images(&cleaner).await;
            if cleaner.pods.is_synced() {
                directories(&cleaner).await;
            }
        }
    });
}

async fn images(agent: &Agent) {
    let root = agent.images.root();
    let wanted = space(&root).map_or(0, |disk| agent.options.image_garbage.surplus(disk));
    if wanted == 0 {
        return;
    }
    let freed = unused_images(agent, wanted).await;
    if freed < wanted {
        let text = format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
        );
        agent.events.node(Kind::Warning, "FreeDiskSpaceFailed", text);
    }
}

/// Removes containers that have ended, but for the newest of each in pods that go on.
pub(crate) async fn dead_containers(agent: &Agent) {
    for object in agent.objects() {
        let Ok(pod) = serde_json::from_slice::<Pod>(&object) else { continue };
        let runtime = agent.view.pod(&PodRef::of(&pod).uid);
        let is_over = runtime.sandboxes.iter().all(|sandbox| !sandbox.ready);
        let newest = |status: &ContainerStatus| runtime.latest(&status.name).is_some_and(|own| own.id == status.id);
        let ended = runtime.containers.iter().filter(|status| status.state == ContainerState::Exited);
        for status in ended.filter(|status| is_over || !newest(status)) {
            if let Err(error) = stop::remove_container(agent, &status.id).await {
                warn!(container = status.id, %error, "cannot remove a container that has ended");
            }
        }
    }
}

/// Removes images that no pod uses until so many bytes are free; how many that made.
pub(crate) async fn unused_images(agent: &Agent, wanted: i64) -> i64 {
    let mut used: BTreeSet<String> =
        agent.view.containers().iter().flat_map(|status| [status.image.clone(), status.image_ref.clone()]).collect();
    used.extend(wanted_by_pods(agent).await);
    let mut freed = 0;
    for image in agent.images.list().await.unwrap_or_default() {
        let names = image.repo_tags.iter().chain(&image.repo_digests).chain([&image.id]);
        if freed >= wanted || names.into_iter().any(|name| used.contains(name)) {
            continue;
        }
        match agent.images.remove(&image.id).await {
            Ok(()) => {
                info!(image = image.id, "removed an unused image: the disk fills up");
                freed += i64::try_from(image.size).unwrap_or(i64::MAX);
            }
            Err(error) => warn!(image = image.id, %error, "cannot remove an unused image"),
        }
    }
    freed
}

/// The images that pods have as volumes or are about to run, by their ids.
async fn wanted_by_pods(agent: &Agent) -> Vec<String> {
    let mut ids = Vec::new();
    for object in agent.objects() {
        let Ok(pod) = serde_json::from_slice::<Pod>(&object) else { continue };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            continue;
        }
        let spec = spec::spec(&pod);
        let volumes = spec.volumes.iter().flatten();
        let mounted = volumes.filter_map(|volume| volume.image.as_ref()?.reference.clone());
        let run = spec::slots(&pod).into_iter().filter_map(|slot| spec::container(&pod, slot)?.image.clone());
        for name in mounted.chain(run) {
            ids.extend(agent.images.present(&name).await.ok().flatten().map(|image| image.id));
        }
    }
    ids
}

/// A pod whose worker is gone left its directory only if kutter was killed at the wrong time.
async fn directories(agent: &Agent) {
    let pods = agent.options.root_dir.join("pods");
    for entry in std::fs::read_dir(&pods).into_iter().flatten().flatten() {
        let Some(uid) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if agent.has_worker(&uid) || !agent.view.pod(&uid).is_empty() {
            continue;
        }
        if let Err(error) = volumes::tear_down(&agent.volumes, &entry.path()).await {
            warn!(uid, %error, "cannot remove the directory of a pod that is gone");
        }
    }
}
