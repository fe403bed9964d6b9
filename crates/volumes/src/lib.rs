//! Volumes of a pod: one type a file, prepared and torn down by the kubelet.
//!
//! A type turns a volume of a pod's spec into a directory or file on the node that containers can
//! mount, keeps its content current each time it is asked again, and takes it away afterwards. It
//! never talks to the runtime and never decides when: the pod's worker does.

mod atomic_writer;
mod certificate_key;
mod config_map;
mod downward_api;
mod empty_dir;
mod error;
pub mod fields;
mod host_path;
mod image;
mod keys;
pub mod mounts;
mod ownership;
mod pem;
mod pod_certificates;
mod projected;
mod secret;
pub mod sources;
pub mod subpath;
mod tokens;
mod trust_bundle;

pub use error::VolumeError;
pub use mounts::{BoxFuture, HostMounts, Mounts};
pub use pod_certificates::{CertificateRequest, Credentials};
pub use sources::{ApiSources, Sources};
pub use trust_bundle::Bundles;

use k8s_openapi::api::core::v1::{Pod, Volume};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every volume type this node can set up.
pub const ALL: &[&dyn VolumeType] = &[
    &empty_dir::EmptyDir,
    &host_path::HostPath,
    &config_map::ConfigMapVolume,
    &secret::SecretVolume,
    &downward_api::DownwardApi,
    &projected::Projected,
    &image::ImageVolume,
];

/// What volumes need of the world; one per node.
#[derive(Clone)]
pub struct Context {
    pub env: base::Env,
    pub sources: Arc<dyn Sources>,
    pub mounts: Arc<dyn Mounts>,
    /// What a container without limits may use, for `limits.*` of the downward API.
    pub allocatable: Arc<fields::Allocatable>,
}

/// One volume of one pod.
pub struct Request<'a> {
    pub pod: &'a Pod,
    pub volume: &'a Volume,
    /// The volume's own directory, below the pod's.
    pub directory: PathBuf,
    /// Group that owns the volume, and whether a right root ends the walk (OnRootMismatch).
    pub fs_group: Option<u32>,
    pub only_on_mismatch: bool,
    /// Of an image volume, topmost first; empty for all others.
    pub layers: &'a [PathBuf],
    pub context: &'a Context,
}

/// A volume that containers can mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    pub path: PathBuf,
    /// Whether containers may write to it at all.
    pub read_only: bool,
}

/// A kind of volume.
pub trait VolumeType: Sync {
    /// Names the directory of its volumes, as upstream: `kubernetes.io~configmap`.
    fn directory_name(&self) -> &'static str;

    fn matches(&self, volume: &Volume) -> bool;

    /// Prepares the volume, or brings its content up to date. Safe to repeat.
    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>>;
}

/// The type of a volume; None where this node has none for it.
pub fn type_of(volume: &Volume) -> Option<&'static dyn VolumeType> {
    ALL.iter().copied().find(|kind| kind.matches(volume))
}

/// Where a pod's volume lives.
pub fn directory(pod_directory: &Path, kind: &dyn VolumeType, volume: &str) -> PathBuf {
    pod_directory.join("volumes").join(kind.directory_name()).join(volume)
}

/// Takes away all volumes of a pod, whatever their types: its mounts first, then the files. The
/// content of what was mounted from elsewhere stays.
///
/// # Errors
/// A mount that cannot be undone leaves everything in place, so that nothing of the host's is
/// removed through it.
pub async fn tear_down(context: &Context, pod_directory: &Path) -> Result<(), VolumeError> {
    for mount in context.mounts.below(pod_directory).await?.into_iter().rev() {
        context.mounts.unmount(&mount).await?;
    }
    let directory = pod_directory.to_owned();
    let removed = context.env.tasks.spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(VolumeError::io("remove", &directory, error)),
        _ => Ok(()),
    });
    removed.await.map_err(|error| VolumeError::Other(error.to_string()))?
}

#[cfg(test)]
mod tests;
