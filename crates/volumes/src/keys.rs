//! The keys of a ConfigMap or Secret as files: all of them, or those that are named, at the paths
//! they are given.

use crate::atomic_writer::{File, Payload};
use crate::{Request, VolumeError};
use k8s_openapi::api::core::v1::KeyToPath;
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        }
    }

    /// What upstream calls it where a key is missing.
    fn short_name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "config",
            Kind::Secret => "secret",
        }
    }

    async fn data(self, request: &Request<'_>, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, VolumeError> {
        let namespace = request.pod.metadata.namespace.as_deref().unwrap_or("");
        let sources = &request.context.sources;
        Ok(match self {
            Kind::ConfigMap => sources.config_map(namespace, name).await?.map(|map| {
                let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
                let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
                text.chain(binary).collect()
            }),
            Kind::Secret => sources
                .secret(namespace, name)
                .await?
                .map(|secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()),
        })
    }
}

/// Which keys of which object.
pub(crate) struct Keys<'a> {
    pub kind: Kind,
    pub name: &'a str,
    pub items: Option<&'a [KeyToPath]>,
    pub optional: Option<bool>,
    pub mode: u32,
}

impl Keys<'_> {
    /// # Errors
    /// The object or a key is missing and not optional, or the API server cannot be asked.
    pub async fn payload(&self, request: &Request<'_>) -> Result<Payload, VolumeError> {
        match self.kind.data(request, self.name).await? {
            Some(data) => self.choose(&data),
            None if self.optional == Some(true) => Ok(Payload::new()),
            None => Err(VolumeError::NotFound { kind: self.kind.name(), name: self.name.to_owned() }),
        }
    }

    fn choose(&self, data: &BTreeMap<String, Vec<u8>>) -> Result<Payload, VolumeError> {
        let file = |content: &Vec<u8>, mode, user| File { content: content.clone(), mode, user };
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            return Ok(data.iter().map(|(key, content)| (key.clone(), file(content, self.mode, None))).collect());
        };
        let mut files = Payload::new();
        for item in items {
            match data.get(&item.key) {
                Some(content) => {
                    let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(self.mode);
                    let user = item.user.and_then(|user| u32::try_from(user).ok());
                    files.insert(item.path.clone(), file(content, mode, user));
                }
                None if self.optional == Some(true) => {}
                None => {
                    return Err(VolumeError::NoSuchKey { kind: self.kind.short_name(), key: item.key.clone() });
                }
            }
        }
        Ok(files)
    }
}
