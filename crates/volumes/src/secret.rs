//! secret: the keys of a Secret as files, in memory so that they never reach a disk.

use crate::atomic_writer::Payload;
use crate::config_map::choose;
use crate::mounts::BoxFuture;
use crate::projected::{mode_of, place};
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::{KeyToPath, Volume};

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
            let optional = source.optional.unwrap_or(false);
            let mode = mode_of(source.default_mode);
            let files = payload(request, name, source.items.as_deref(), optional, mode).await?;
            place(request, files, true).await
        })
    }
}

pub(crate) async fn payload(
    request: &Request<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: u32,
) -> Result<Payload, VolumeError> {
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or("");
    let Some(object) = request.context.sources.secret(namespace, name).await? else {
        return if optional {
            Ok(Payload::new())
        } else {
            Err(VolumeError::NotFound { kind: "secret", name: name.to_owned() })
        };
    };
    let data = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    choose("secret", data.collect(), items, optional, mode)
}
