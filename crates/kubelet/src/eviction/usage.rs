//! What a pod takes of the node, read when it is needed.

use crate::agent::Agent;
use crate::pod::{PodRef, spec};
use container::disk_usage;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    pub bytes: i64,
    pub files: i64,
}

impl Add for Disk {
    type Output = Disk;

    fn add(self, other: Disk) -> Disk {
        Disk { bytes: self.bytes.saturating_add(other.bytes), files: self.files.saturating_add(other.files) }
    }
}

impl Sum for Disk {
    fn sum<I: Iterator<Item = Disk>>(all: I) -> Disk {
        all.fold(Disk::default(), Add::add)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodUsage {
    /// The working set, in bytes.
    pub memory: i64,
    /// How many processes.
    pub pids: i64,
    pub containers: Vec<ContainerUsage>,
    /// The emptyDirs that are on the disk.
    pub volumes: BTreeMap<String, Disk>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    pub name: String,
    pub memory: i64,
    /// What it wrote over its image.
    pub root: Disk,
    pub logs: Disk,
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What cannot be read counts as nothing.
pub(super) async fn measure(agent: &Agent, pod: &Pod) -> PodUsage {
    let pod_ref = PodRef::of(pod);
    let runtime = agent.view.pod(&pod_ref.uid);
    let mut usage = PodUsage::default();
    if let Some(sandbox) = runtime.sandboxes.first()
        && let Ok(stats) = agent.runtime.sandbox_stats(&sandbox.id).await
    {
        (usage.memory, usage.pids) = (number(stats.memory_working_set_bytes), number(stats.pids));
    }
    let logs = agent.log_directory(&pod_ref);
    for status in runtime.running() {
        let stats = agent.runtime.stats(&status.id).await.unwrap_or_default();
        usage.containers.push(ContainerUsage {
            name: status.name.clone(),
            memory: number(stats.memory_working_set_bytes),
            root: Disk { bytes: number(stats.rootfs_used_bytes), files: number(stats.rootfs_used_inodes) },
            logs: disk(agent, logs.join(&status.name)).await,
        });
    }
    for volume in spec::spec(pod).volumes.iter().flatten() {
        let Some(source) = &volume.empty_dir else { continue };
        let Some(kind) = volumes::type_of(volume) else { continue };
        if source.medium.as_deref().unwrap_or("").is_empty() {
            let path = volumes::directory(&agent.pod_directory(&pod_ref.uid), kind, &volume.name);
            usage.volumes.insert(volume.name.clone(), disk(agent, path).await);
        }
    }
    usage
}

async fn disk(agent: &Agent, path: PathBuf) -> Disk {
    let counted = agent.env.tasks.spawn_blocking(move || disk_usage(&path)).await;
    let (bytes, files) = counted.unwrap_or_default();
    Disk { bytes: number(bytes), files: number(files) }
}
