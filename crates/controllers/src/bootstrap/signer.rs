//! Keeps the signatures in `kube-public/cluster-info` those of the tokens that may sign.

use super::{Secret, jws, tokens};
use crate::action::{Action, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key, Selection};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const SIGNER: Def = Def {
    name: "bootstrap-signer-controller",
    identity: "bootstrap-signer",
    component: "bootstrap-signer",
    workers: 1,
    retry: RETRY,
    build,
};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const PREFIX: &str = "jws-kubeconfig-";

struct Signer {
    tokens: Arc<Cache<()>>,
    description: Arc<Cache<()>>,
}

/// There is one key: the description.
fn build(rig: &Rig) -> Box<dyn Room> {
    let tokens = rig.cache_of::<()>(tokens());
    let only = Selection::all(resource::CONFIG_MAPS).namespace(NAMESPACE).fields(format!("metadata.name={NAME}"));
    let description = rig.cache_of::<()>(only);
    rig.on(&tokens, |_, queue| queue.add(Key::new(NAMESPACE, NAME)));
    rig.on(&description, |_, queue| queue.add(Key::new(NAMESPACE, NAME)));
    Box::new(Signer { tokens, description })
}

impl Room for Signer {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.description.get_key(key) else { return Ok(Plan::nothing()) };
        let description: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let Some(content) = description["data"]["kubeconfig"].as_str() else { return Ok(Plan::nothing()) };
        let mut signatures = BTreeMap::new();
        for token in self.tokens.list() {
            let secret: Secret = token.decode().map_err(|why| RoomError::Decode { key: token.key.clone(), why })?;
            if let Some((id, text)) = signing_token(&secret, now) {
                signatures.insert(format!("{PREFIX}{id}"), jws::sign(content, &id, &text));
            }
        }
        let mut data = json!({});
        for (name, value) in description["data"].as_object().into_iter().flatten() {
            if name.starts_with(PREFIX) && signatures.get(name).map(String::as_str) != value.as_str() {
                data[name] = Value::Null;
            }
        }
        for (name, signature) in signatures {
            if description["data"][&name] != signature.as_str() {
                data[name] = json!(signature);
            }
        }
        if data.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(Plan::nothing());
        }
        let body = json!({"metadata": {"resourceVersion": item.meta.resource_version}, "data": data});
        Ok(Plan::of(vec![Action::Patch(Patch::merge(&resource::CONFIG_MAPS, key, body))]))
    }
}

/// Id and secret of a token that may sign; the Secret must be named after its id.
fn signing_token(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let (id, text) = (secret.text("token-id")?, secret.text("token-secret")?);
    let named = secret.metadata.name == format!("bootstrap-token-{id}");
    let may = secret.text("usage-bootstrap-signing").as_deref() == Some("true");
    (named && may && !text.is_empty() && !secret.is_over(now)).then_some((id, text))
}
