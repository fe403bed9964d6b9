//! A committed object as everyone shares it: its bytes, encoded once, and what is indexed beside.

use base::Timestamp;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::Revision;
use strategy::Strategy;

/// An object at one revision. Never changes; readers share it by `Arc`.
#[derive(Debug)]
pub struct Object {
    pub revision: Revision,
    /// Canonical JSON in the storage version, with its resourceVersion.
    pub json: Bytes,
    pub index: Index,
    /// As in-process caches share them, once one has asked.
    metadata: OnceLock<client::ReadAhead>,
    /// The same in other versions, as far as someone has asked.
    views: Views,
}

/// Few kinds have more versions than this, and few objects are asked for in all of them.
const MAX_VIEWS: usize = 4;

#[derive(Debug, Default)]
struct Views(Mutex<Vec<(u64, Arc<Object>)>>);

/// What selectors, owners and collectors ask of an object without reading its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    /// Selectable fields beside name and namespace.
    pub fields: strategy::Fields,
    /// The row of a custom resource that the object was written through, where it is as that row
    /// shows it; 0: not known.
    pub form: u64,
}

#[derive(Deserialize)]
struct Envelope {
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    labels: BTreeMap<String, String>,
}

impl Index {
    /// From an object in the making.
    pub fn of_value(object: &Value, strategy: &dyn Strategy) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = metadata.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        Index {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            labels: labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            fields: strategy.selectable_fields(object),
            form: 0,
        }
    }

    /// From stored bytes; parses the whole object only for kinds with selectable fields.
    pub fn of_bytes(json: &[u8], strategy: &dyn Strategy) -> Result<Self, serde_json::Error> {
        let has_fields = !strategy.selectable_fields(&Value::Null).is_empty();
        if has_fields {
            return Ok(Self::of_value(&serde_json::from_slice(json)?, strategy));
        }
        let Envelope { metadata } = serde_json::from_slice(json)?;
        Ok(Index {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            labels: metadata.labels,
            fields: Vec::new(),
            form: 0,
        })
    }

    /// The value a field selector compares with; None: no such field.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str()),
        }
    }
}

impl Object {
    /// Splices the revision into stored bytes, which carry none.
    pub fn publish(revision: Revision, stored: &[u8], index: Index) -> Self {
        Self::new(revision, wire::json::splice_resource_version(stored, revision), index)
    }

    /// From finished bytes.
    pub fn new(revision: Revision, json: Bytes, index: Index) -> Self {
        Object { revision, json, index, metadata: OnceLock::new(), views: Views::default() }
    }

    /// The object as the version behind `row` shows it: made once, then shared.
    pub fn view(
        &self,
        row: u64,
        make: impl FnOnce() -> Result<Object, meta::Status>,
    ) -> Result<Arc<Object>, meta::Status> {
        let mut views = self.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = views.iter().find(|(number, _)| *number == row) {
            return Ok(known.clone());
        }
        let made = Arc::new(make()?);
        if views.len() == MAX_VIEWS {
            views.remove(0);
        }
        views.push((row, made.clone()));
        Ok(made)
    }

    /// Read from the bytes when first asked for; None where they cannot be read.
    pub fn metadata(&self) -> client::ReadAhead {
        self.metadata.get_or_init(|| client::cache::read_metadata(&self.json).ok().map(Arc::new)).clone()
    }

    /// The object as a tree, for changing it.
    ///
    /// # Errors
    /// Stored bytes that are no JSON: the store is damaged.
    pub fn value(&self) -> Result<Value, meta::Status> {
        serde_json::from_slice(&self.json).map_err(|error| meta::Status::internal(format!("stored object: {error}")))
    }

    /// What [`Object::view`] made before.
    pub fn known_view(&self, row: u64) -> Option<Arc<Object>> {
        let views = self.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().find(|(number, _)| *number == row).map(|(_, known)| known.clone())
    }

    /// `namespace/name`, or the name alone in cluster scope: the key in its collection.
    pub fn key(namespace: &str, name: &str) -> String {
        if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
    }
}

/// Now, as creationTimestamp and its like are written: whole seconds.
pub fn timestamp(now: Timestamp) -> String {
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    seconds.to_string()
}

/// The same state under a later revision: what a watcher is sent when an object leaves its
/// selection.
pub fn at_revision(object: &Object, revision: Revision) -> Object {
    let old = format!("\"resourceVersion\":\"{}\"", object.revision);
    let new = format!("\"resourceVersion\":\"{revision}\"");
    let text = &object.json[..];
    let found = text.windows(old.len()).position(|window| window == old.as_bytes());
    let json = match found {
        Some(at) => [&text[..at], new.as_bytes(), &text[at + old.len()..]].concat().into(),
        None => object.json.clone(),
    };
    Object::new(revision, json, object.index.clone())
}
