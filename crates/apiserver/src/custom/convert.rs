//! Conversion of custom resources by their definition's webhook: between the version that objects are
//! stored as and the others.
//!
//! What a webhook converted is kept beside the object, so each object is sent once for each version.
//! A list is sent in one piece.

use crate::connect::endpoint;
use crate::object::Object;
use crate::resources::Resource;
use crate::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::webhook::Destination;
use meta::Status;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strategy::custom::Definition;

/// Upstream's bound for a conversion.
const LIMIT: Duration = Duration::from_secs(30);
const REVIEW: [&str; 2] = ["v1", "v1beta1"];

/// Where a definition has its objects converted.
pub struct Converter {
    url: String,
    /// Namespace, name and port, where it is a Service.
    service: Option<(String, String, u16)>,
    authorities: Vec<u8>,
    review: &'static str,
}

impl Converter {
    /// None where versions differ by their names only.
    pub fn of(definition: &Definition) -> Option<Self> {
        if definition.spec.conversion.strategy != "Webhook" {
            return None;
        }
        let webhook = definition.spec.conversion.webhook.as_ref()?;
        let client = webhook.get("clientConfig")?;
        let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let authorities = STANDARD.decode(text(client, "caBundle")).unwrap_or_default();
        let versions = webhook["conversionReviewVersions"].as_array();
        let known =
            versions.into_iter().flatten().find_map(|version| REVIEW.into_iter().find(|known| version == known));
        let review = known.unwrap_or("v1");
        let Some(service) = client.get("service").filter(|service| service.is_object()) else {
            return Some(Converter { url: text(client, "url"), service: None, authorities, review });
        };
        let (namespace, name) = (text(service, "namespace"), text(service, "name"));
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let path = text(service, "path");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("https://{name}.{namespace}.svc:{port}{slash}{path}?timeout=30s");
        Some(Converter { url, service: Some((namespace, name, port)), authorities, review })
    }

    async fn call(&self, server: &Server, version: &str, objects: Vec<Value>) -> Result<Vec<Value>, String> {
        let at = match &self.service {
            Some((namespace, name, port)) => {
                let found = endpoint(server, namespace, name, *port);
                Some(found.map_err(|status| format!("Post {:?}: {}", self.url, status.message))?)
            }
            None => None,
        };
        let to = Destination { url: self.url.clone(), at, authorities: self.authorities.clone() };
        let count = objects.len();
        let uid = server.env.rng.uuid();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{}", self.review),
            "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects},
        });
        let answer = server.converters.post(&to, review.to_string().into(), LIMIT).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let response = answer["response"].take();
        if response["uid"] != uid.as_str() {
            return Err(format!("expected response.uid={uid:?}, got {}", response["uid"]));
        }
        if response["result"]["status"] != "Success" {
            return Err(response["result"]["message"].as_str().unwrap_or_default().to_owned());
        }
        let converted = match response.get("convertedObjects") {
            Some(Value::Array(converted)) => converted.clone(),
            _ => Vec::new(),
        };
        if converted.len() != count {
            return Err(format!("expected {count} converted objects, got {}", converted.len()));
        }
        match converted.iter().find(|object| object["apiVersion"] != version) {
            Some(other) => Err(format!("expected to have group version {version}, but got {}", other["apiVersion"])),
            None => Ok(converted),
        }
    }
}

/// Converters may change labels and annotations, and nothing else of what identifies an object.
fn keep_identity(original: &Value, converted: &mut Value) {
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        let Some(fields) = metadata.as_object_mut() else { return };
        match converted["metadata"].get(field) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
    converted["metadata"] = metadata;
}

impl Resource {
    /// Whether stored objects may have to be sent away to be shown in this version.
    pub fn converts_elsewhere(&self) -> bool {
        self.custom.as_ref().is_some_and(|custom| custom.converter.is_some())
    }
}

impl Server {
    /// A stored object in a row's version.
    pub(crate) async fn show(&self, row: &Resource, object: &Arc<Object>) -> Result<Arc<Object>, Status> {
        if !row.converts_elsewhere() {
            return row.show(object);
        }
        let mut shown = self.show_all(row, vec![object.clone()]).await?;
        shown.pop().ok_or_else(|| Status::internal("nothing was converted"))
    }

    /// The same for many: what has to be sent away goes in one piece.
    pub(crate) async fn show_all(&self, row: &Resource, objects: Vec<Arc<Object>>) -> Result<Vec<Arc<Object>>, Status> {
        let Some((custom, converter)) =
            row.custom.as_ref().and_then(|custom| Some((custom, custom.converter.as_ref()?)))
        else {
            return objects.iter().map(|object| row.show(object)).collect();
        };
        let version = row.api_version();
        let is_own = |object: &Arc<Object>| {
            object.known_view(row.number).is_some()
                || wire::json::find_text(&object.json, &["apiVersion"]) == Some(version.as_str())
        };
        let mut sent = Vec::new();
        for object in objects.iter().filter(|object| !is_own(object)) {
            sent.push((object.clone(), object.value()?));
        }
        if !sent.is_empty() {
            let values = sent.iter().map(|(_, value)| value.clone()).collect();
            let converted = converter.call(self, &version, values).await.map_err(|why| failed(row, &why))?;
            for ((object, original), mut value) in sent.into_iter().zip(converted) {
                keep_identity(&original, &mut value);
                let json = row.encode(&custom.shown(value, &version));
                object.view(row.number, || Ok(Object::new(object.revision, json.into(), object.index.clone())))?;
            }
        }
        objects.iter().map(|object| row.show(object)).collect()
    }

    /// An object of a row's version as it is stored.
    pub(crate) async fn to_stored(&self, row: &Resource, object: Value) -> Result<Value, Status> {
        let Some((custom, converter)) =
            row.custom.as_ref().and_then(|custom| Some((custom, custom.converter.as_ref()?)))
        else {
            return Ok(object);
        };
        if object["apiVersion"] == custom.storage.as_str() {
            return Ok(object);
        }
        let converted = converter.call(self, &custom.storage, vec![object.clone()]).await;
        let mut converted = converted.map_err(|why| failed(row, &why))?;
        let mut stored = converted.pop().unwrap_or_default();
        keep_identity(&object, &mut stored);
        Ok(stored)
    }
}

fn failed(row: &Resource, why: &str) -> Status {
    Status::internal(format!("conversion webhook for {} failed: {why}", row.gvk()))
}
