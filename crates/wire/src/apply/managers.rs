//! `metadata.managedFields`: reading it, keeping it short, writing it back in upstream's order.

use super::Writer;
use super::fieldset::FieldSet;
use base::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Upstream's cap on entries made by updates; older ones are merged.
const MAX_UPDATERS: usize = 10;
/// The manager that merged entries go to.
const MERGED: &str = "ancient-changes";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub manager: String,
    /// Operation Apply; else Update.
    pub applied: bool,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339, as written.
    pub time: String,
    pub fields: FieldSet,
}

impl Entry {
    pub fn new(writer: &Writer<'_>, applied: bool, fields: FieldSet) -> Self {
        Entry {
            manager: writer.manager.to_owned(),
            applied,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: seconds(writer.now),
            fields,
        }
    }

    /// Whether the entry is this writer's. Appliers keep theirs across versions.
    pub fn is_of(&self, writer: &Writer<'_>, applied: bool) -> bool {
        self.applied == applied
            && self.manager == writer.manager
            && self.subresource == writer.subresource
            && (applied || self.api_version == writer.api_version)
    }

    fn read(value: Value) -> Option<Self> {
        let Value::Object(mut map) = value else { return None };
        let applied = match map.get("operation")?.as_str()? {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if map.get("fieldsType")? != "FieldsV1" {
            return None;
        }
        let fields = FieldSet::from_json(map.remove("fieldsV1").unwrap_or_default())?;
        let mut text = |key: &str| match map.remove(key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Some(Entry {
            manager: text("manager"),
            applied,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields,
        })
    }

    /// Upstream's order.
    fn rank(&self) -> (bool, [&str; 4]) {
        (!self.applied, [&self.time, &self.manager, &self.api_version, &self.subresource])
    }

    fn write(self) -> Value {
        let mut map = Map::new();
        let operation = if self.applied { "Apply" } else { "Update" };
        map.insert("operation".to_owned(), json!(operation));
        map.insert("fieldsType".to_owned(), json!("FieldsV1"));
        map.insert("fieldsV1".to_owned(), self.fields.into_json());
        let texts = [
            ("manager", self.manager),
            ("apiVersion", self.api_version),
            ("time", self.time),
            ("subresource", self.subresource),
        ];
        map.extend(
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_owned(), text.into())),
        );
        Value::Object(map)
    }
}

pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What an object's managedFields say; None where they cannot be read.
pub(super) fn read(list: Value) -> Option<Vec<Entry>> {
    match list {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => list.into_iter().map(Entry::read).collect(),
        _ => None,
    }
}

/// `[{}]` asks to forget all owners.
pub(super) fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

pub(super) fn take(object: &mut Value) -> Value {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.and_then(|metadata| metadata.remove("managedFields")).unwrap_or_default()
}

/// Writes the entries back: none without fields, sorted as upstream sorts them.
pub(super) fn put(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let list: Vec<Value> = entries.into_iter().map(Entry::write).collect();
    let Some(map) = object.as_object_mut() else { return };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut()
        && !list.is_empty()
    {
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

/// Merges the oldest updaters' entries, version by version, until few enough are left.
pub(super) fn cap(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut updaters: Vec<usize> = (0..entries.len()).filter(|at| !entries[*at].applied).collect();
    let mut surplus = updaters.len().saturating_sub(MAX_UPDATERS);
    if surplus == 0 {
        return entries;
    }
    updaters.sort_by(|a, b| {
        let key = |at: usize| (&entries[at].time, &entries[at].manager);
        key(*a).cmp(&key(*b))
    });
    // Where each version's merged entry is kept: that of its oldest updater.
    let mut bucket_of: BTreeMap<String, usize> = BTreeMap::new();
    for at in updaters {
        if surplus == 0 {
            break;
        }
        match bucket_of.get(&entries[at].api_version).copied() {
            None => {
                bucket_of.insert(entries[at].api_version.clone(), at);
            }
            Some(bucket) => {
                let fields = std::mem::take(&mut entries[at].fields);
                let time = entries[at].time.clone();
                let merged = &mut entries[bucket];
                merged.fields.union(fields);
                merged.manager = MERGED.to_owned();
                merged.subresource.clear();
                merged.time = time;
                surplus -= 1;
            }
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    entries
}

/// Fields that belong to the system, so nobody is written down as their owner.
pub(super) fn strip_metadata(fields: &mut FieldSet) {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    for name in ["apiVersion", "kind", "metadata"] {
        fields.remove_member(&[name]);
    }
    for name in METADATA {
        fields.remove_member(&["metadata", name]);
    }
}
