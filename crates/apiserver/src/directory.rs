//! Authentication's view of stored objects: straight from memory. What it says of a token's use goes
//! to [`Uses`], which somebody else writes down.

use crate::object::Object;
use crate::resources::Resources;
use crate::token_use::Uses;
use auth::authn::{Directory, Found, SecretData};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Known {
    pub resources: Arc<Resources>,
    pub uses: Arc<Uses>,
}

impl Known {
    fn value(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = self.resources.find("", "v1", resource)?;
        resource.collection.as_ref()?.get(&Object::key(namespace, name))?.value().ok()
    }
}

impl Directory for Known {
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Found> {
        let object = self.value(resource, namespace, name)?;
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Found { uid, deletion: deletion(&object) })
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<SecretData> {
        self.value("secrets", namespace, name).map(|secret| secret_data(&secret))
    }

    fn bootstrap_secrets(&self) -> Vec<SecretData> {
        let secrets = self.resources.find("", "v1", "secrets").and_then(|resource| resource.collection.clone());
        let Some(collection) = secrets else { return Vec::new() };
        let (objects, _) = collection.snapshot();
        objects
            .values()
            .filter(|secret| {
                secret.index.namespace == "kube-system"
                    && secret.index.name.starts_with(auth::authn::bootstrap_token::SECRET_PREFIX)
            })
            .filter_map(|secret| secret.value().ok().map(|value| secret_data(&value)))
            .filter(|secret| secret.kind == auth::authn::bootstrap_token::SECRET_TYPE)
            .collect()
    }

    fn used(&self, namespace: &str, secret: &str, day: &str) {
        self.uses.note(namespace, secret, day);
    }
}

fn secret_data(secret: &Value) -> SecretData {
    let text = |path: &str| secret.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let data = secret.get("data").and_then(Value::as_object);
    let data = data.into_iter().flatten().filter_map(|(key, value)| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?;
        Some((key.clone(), bytes))
    });
    let labels = secret.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let (uid, kind) = (text("/metadata/uid"), text("/type"));
    SecretData { uid, kind, deletion: deletion(secret), labels, data: data.collect() }
}

fn deletion(object: &Value) -> Option<Timestamp> {
    object.pointer("/metadata/deletionTimestamp")?.as_str()?.parse().ok()
}
