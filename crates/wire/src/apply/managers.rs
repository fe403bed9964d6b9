//! `metadata.managedFields`: reading it, keeping it short, writing it back in upstream's order.

use super::Writer;
use super::fieldset::FieldSet;
use base::Timestamp;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Upstream's cap on entries made by updates; older ones are merged.
const MAX_UPDATERS: usize = 10;
/// The manager that merged entries go to.
const MERGED: &str = "ancient-changes";

#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub manager: Cow<'a, str>,
    /// Operation Apply; else Update.
    pub applied: bool,
    pub api_version: Cow<'a, str>,
    pub subresource: Cow<'a, str>,
    /// RFC 3339, as written.
    pub time: Cow<'a, str>,
    pub fields: FieldSet<'a>,
    /// Where in the list that was read the same fields stand, as long as they are the same: they are
    /// not spelled out again.
    pub same_as: Option<usize>,
}

impl<'a> Entry<'a> {
    pub fn new(writer: &Writer<'a>, applied: bool, fields: FieldSet<'a>) -> Self {
        Entry {
            manager: writer.manager.into(),
            applied,
            api_version: writer.api_version.into(),
            subresource: writer.subresource.into(),
            time: seconds(writer.now).into(),
            fields,
            same_as: None,
        }
    }

    /// Whether the entry is this writer's. Appliers keep theirs across versions.
    pub fn is_of(&self, writer: &Writer<'_>, applied: bool) -> bool {
        self.applied == applied
            && self.manager == writer.manager
            && self.subresource == writer.subresource
            && (applied || self.api_version == writer.api_version)
    }

    pub fn subtract(&mut self, fields: &FieldSet<'_>) {
        if self.fields.subtract(fields) {
            self.same_as = None;
        }
    }

    pub fn union(&mut self, fields: FieldSet<'a>) {
        if !fields.is_within(&self.fields) {
            self.fields.union(fields);
            self.same_as = None;
        }
    }

    fn read(at: usize, value: &'a Value) -> Option<Self> {
        let map = value.as_object()?;
        let applied = match map.get("operation")?.as_str()? {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if map.get("fieldsType")? != "FieldsV1" {
            return None;
        }
        let fields = FieldSet::of(map.get("fieldsV1").unwrap_or(&Value::Null))?;
        let text = |key: &str| Cow::Borrowed(map.get(key).and_then(Value::as_str).unwrap_or_default());
        Some(Entry {
            manager: text("manager"),
            applied,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields,
            same_as: Some(at),
        })
    }

    /// Upstream's order.
    fn rank(&self) -> (bool, [&str; 4]) {
        (!self.applied, [&self.time, &self.manager, &self.api_version, &self.subresource])
    }

    fn write(self) -> Written {
        let mut entry = Map::new();
        let operation = if self.applied { "Apply" } else { "Update" };
        entry.insert("operation".to_owned(), json!(operation));
        entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
        let texts = [
            ("manager", self.manager),
            ("apiVersion", self.api_version),
            ("time", self.time),
            ("subresource", self.subresource),
        ];
        let given = texts.into_iter().filter(|(_, text)| !text.is_empty());
        entry.extend(given.map(|(key, text)| (key.to_owned(), text.into_owned().into())));
        if self.same_as.is_none() {
            entry.insert(FIELDS.to_owned(), self.fields.into_json());
        }
        Written { entry, same_as: self.same_as }
    }
}

const FIELDS: &str = "fieldsV1";

/// An entry as it will stand, but for fields that stand in the list that was read.
pub(super) struct Written {
    entry: Map<String, Value>,
    same_as: Option<usize>,
}

pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What an object's managedFields say; None where they cannot be read.
pub(super) fn read(list: &Value) -> Option<Vec<Entry<'_>>> {
    match list {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => list.iter().enumerate().map(|(at, entry)| Entry::read(at, entry)).collect(),
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

/// Entries to be put into an object: none without fields, sorted as upstream sorts them.
pub(super) fn write(mut entries: Vec<Entry<'_>>) -> Vec<Written> {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
    entries.into_iter().map(Entry::write).collect()
}

/// Puts them there; `read` is the list that they were read from.
pub(super) fn put(object: &mut Value, entries: Vec<Written>, read: Cow<'_, Value>) {
    let mut owned = match read {
        Cow::Owned(list) => Ok(list),
        Cow::Borrowed(list) => Err(list),
    };
    let mut fields_of = |at: usize| match &mut owned {
        Ok(list) => list.get_mut(at).and_then(|entry| entry.get_mut(FIELDS)).map(Value::take),
        Err(list) => list.get(at).and_then(|entry| entry.get(FIELDS)).cloned(),
    };
    let list: Vec<Value> = entries
        .into_iter()
        .map(|Written { mut entry, same_as }| {
            if let Some(fields) = same_as.and_then(&mut fields_of) {
                entry.insert(FIELDS.to_owned(), fields);
            }
            Value::Object(entry)
        })
        .collect();
    let Some(map) = object.as_object_mut() else { return };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut()
        && !list.is_empty()
    {
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

/// Merges the oldest updaters' entries, version by version, until few enough are left.
pub(super) fn cap(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
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
        match bucket_of.get(&*entries[at].api_version).copied() {
            None => {
                bucket_of.insert(entries[at].api_version.clone().into_owned(), at);
            }
            Some(bucket) => {
                let fields = std::mem::take(&mut entries[at].fields);
                let time = entries[at].time.clone();
                let merged = &mut entries[bucket];
                merged.union(fields);
                merged.manager = MERGED.into();
                merged.subresource = "".into();
                merged.time = time;
                surplus -= 1;
            }
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    entries
}

/// What identifies an object; no set holds it.
pub(super) const IDENTITY: [&str; 2] = ["apiVersion", "kind"];
/// What the system writes of the metadata.
pub(super) const SYSTEM: [&str; 9] = [
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

/// Fields that belong to the system, so nobody is written down as their owner.
pub(super) fn strip_metadata(fields: &mut FieldSet<'_>) {
    for name in IDENTITY.into_iter().chain(["metadata"]) {
        fields.remove_member(&[name]);
    }
    for name in SYSTEM {
        fields.remove_member(&["metadata", name]);
    }
}

/// What the writer applied last, as it stands there: where all that is known of the object's managers is
/// of the writer's own version.
pub(super) fn fields_applied<'v>(list: &'v Value, writer: &Writer<'_>) -> Option<&'v Value> {
    let list = list.as_array()?;
    let text = |entry: &'v Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let is_here = |entry: &'v Value| text(entry, "apiVersion") == writer.api_version;
    if writer.versions.is_some() && !list.iter().all(is_here) {
        return None;
    }
    let is_own = |entry: &&'v Value| {
        is_here(entry)
            && text(entry, "operation") == "Apply"
            && text(entry, "fieldsType") == "FieldsV1"
            && text(entry, "manager") == writer.manager
            && text(entry, "subresource") == writer.subresource
    };
    list.iter().find(is_own)?.get(FIELDS)
}
