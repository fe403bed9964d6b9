//! image: the files of an image, for reading alone, never to be run.
//!
//! The kubelet pulls the image, as it does those of containers, and hands over its layers.

use crate::mounts::BoxFuture;
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::Volume;

pub struct ImageVolume;

impl VolumeType for ImageVolume {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~image"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.image.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let directory = &request.directory;
            let mounts = &request.context.mounts;
            let mounted = Mounted { path: directory.clone(), read_only: true };
            if !mounts.below(directory).await?.is_empty() {
                return Ok(mounted);
            }
            // A single layer is no overlay to the kernel: an empty one below makes it two.
            let empty = directory.with_extension("empty");
            for path in [directory, &empty] {
                std::fs::create_dir_all(path).map_err(|error| VolumeError::io("create", path, error))?;
            }
            let mut layers = request.layers.to_vec();
            layers.push(empty);
            mounts.layers(&layers, directory).await?;
            Ok(mounted)
        })
    }
}
