//! ServiceAccount: every pod runs as an account that exists, with a token of it mounted where the
//! account or the pod does not forbid that.

use crate::paths::{CONTAINER_LISTS, annotation, at, containers, items, items_mut, slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::{Value, json};
use std::sync::Arc;

const DEFAULT_ACCOUNT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour and a little: the API server knows by this number that nobody chose it.
const TOKEN_SECONDS: i64 = 3607;

pub(crate) fn build(setup: &Setup) -> Box<dyn Plugin> {
    Box::new(ServiceAccount { rng: setup.rng.clone() })
}

struct ServiceAccount {
    rng: base::Rng,
}

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let creates_pod = request.operation == Operation::Create && request.is("", "pods");
        // The copy of a static pod must stay what the kubelet runs.
        if !creates_pod || annotation(&request.object, MIRROR).is_some() || !request.object["spec"].is_object() {
            return Ok(());
        }
        if text(&request.object, &["spec", "serviceAccountName"]).is_empty() {
            // Clients of long ago knew the field by another name; the API keeps the two equal.
            let old_name = text(&request.object, &["spec", "serviceAccount"]);
            let name = if old_name.is_empty() { DEFAULT_ACCOUNT } else { old_name }.to_owned();
            for field in ["serviceAccountName", "serviceAccount"] {
                if let Some(place) = slot(&mut request.object, &["spec", field]) {
                    *place = json!(name);
                }
            }
        }
        let account = account_of(request, lookup)?;
        if mounts_token(&account, &request.object) {
            mount_token(&mut request.object, || format!("{VOLUME_PREFIX}{}", self.rng.name_suffix(5)));
        }
        let secrets = items(&account, &["imagePullSecrets"]);
        if items(&request.object, &["spec", "imagePullSecrets"]).is_empty()
            && !secrets.is_empty()
            && let Some(place) = slot(&mut request.object, &["spec", "imagePullSecrets"])
        {
            *place = Value::Array(secrets.to_vec());
        }
        Ok(())
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let debugs = request.operation == Operation::Update && request.is("", "pods/ephemeralcontainers");
        if !(request.operation == Operation::Create && request.is("", "pods") || debugs) {
            return Ok(());
        }
        if annotation(&request.object, MIRROR).is_some() {
            return mirror(request);
        }
        let account = account_of(request, lookup)?;
        if annotation(&account, ENFORCE_SECRETS) == Some("true") {
            only_listed_secrets(request, &account)?;
        }
        Ok(())
    }
}

fn account_of(request: &Attributes<'_>, lookup: &dyn Lookup) -> Result<Arc<Value>, Status> {
    let (namespace, name) = (request.namespace, text(&request.object, &["spec", "serviceAccountName"]));
    lookup.get("", "serviceaccounts", namespace, name).ok_or_else(|| {
        request.forbid(&format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        ))
    })
}

/// The pod's word counts before the account's; silence means yes.
fn mounts_token(account: &Value, pod: &Value) -> bool {
    let of_pod = at(pod, &["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
    let of_account = at(account, &["automountServiceAccountToken"]).and_then(Value::as_bool);
    of_pod.or(of_account).unwrap_or(true)
}

fn mount_token(pod: &mut Value, new_name: impl FnOnce() -> String) {
    let volumes = items(pod, &["spec", "volumes"]);
    let known = volumes.iter().map(|volume| text(volume, &["name"])).find(|name| name.starts_with(VOLUME_PREFIX));
    let (name, has_volume) = known.map_or_else(|| (new_name(), false), |name| (name.to_owned(), true));
    let mut needed = false;
    for list in &CONTAINER_LISTS[..2] {
        let Some(containers) = pod["spec"].get_mut(*list).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter(|container| container.is_object()) {
            let mounted = items(container, &["volumeMounts"]);
            if mounted.iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            if let Some(mounts) = items_mut(container, &["volumeMounts"]) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
                needed = true;
            }
        }
    }
    if !needed || has_volume {
        return;
    }
    if let Some(volumes) = items_mut(pod, &["spec", "volumes"]) {
        volumes.push(json!({"name": name, "projected": token_source()}));
    }
}

/// Token, authority and namespace, as client libraries look for them.
fn token_source() -> Value {
    json!({
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ],
        "defaultMode": 0o644,
    })
}

