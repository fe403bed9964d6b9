//! emptyDir: a directory of the pod's own, on the node's disk or in memory.

use crate::mounts::BoxFuture;
use crate::ownership::give_to_group;
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume};
use meta::Quantity;
use std::os::unix::fs::PermissionsExt;

pub struct EmptyDir;

/// Everyone may write, as upstream has it.
const MODE: u32 = 0o777;

impl VolumeType for EmptyDir {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~empty-dir"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.empty_dir.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(set_up(request))
    }
}

async fn set_up(request: &Request<'_>) -> Result<Mounted, VolumeError> {
    let directory = &request.directory;
    let mounts = &request.context.mounts;
    let source = request.volume.empty_dir.clone().unwrap_or_default();
    let mounted = Mounted { path: directory.clone(), read_only: false };
    let in_memory = match source.medium.as_deref().unwrap_or("") {
        "" => false,
        "Memory" => true,
        medium => return Err(VolumeError::Other(format!("unknown storage medium {medium:?}"))),
    };
    let ready =
        if in_memory { !mounts.below(directory).await?.is_empty() } else { directory.with_extension("ready").exists() };
    if ready {
        return Ok(mounted);
    }
    std::fs::create_dir_all(directory).map_err(|error| VolumeError::io("create", directory, error))?;
    if in_memory {
        mounts.tmpfs(directory, memory_size(request, &source)).await?;
    }
    let mode = source.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(MODE);
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode))
        .map_err(|error| VolumeError::io("change the mode of", directory, error))?;
    if let Some(group) = request.fs_group {
        give_to_group(directory, group, false, request.only_on_mismatch)?;
    }
    if !in_memory {
        // Beside the directory, so that containers never see it; the name of a volume has no dot.
        let marker = directory.with_extension("ready");
        std::fs::write(&marker, "").map_err(|error| VolumeError::io("write", &marker, error))?;
    }
    Ok(mounted)
}

/// The least of the volume's limit, the pod's memory limit and what the node can give.
fn memory_size(request: &Request<'_>, source: &EmptyDirVolumeSource) -> Option<u64> {
    let limit = source.size_limit.as_ref().and_then(|limit| limit.0.parse::<Quantity>().ok());
    let limit = limit.filter(|limit| !limit.is_zero());
    let node = request.context.allocatable.memory();
    let pod = crate::fields::pod_memory_limit(request.pod);
    let least = [limit, Some(node), pod].into_iter().flatten().filter(|amount| !amount.is_zero()).min()?;
    u64::try_from(least.value()).ok()
}
