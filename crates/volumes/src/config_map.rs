//! configMap: the keys of a ConfigMap as files.

use crate::atomic_writer::{File, Payload};
use crate::mounts::BoxFuture;
use crate::projected::{mode_of, place};
use crate::{Mounted, Request, VolumeError, VolumeType};
use k8s_openapi::api::core::v1::{KeyToPath, Volume};
use std::collections::BTreeMap;

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
            let optional = source.optional.unwrap_or(false);
            let mode = mode_of(source.default_mode);
            let files = payload(request, &source.name, source.items.as_deref(), optional, mode).await?;
            // Not on tmpfs: upstream keeps these on the node's disk too.
            place(request, files, false).await
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
    let Some(object) = request.context.sources.config_map(namespace, name).await? else {
        return if optional {
            Ok(Payload::new())
        } else {
            Err(VolumeError::NotFound { kind: "configmap", name: name.to_owned() })
        };
    };
    let text = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let binary = object.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    choose("config", text.chain(binary).collect(), items, optional, mode)
}

/// All keys, or those that `items` names at the paths it gives.
pub(crate) fn choose(
    kind: &'static str,
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: u32,
) -> Result<Payload, VolumeError> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.into_iter().map(|(key, content)| (key, File { content, mode, user: None })).collect());
    };
    let mut files = Payload::new();
    for item in items {
        match data.remove(&item.key).or_else(|| files_at(&files, items, &item.key)) {
            Some(content) => {
                let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(mode);
                let user = item.user.and_then(|user| u32::try_from(user).ok());
                files.insert(item.path.clone(), File { content, mode, user });
            }
            None if optional => {}
            None => return Err(VolumeError::NoSuchKey { kind, key: item.key.clone() }),
        }
    }
    Ok(files)
}

/// The content of a key that an earlier item has taken already.
fn files_at(files: &Payload, items: &[KeyToPath], key: &str) -> Option<Vec<u8>> {
    let earlier = items.iter().find(|item| item.key == key && files.contains_key(&item.path))?;
    files.get(&earlier.path).map(|file| file.content.clone())
}
