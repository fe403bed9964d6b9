//! A container's environment: service variables, envFrom, env, in upstream's order and with its
//! rules for what is missing.

use crate::agent::Agent;
use crate::events::Kind;
use crate::expand::expand;
use crate::pod::PodRef;
use crate::services;
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource, Pod};
use std::collections::BTreeMap;
use std::net::IpAddr;
use volumes::fields;

/// Variables in the order they were made; a later one of the same name takes the earlier's place.
pub type Variables = Vec<(String, String)>;

/// What the pod learns at run time.
pub struct Addresses {
    pub pod: Vec<IpAddr>,
    pub host: Vec<IpAddr>,
}

/// The whole environment but the image's own.
///
/// # Errors
/// The message of CreateContainerConfigError.
pub async fn make(agent: &Agent, pod: &Pod, container: &Container, addresses: &Addresses) -> Result<Variables, String> {
    let pod_ref = PodRef::of(pod);
    let from = Builder { agent, pod, pod_ref: &pod_ref, container, addresses };
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let service = services::variables(&agent.services, &pod_ref.namespace, links);
    let mut result: BTreeMap<String, String> = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        from.env_from(source, &mut result).await?;
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        if let Some(value) = from.value(variable, &known, &service).await? {
            known.insert(variable.name.clone(), value.clone());
            result.insert(variable.name.clone(), value);
        }
    }
    // Services never hide what the user wrote.
    for (name, value) in service {
        result.entry(name).or_insert(value);
    }
    Ok(result.into_iter().collect())
}

struct Builder<'a> {
    agent: &'a Agent,
    pod: &'a Pod,
    pod_ref: &'a PodRef,
    container: &'a Container,
    addresses: &'a Addresses,
}

impl Builder<'_> {
    async fn env_from(&self, source: &EnvFromSource, result: &mut BTreeMap<String, String>) -> Result<(), String> {
        let sources = &self.agent.volumes.sources;
        let namespace = &self.pod_ref.namespace;
        let (kind, name, data) = if let Some(map) = &source.config_map_ref {
            let found = sources.config_map(namespace, &map.name).await.map_err(|error| error.to_string())?;
            let Some(found) = found else {
                return missing(map.optional, "configmap", &map.name);
            };
            ("configMap", &map.name, found.data.unwrap_or_default())
        } else if let Some(secret) = &source.secret_ref {
            let found = sources.secret(namespace, &secret.name).await.map_err(|error| error.to_string())?;
            let Some(found) = found else {
                return missing(secret.optional, "secret", &secret.name);
            };
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let data = found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value.0))).collect();
            ("secret", &secret.name, data)
        } else {
            return Ok(());
        };
        let prefix = source.prefix.as_deref().unwrap_or("");
        let mut invalid = Vec::new();
        for (key, value) in data {
            let key = format!("{prefix}{key}");
            if is_variable_name(&key) {
                result.insert(key, value);
            } else {
                invalid.push(key);
            }
        }
        if !invalid.is_empty() {
            let text = format!(
                "Keys [{}] from the EnvFrom {kind} {namespace}/{name} were skipped since they are considered invalid environment variable names.",
                invalid.join(", ")
            );
            self.agent.events.pod(self.pod_ref, None, Kind::Warning, "InvalidEnvironmentVariableNames", text);
        }
        Ok(())
    }

    /// None: optional and missing, so the variable is not set at all.
    async fn value(
        &self,
        variable: &EnvVar,
        known: &BTreeMap<String, String>,
        service: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        if let Some(value) = variable.value.as_deref().filter(|value| !value.is_empty()) {
            let lookup = |name: &str| known.get(name).or_else(|| service.get(name)).cloned();
            return Ok(Some(expand(value, &lookup)));
        }
        match &variable.value_from {
            None => Ok(Some(String::new())),
            Some(source) => self.value_from(source).await,
        }
    }

    async fn value_from(&self, source: &EnvVarSource) -> Result<Option<String>, String> {
        let sources = &self.agent.volumes.sources;
        let namespace = &self.pod_ref.namespace;
        if let Some(field) = &source.field_ref {
            return self.field(&field.field_path).map(Some);
        }
        if let Some(resource) = &source.resource_field_ref {
            let name = resource.container_name.as_deref().filter(|name| !name.is_empty());
            let name = name.unwrap_or(&self.container.name);
            let value = fields::resource_field(self.pod, name, resource, &self.agent.volumes.allocatable);
            return value.map(Some).map_err(|error| error.to_string());
        }
        if let Some(key) = &source.config_map_key_ref {
            let found = sources.config_map(namespace, &key.name).await.map_err(|error| error.to_string())?;
            let Some(found) = found else {
                return missing(key.optional, "configmap", &key.name).map(|()| None);
            };
            let value = found.data.unwrap_or_default().remove(&key.key);
            return required(value, key.optional, || {
                format!("couldn't find key {} in ConfigMap {namespace}/{}", key.key, key.name)
            });
        }
        if let Some(key) = &source.secret_key_ref {
            let found = sources.secret(namespace, &key.name).await.map_err(|error| error.to_string())?;
            let Some(found) = found else {
                return missing(key.optional, "secret", &key.name).map(|()| None);
            };
            let value = found.data.unwrap_or_default().remove(&key.key);
            let value = value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
            return required(value, key.optional, || {
                format!("couldn't find key {} in Secret {namespace}/{}", key.key, key.name)
            });
        }
        Err("this source of an environment variable is not supported by this node".to_owned())
    }

    fn field(&self, path: &str) -> Result<String, String> {
        let spec = self.pod.spec.as_ref();
        let join = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let first = |addresses: &[IpAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
        match path {
            "spec.nodeName" => Ok(self.agent.options.node_name.clone()),
            "spec.serviceAccountName" => {
                Ok(spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default())
            }
            "status.hostIP" => Ok(first(&self.addresses.host)),
            "status.hostIPs" => Ok(join(&self.addresses.host)),
            "status.podIP" => Ok(first(&self.addresses.pod)),
            "status.podIPs" => Ok(join(&self.addresses.pod)),
            _ => fields::pod_field(self.pod, path).map_err(|error| error.to_string()),
        }
    }
}

fn missing(optional: Option<bool>, kind: &str, name: &str) -> Result<(), String> {
    if optional == Some(true) { Ok(()) } else { Err(format!("{kind} {name:?} not found")) }
}

fn required(
    value: Option<String>,
    optional: Option<bool>,
    message: impl FnOnce() -> String,
) -> Result<Option<String>, String> {
    match value {
        None if optional != Some(true) => Err(message()),
        value => Ok(value),
    }
}

/// Any printable ASCII but `=` (upstream since 1.30).
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=')
}
