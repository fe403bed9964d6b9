//! configMap: the keys of a ConfigMap as files.

use crate::keys::{Keys, Kind};
use crate::mounts::BoxFuture;
use crate::projected::{mode_of, place};
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::Volume;

pub struct ConfigMapVolume;

impl VolumeType for ConfigMapVolume {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~configmap"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.config_map.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let source = request.volume.config_map.clone().unwrap_or_default();
            let (items, mode) = (source.items.as_deref(), mode_of(source.default_mode));
            let keys = Keys { kind: Kind::ConfigMap, name: &source.name, items, optional: source.optional, mode };
            // Not on tmpfs: upstream keeps these on the node's disk too.
            place(request, keys.payload(request).await?, false).await
        })
    }
}
