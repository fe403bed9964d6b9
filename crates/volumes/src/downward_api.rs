//! downwardAPI: fields of the pod itself as files.

use crate::atomic_writer::{File, Payload};
use crate::mounts::BoxFuture;
use crate::projected::{mode_of, place};
use crate::{Mounted, Request, VolumeError, VolumeType, fields};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Volume};

pub struct DownwardApi;

impl VolumeType for DownwardApi {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~downward-api"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.downward_api.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let source = request.volume.downward_api.clone().unwrap_or_default();
            let files = payload(request, source.items.as_deref().unwrap_or(&[]), mode_of(source.default_mode))?;
            place(request, files, true).await
        })
    }
}

pub(crate) fn payload(
    request: &Request<'_>,
    items: &[DownwardAPIVolumeFile],
    mode: u32,
) -> Result<Payload, VolumeError> {
    let mut files = Payload::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            fields::pod_field(request.pod, &field.field_path)?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or("");
            fields::resource_field(request.pod, name, resource, &request.context.allocatable)?
        } else {
            continue;
        };
        let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(mode);
        let user = item.user.and_then(|user| u32::try_from(user).ok());
        files.insert(item.path.clone(), File { content: text.into_bytes(), mode, user });
    }
    Ok(files)
}
