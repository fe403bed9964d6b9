//! CustomResourceDefinition: what a definition of a kind must be like.

mod expressions;
mod names;
mod schema;
mod versions;

use crate::rules::{Context, Strategy, keep_status};
use crate::tree::{default, default_text, items, object, text};
use base::Timestamp;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct CustomResourceDefinition;

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const APPROVED: &str = "api-approved.kubernetes.io";

impl Strategy for CustomResourceDefinition {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("apiextensions.k8s.io", "CustomResourceDefinition")
    }

    fn default(&self, definition: &mut Value) {
        let Some(spec) = definition.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        let kind = text(&spec["names"], "kind").to_owned();
        if !kind.is_empty() {
            default_text(&mut spec["names"], "singular", &kind.to_lowercase());
            default_text(&mut spec["names"], "listKind", &format!("{kind}List"));
        }
        if let Some(conversion) = object(spec, "conversion") {
            conversion.entry("strategy").or_insert_with(|| "None".into());
        }
        if let Some(service) = spec.pointer_mut("/conversion/webhook/clientConfig/service") {
            default(service, "port", 443);
        }
    }

    fn prepare_create(&self, definition: &mut Value, _context: &Context<'_>) {
        let storage = storage_version(definition).map(str::to_owned);
        definition["status"] = json!({
            "conditions": [],
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": storage.into_iter().collect::<Vec<_>>(),
        });
        definition["status"]["conditions"] = Value::Null;
        drop_nulls(&mut definition["status"]);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_status(new, old);
        let Some(storage) = storage_version(new).map(str::to_owned) else { return };
        if !items(&new["status"], "storedVersions").iter().any(|version| *version == storage.as_str()) {
            default(&mut new["status"], "storedVersions", json!([]));
            if let Some(stored) = new["status"]["storedVersions"].as_array_mut() {
                stored.push(storage.into());
            }
        }
    }

    fn validate_create(&self, definition: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        check(definition, None, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        if new.get("spec") != old.get("spec") {
            check(new, Some(old), &mut errors);
        }
        check_stored(new, &mut errors);
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        check_stored(new, &mut errors);
        errors
    }

    fn prepare_delete(&self, definition: &mut Value, now: Timestamp) {
        let Some(metadata) = object(definition, "metadata") else { return };
        let list = metadata.entry("finalizers").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut()
            && !list.iter().any(|finalizer| finalizer == FINALIZER)
        {
            list.push(FINALIZER.into());
        }
        let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        let condition = json!({
            "type": "Terminating", "status": "True", "lastTransitionTime": since,
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        });
        let Some(status) = object(definition, "status") else { return };
        let list = status.entry("conditions").or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        if let Some(list) = list.as_array_mut() {
            list.retain(|one| one["type"] != "Terminating");
            list.push(condition);
        }
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn drop_nulls(status: &mut Value) {
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

/// The version that objects are written as, where there is just one.
fn storage_version(definition: &Value) -> Option<&str> {
    let versions = items(&definition["spec"], "versions");
    versions.iter().find(|version| version["storage"] == true)?["name"].as_str()
}

fn is_established(definition: &Value) -> bool {
    items(&definition["status"], "conditions")
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn check(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&new["spec"], Path::new("spec"));
    let name = text(&new["metadata"], "name");
    let wanted = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    if name != wanted {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
    }
    names::check(spec, &path, errors);
    versions::check(spec, old.map(|old| &old["spec"]), &path, errors);
    check_approval(new, errors);
    if let Some(old) = old.filter(|old| is_established(old)) {
        let names = path.child("names");
        for (path, pointer) in [
            (path.child("group"), "/spec/group"),
            (path.child("scope"), "/spec/scope"),
            (names.child("kind"), "/spec/names/kind"),
            (names.child("plural"), "/spec/names/plural"),
        ] {
            crate::check::immutable(
                errors,
                &path,
                new.pointer(pointer).unwrap_or(&Value::Null),
                old.pointer(pointer).unwrap_or(&Value::Null),
            );
        }
    }
}

/// Groups of the project itself are guarded by a word.
fn check_approval(definition: &Value, errors: &mut ErrorList) {
    let group = text(&definition["spec"], "group");
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    if !is_protected {
        return;
    }
    let path = Path::new("metadata").child("annotations").key(APPROVED);
    let approval = text(&definition["metadata"]["annotations"], APPROVED);
    if approval.is_empty() {
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                   https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::required(&path, why));
    } else if !(approval.starts_with("unapproved") || approval.starts_with("http") && approval.contains("://")) {
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a \
                   reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::invalid(&path, approval, why));
    }
}

/// What objects were ever written as must still be a version.
fn check_stored(definition: &Value, errors: &mut ErrorList) {
    let path = Path::new("status").child("storedVersions");
    let stored = items(&definition["status"], "storedVersions");
    let listed = definition["status"].get("storedVersions").cloned().unwrap_or_default();
    if stored.is_empty() {
        errors.push(FieldError::invalid(&path, listed.clone(), "must have at least one stored version"));
    }
    let versions = items(&definition["spec"], "versions");
    for (at, version) in stored.iter().enumerate() {
        if !versions.iter().any(|known| known["name"] == *version) {
            errors.push(FieldError::invalid(&path.index(at), version.clone(), "must appear in spec.versions"));
        }
    }
    if let Some(storage) = storage_version(definition)
        && !stored.iter().any(|version| *version == storage)
    {
        let why = format!("must have the storage version {storage}");
        errors.push(FieldError::invalid(&path, listed, &why));
    }
}

#[cfg(test)]
mod tests;
