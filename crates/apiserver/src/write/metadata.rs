//! The rules of ObjectMeta, the same for every kind: names, generated names, what clients may not
//! set, what never changes.

use crate::object::timestamp;
use crate::resources::Resource;
use crate::server::Server;
use meta::Status;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Map, Value};

/// Generated names have this many random letters behind their prefix, which is cut to fit.
const SUFFIX: usize = 5;
const MAX_GENERATED: usize = 63 - SUFFIX;
/// Of all annotations together, keys and values.
const MAX_ANNOTATIONS: usize = 256 << 10;

pub(crate) fn text<'o>(object: &'o Value, field: &str) -> &'o str {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()?.entry("metadata").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let list = object.get("metadata").and_then(|metadata| metadata.get("finalizers")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// Sets what the server sets on a new object and clears what clients may not.
pub(crate) fn prepare_create(
    object: &mut Value,
    resource: &Resource,
    namespace: &str,
    server: &Server,
) -> Result<(), Status> {
    let given = text(object, "namespace").to_owned();
    if resource.kind.namespaced && !given.is_empty() && given != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !text(object, "resourceVersion").is_empty() {
        return Err(Status::failure(
            meta::Reason::Unknown,
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let Some(metadata) = metadata_mut(object) else {
        return Err(Status::bad_request("metadata is not an object"));
    };
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "namespace"] {
        metadata.remove(field);
    }
    if resource.kind.namespaced {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    metadata.insert("uid".to_owned(), server.env.rng.uuid().into());
    metadata.insert("creationTimestamp".to_owned(), timestamp(server.env.clock.now()).into());
    if resource.strategy.has_generation() {
        metadata.insert("generation".to_owned(), 1.into());
    } else {
        metadata.remove("generation");
    }
    let has = |field: &str| metadata.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if has("generateName") && !has("name") {
        let prefix = metadata["generateName"].as_str().unwrap_or_default();
        let cut: String = prefix.chars().take(MAX_GENERATED).collect();
        let name = format!("{cut}{}", server.env.rng.name_suffix(SUFFIX));
        metadata.insert("name".to_owned(), name.into());
    }
    Ok(())
}

/// Checks the metadata of a new object.
pub(crate) fn validate(object: &Value, resource: &Resource) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    let (name, prefix) = (text(object, "name"), text(object, "generateName"));
    if !prefix.is_empty() {
        for why in resource.strategy.validate_name(prefix, true) {
            errors.push(FieldError::invalid(&path.child("generateName"), prefix, &why));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        for why in resource.strategy.validate_name(name, false) {
            errors.push(FieldError::invalid(&path.child("name"), name, &why));
        }
    }
    validate_fields(object, &path, &mut errors);
    errors
}

/// Checks the metadata of a changed object against what it was.
pub(crate) fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        if text(new, field) != text(old, field) {
            let value = text(new, field);
            errors.push(FieldError::invalid(&path.child(field), value, "field is immutable"));
        }
    }
    let is_deleting = !text(old, "deletionTimestamp").is_empty();
    if is_deleting {
        let before: Vec<&str> = finalizers(old).collect();
        let added: Vec<&str> = finalizers(new).filter(|finalizer| !before.contains(finalizer)).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|one| format!("{one:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), &why));
        }
    }
    validate_fields(new, &path, &mut errors);
    errors
}

fn validate_fields(object: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(metadata) = object.get("metadata") else { return };
    for (key, value) in map(metadata, "labels") {
        for why in meta::validation::qualified_name(key) {
            errors.push(FieldError::invalid(&path.child("labels"), key.as_str(), &why));
        }
        for why in meta::validation::label_value(value) {
            errors.push(FieldError::invalid(&path.child("labels"), value, &why));
        }
    }
    let mut size = 0;
    for (key, value) in map(metadata, "annotations") {
        for why in meta::validation::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(&path.child("annotations"), key.as_str(), &why));
        }
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(&path.child("annotations"), MAX_ANNOTATIONS));
    }
    for (at, finalizer) in finalizers(object).enumerate() {
        for why in meta::validation::qualified_name(finalizer) {
            errors.push(FieldError::invalid(&path.child("finalizers").index(at), finalizer, &why));
        }
    }
    validate_owners(metadata, path, errors);
}

fn validate_owners(metadata: &Value, path: &Path, errors: &mut ErrorList) {
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    let mut controller: Option<String> = None;
    for (at, owner) in owners.into_iter().flatten().enumerate() {
        let here = path.child("ownerReferences").index(at);
        let field = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        for (name, what) in [("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")] {
            if field(name).is_empty() {
                errors.push(FieldError::invalid(&here.child(name), field(name), &format!("{what} must not be empty")));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) != Some(true) {
            continue;
        }
        let this = format!("{}/{}/{}", field("kind"), field("name"), field("uid"));
        if let Some(first) = &controller {
            let why = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
            );
            errors.push(FieldError::invalid(&path.child("ownerReferences"), owner.clone(), &why));
        }
        controller.get_or_insert(this);
    }
}

fn map<'m>(metadata: &'m Value, field: &str) -> impl Iterator<Item = (&'m String, &'m str)> {
    let fields = metadata.get(field).and_then(Value::as_object);
    fields.into_iter().flatten().map(|(key, value)| (key, value.as_str().unwrap_or_default()))
}

/// Carries over what an update cannot change, and says no where it tries to.
pub(crate) fn prepare_update(new: &mut Value, old: &Value) {
    let kept = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];
    let none = Value::Null;
    let old_metadata = old.get("metadata").unwrap_or(&none);
    let Some(metadata) = metadata_mut(new) else { return };
    for field in ["namespace", "name"] {
        if metadata.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            copy(old_metadata, metadata, field);
        }
    }
    for field in kept {
        copy(old_metadata, metadata, field);
    }
    // Created from a generated name or not does not change afterwards.
    if !metadata.contains_key("generateName") {
        copy(old_metadata, metadata, "generateName");
    }
    // An update without managedFields keeps those that stand.
    if metadata.get("managedFields").is_none_or(Value::is_null) {
        copy(old_metadata, metadata, "managedFields");
    }
}

fn copy(from: &Value, to: &mut Map<String, Value>, field: &str) {
    match from.get(field) {
        Some(value) if to.get(field) == Some(value) => None,
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => to.remove(field),
    };
}

/// Counts up the generation where anything but metadata and status differs.
pub(crate) fn bump_generation(new: &mut Value, old: &Value, resource: &Resource) {
    let changed = {
        let (Some(a), Some(b)) = (new.as_object(), old.as_object()) else { return };
        let counts = |key: &&String| resource.strategy.counts_for_generation(key);
        let mut keys = a.keys().chain(b.keys()).filter(counts);
        keys.any(|key| a.get(key) != b.get(key))
    };
    if changed {
        let next = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0) + 1;
        if let Some(metadata) = metadata_mut(new) {
            metadata.insert("generation".to_owned(), next.into());
        }
    }
}
