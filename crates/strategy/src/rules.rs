//! The trait that every kind's file implements.

use crate::{print, schema_check};
use base::Timestamp;
use meta::Name;
use meta::field::ErrorList;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a rule may know of the request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub now: Timestamp,
    /// Who asks, for kinds that record it (CertificateSigningRequest).
    pub user_name: &'a str,
    pub user_uid: &'a str,
    pub user_groups: &'a [String],
    pub user_extra: &'a BTreeMap<String, Vec<String>>,
    /// Empty on the object itself; `status`, `scale`, …
    pub subresource: &'a str,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: Name,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: Name,
    /// `name` for the first column, else empty mostly.
    pub format: Name,
    /// 0, or 1 for columns of `-o wide`.
    pub priority: i32,
    pub description: Name,
}

/// Fields that selectors may name, with an object's values.
pub type Fields = Vec<(Name, String)>;

/// The rules of one kind. Objects are canonical JSON trees: unknown fields pruned, types right.
pub trait Strategy: Send + Sync {
    fn group_kind(&self) -> (&'static str, &'static str);

    /// Defaults that depend on more than the field itself; runs after the declared ones, on every
    /// decoded object. Must do nothing on an object it ran on before.
    fn default(&self, _object: &mut Value) {}

    /// Before a create: drop what clients may not set (status), set what the server sets.
    fn prepare_create(&self, object: &mut Value, _context: &Context<'_>) {
        drop_status(object);
    }

    /// What is wrong with an object, new or changed, beside its metadata and what the table of kinds
    /// says of its fields.
    fn validate(&self, _new: &Value, _old: Option<&Value>, _errors: &mut ErrorList) {}

    fn validate_create(&self, object: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        self.validate(object, None, &mut errors);
        schema_check::check(object, &mut errors);
        errors
    }

    /// Before an update of the main resource: keep what it may not change (status).
    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_status(new, old);
    }

    /// `new` has passed the generic metadata checks; `old` has the defaults of today, so that nobody is
    /// told of having changed what a newer default filled in.
    fn validate_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        self.validate(new, Some(old), &mut errors);
        schema_check::check_change(new, old, &mut errors);
        errors
    }

    /// Before an update of `status` (or of `approval`, as the context says): keep everything else,
    /// except that labels, annotations and finalizers come through for most kinds, as upstream has it.
    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_all_but_status_and_metadata(new, old);
    }

    /// Also of other subresources; the context names which.
    fn validate_status_update(&self, _new: &Value, _old: &Value, _context: &Context<'_>) -> ErrorList {
        ErrorList::new()
    }

    /// Checks and texts for the Warning header; never refuses.
    fn warnings(&self, _new: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Whether metadata.generation grows when anything but metadata and status changes.
    fn has_generation(&self) -> bool {
        true
    }

    /// Whether a change of this top-level field is one of what is wanted.
    fn counts_for_generation(&self, field: &str) -> bool {
        !matches!(field, "metadata" | "status" | "kind" | "apiVersion")
    }

    /// Whether PUT creates a missing object (Lease and Event allow it, most do not).
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update may leave out resourceVersion and win over whatever is there.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Seconds that a delete waits for someone to finish the object off; None: it goes at once.
    /// `asked` is the request's gracePeriodSeconds.
    fn grace_seconds(&self, _object: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Before a delete: what must hold an object until it is tidied up after (a definition, until its
    /// custom resources are gone).
    fn prepare_delete(&self, _object: &mut Value, _now: Timestamp) {}

    /// Marks an object whose deletion begins but cannot end yet (a Namespace turns Terminating).
    fn begin_deletion(&self, _object: &mut Value) {}

    /// True while something of the kind's own, beside metadata.finalizers, keeps a deleted object
    /// (a Namespace's spec.finalizers).
    fn holds_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// Fields beside metadata.name and metadata.namespace that field selectors may name, with
    /// this object's values. Must list the same fields for every object.
    fn selectable_fields(&self, _object: &Value) -> Fields {
        Vec::new()
    }

    /// Name in a namespace or cluster, checked by the generic path. `prefix`: it ends in what
    /// generateName will complete. Returns upstream's messages.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        meta::validation::dns1123_subdomain(&complete(name, prefix))
    }

    /// None: NAME and CREATED AT, as upstream prints kinds it has no columns for.
    fn columns(&self) -> Option<&[Column]> {
        let (group, kind) = self.group_kind();
        print::find(group, kind).map(|printer| printer.columns)
    }

    /// One cell per column, wide ones too.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (group, kind) = self.group_kind();
        print::find(group, kind).map_or_else(Vec::new, |printer| (printer.cells)(object, now))
    }

    /// What a row says of its object beside the cells (a pod that is over).
    fn row_conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }

    /// Which of `foreground`, `background` and `orphan` a delete without propagationPolicy means.
    fn default_propagation(&self) -> Propagation {
        Propagation::Background
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// A generateName with a letter in place of its trailing dash, as it could come out.
pub fn complete(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(rest) if prefix => format!("{rest}a"),
        _ => name.to_owned(),
    }
}

pub fn drop_status(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
}

pub fn keep_status(new: &mut Value, old: &Value) {
    let Some(fields) = new.as_object_mut() else { return };
    match old.get("status") {
        Some(status) => fields.insert("status".to_owned(), status.clone()),
        None => fields.remove("status"),
    };
}

pub fn keep_all_but_status_and_metadata(new: &mut Value, old: &Value) {
    let (Some(fields), Some(before)) = (new.as_object_mut(), old.as_object()) else { return };
    let is_kept = |name: &str| !matches!(name, "metadata" | "status");
    fields.retain(|name, _| !is_kept(name) || before.contains_key(name));
    for (name, value) in before.iter().filter(|(name, _)| is_kept(name)) {
        // Mostly it is the same, which is quicker to see than to copy.
        if fields.get(name) != Some(value) {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Puts a field of the metadata back as it was.
pub fn keep_metadata(new: &mut Value, old: &Value, field: &str) {
    let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    match old.get("metadata").and_then(|metadata| metadata.get(field)) {
        Some(value) => metadata.insert(field.to_owned(), value.clone()),
        None => metadata.remove(field),
    };
}

/// The same, with all of the old metadata but who manages which field.
pub fn keep_all_but_status(new: &mut Value, old: &Value) {
    let status = new.get_mut("status").map(Value::take);
    let managed = new.pointer_mut("/metadata/managedFields").map(Value::take);
    let revision = new.pointer("/metadata/resourceVersion").cloned();
    *new = old.clone();
    let Some(fields) = new.as_object_mut() else { return };
    match status {
        Some(status) => fields.insert("status".to_owned(), status),
        None => fields.remove("status"),
    };
    let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for (name, value) in [("managedFields", managed), ("resourceVersion", revision)] {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value);
        }
    }
}
