//! secret: the keys of a Secret as files, in memory so that they never reach a disk.

use crate::keys::{Keys, Kind};
use crate::mounts::BoxFuture;
use crate::projected::{mode_of, place};
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::Volume;

pub struct SecretVolume;

impl VolumeType for SecretVolume {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~secret"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.secret.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let source = request.volume.secret.clone().unwrap_or_default();
            let name = source.secret_name.as_deref().unwrap_or("");
            let (items, mode) = (source.items.as_deref(), mode_of(source.default_mode));
            let keys = Keys { kind: Kind::Secret, name, items, optional: source.optional, mode };
            place(request, keys.payload(request).await?, true).await
        })
    }
}
