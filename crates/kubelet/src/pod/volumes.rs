//! A pod's volumes: all that its containers mount, set up before they start and kept current. Those
//! made of images wait for the start of a container that mounts them, as its own image does.

use super::spec::{self, PodRef, Slot};
use crate::agent::Agent;
use crate::pull::Waiting;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use volumes::{Mounted, Request, VolumeError};

/// By name.
pub type PodVolumes = BTreeMap<String, Mounted>;

/// What could not be set up, by volume.
pub type Failures = Vec<(String, VolumeError)>;

/// How the volumes of a pod stand.
#[derive(Default)]
pub struct Standing {
    pub ready: PodVolumes,
    /// Not there at all.
    pub failures: Failures,
    /// There, with what they held before; what they should hold cannot be had.
    pub stale: Failures,
}

/// Sets up what is missing and brings the rest up to date.
pub async fn set_up(agent: &Agent, pod: &Pod) -> Standing {
    let used = used_volumes(pod);
    let mut standing = Standing::default();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        if volume.image.is_some() || !used.contains(volume.name.as_str()) {
            continue;
        }
        match set_up_one(agent, pod, volume, &[]).await {
            Ok(mounted) => {
                standing.ready.insert(volume.name.clone(), mounted);
            }
            Err(error) => match before(agent, pod, volume) {
                Some(mounted) => {
                    standing.ready.insert(volume.name.clone(), mounted);
                    standing.stale.push((volume.name.clone(), error));
                }
                None => standing.failures.push((volume.name.clone(), error)),
            },
        }
    }
    standing
}

/// A volume of files as it was set up earlier: its pod goes on when its source is deleted.
fn before(agent: &Agent, pod: &Pod, volume: &Volume) -> Option<Mounted> {
    let kind = volumes::type_of(volume)?;
    let path = volumes::directory(&agent.pod_directory(&PodRef::of(pod).uid), kind, &volume.name);
    path.join("..data").exists().then_some(Mounted { path, read_only: true })
}

/// Images as volumes of one container.
#[derive(Default)]
pub struct Images {
    pub ready: PodVolumes,
    /// Of each of them.
    pub layers: Vec<Vec<PathBuf>>,
}

/// The images that a container mounts, pulled by their own policies.
///
/// # Errors
/// What the container waits for.
pub async fn set_up_images(agent: &Agent, pod: &Pod, slot: Slot, container: &Container) -> Result<Images, Waiting> {
    let mounts = |name: &str| container.volume_mounts.iter().flatten().any(|mount| mount.name == name);
    let mut images = Images::default();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some(source) = volume.image.as_ref().filter(|_| mounts(&volume.name)) else { continue };
        let image = agent.puller.ensure_volume(agent, pod, slot, container, source).await?;
        let mounted = set_up_one(agent, pod, volume, &image.layers).await.map_err(|error| {
            Waiting::new("CreateContainerError", format!("failed to mount image volume {:?}: {error}", volume.name))
        })?;
        images.ready.insert(volume.name.clone(), mounted);
        images.layers.push(image.layers);
    }
    Ok(images)
}

async fn set_up_one(agent: &Agent, pod: &Pod, volume: &Volume, layers: &[PathBuf]) -> Result<Mounted, VolumeError> {
    let Some(kind) = volumes::type_of(volume) else {
        let text = format!("{} volumes are not supported by this node", kind_name(volume));
        return Err(VolumeError::Other(text));
    };
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
    let request = Request {
        pod,
        volume,
        directory: volumes::directory(&agent.pod_directory(&PodRef::of(pod).uid), kind, &volume.name),
        fs_group: context.and_then(|context| context.fs_group).and_then(|group| u32::try_from(group).ok()),
        only_on_mismatch: policy == Some("OnRootMismatch"),
        layers,
        context: &agent.volumes,
    };
    kind.set_up(&request).await
}

fn used_volumes(pod: &Pod) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for slot in spec::slots(pod) {
        let Some(container) = spec::container(pod, slot) else { continue };
        used.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.clone()));
        used.extend(container.volume_devices.iter().flatten().map(|device| device.name.clone()));
    }
    used
}

/// The name of the source field, as the user wrote it.
fn kind_name(volume: &Volume) -> String {
    let json = serde_json::to_value(volume).unwrap_or_default();
    let fields = json.as_object().into_iter().flat_map(|fields| fields.keys());
    fields.into_iter().find(|field| *field != "name").cloned().unwrap_or_else(|| "these".to_owned())
}

/// Takes the volumes away, once no container uses them.
pub async fn tear_down(agent: &Agent, uid: &str) -> Result<(), VolumeError> {
    let directory = agent.pod_directory(uid);
    for part in ["volume-subpaths", "volumes"] {
        volumes::tear_down(&agent.volumes, &directory.join(part)).await?;
    }
    Ok(())
}