/// A kubelet that could name accounts and secrets in its static pods could read them all.
fn mirror(request: &Attributes<'_>) -> Result<(), Status> {
    let spec = &request.object["spec"];
    if !text(spec, &["serviceAccountName"]).is_empty() {
        return Err(request.forbid("a mirror pod may not reference service accounts"));
    }
    if !secret_names(spec).is_empty() {
        return Err(request.forbid("a mirror pod may not reference secrets"));
    }
    let sources = items(spec, &["volumes"]).iter().flat_map(|volume| items(volume, &["projected", "sources"]));
    if sources.into_iter().any(|source| at(source, &["serviceAccountToken"]).is_some()) {
        return Err(request.forbid("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn secret_names(spec: &Value) -> Vec<&str> {
    let volumes = items(spec, &["volumes"]).iter().map(|volume| text(volume, &["secret", "secretName"]));
    let pulls = items(spec, &["imagePullSecrets"]).iter().map(|secret| text(secret, &["name"]));
    let envs = containers(spec).flat_map(|container| {
        let keys = items(container, &["env"]).iter().map(|env| text(env, &["valueFrom", "secretKeyRef", "name"]));
        keys.chain(items(container, &["envFrom"]).iter().map(|source| text(source, &["secretRef", "name"])))
    });
    volumes.chain(pulls).chain(envs).filter(|name| !name.is_empty()).collect()
}

/// The old annotation by which an account names all secrets its pods may use.
fn only_listed_secrets(request: &Attributes<'_>, account: &Value) -> Result<(), Status> {
    let spec = &request.object["spec"];
    let account_name = text(account, &["metadata", "name"]);
    let listed = |list: &str, name: &str| items(account, &[list]).iter().any(|secret| secret["name"] == name);
    for volume in items(spec, &["volumes"]) {
        let name = text(volume, &["secret", "secretName"]);
        if !name.is_empty() && !listed("secrets", name) {
            return Err(request.forbid(&format!(
                "volume with secret.secretName=\"{name}\" is not allowed because service account {account_name} does not \
                 reference that secret"
            )));
        }
    }
    for list in CONTAINER_LISTS {
        let what = match list {
            "initContainers" => "init container",
            "containers" => "container",
            _ => "ephemeral container",
        };
        for container in items(spec, &[list]) {
            let (own, refused) = (text(container, &["name"]), "does not reference that secret");
            for env in items(container, &["env"]) {
                let secret = text(env, &["valueFrom", "secretKeyRef", "name"]);
                if !secret.is_empty() && !listed("secrets", secret) {
                    let env = text(env, &["name"]);
                    return Err(request.forbid(&format!(
                        "{what} {own} with envVar {env} referencing secret.secretName=\"{secret}\" is not allowed because \
                         service account {account_name} {refused}"
                    )));
                }
            }
            for source in items(container, &["envFrom"]) {
                let secret = text(source, &["secretRef", "name"]);
                if !secret.is_empty() && !listed("secrets", secret) {
                    return Err(request.forbid(&format!(
                        "{what} {own} with envFrom referencing secret.secretName=\"{secret}\" is not allowed because \
                         service account {account_name} {refused}"
                    )));
                }
            }
        }
    }
    for (index, pull) in items(spec, &["imagePullSecrets"]).iter().enumerate() {
        let name = text(pull, &["name"]);
        if !listed("imagePullSecrets", name) {
            return Err(request.forbid(&format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {account_name} does not \
                 reference that imagePullSecret"
            )));
        }
    }
    Ok(())
}
