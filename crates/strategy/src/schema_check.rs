//! What the table of kinds itself says must hold: required texts are there, values of closed enums
//! are known ones. For every kind, after its own rules, and only where those said nothing.
//!
//! Looks at what people write, never at status: controllers of any age report there what they like.

use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use wire::schema::{Field, Schema, Shape, Struct, TypeId};

/// Kinds that machines write in great numbers and that upstream looks at only lightly.
const SKIPPED: &[&str] = &["Event", "Lease", "ComponentStatus", "Binding", "CustomResourceDefinition", "APIService"];

/// Structs whose required fields may be empty all the same.
const LENIENT: &[&str] =
    &["core.v1.LocalObjectReference", "core.v1.EndpointAddress", "core.v1.NodeAddress", "meta.v1.GroupResource"];

pub fn check(object: &Value, errors: &mut ErrorList) {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    if SKIPPED.contains(&text("kind")) {
        return;
    }
    let Some(type_id) = kinds::type_of_version(text("apiVersion"), text("kind")) else { return };
    if is_sound(object, type_id) {
        return;
    }
    // A rule that has spoken about a field knows better.
    let found = faults(object, type_id);
    let found: ErrorList = found.into_iter().filter(|one| errors.iter().all(|known| known.path != one.path)).collect();
    errors.extend(found);
}

/// The same, but what was wrong before may stay: a rule that came later must not lock an object.
pub fn check_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let mut before = ErrorList::new();
    check(old, &mut before);
    let mut after = errors.clone();
    check(new, &mut after);
    errors.extend(after.drain(errors.len()..).filter(|one| !before.contains(one)).collect::<ErrorList>());
}

/// Whether [`faults`] would find none: mostly so, and quicker to tell without spelling out the way to
/// every field there could be.
fn is_sound(object: &Value, type_id: TypeId) -> bool {
    let schema = kinds::schema();
    let kind = schema.get(type_id);
    let is_own = |field: &Field| !matches!(field.name.as_ref(), "apiVersion" | "kind" | "metadata" | "status");
    kind.fields.iter().filter(|field| is_own(field)).all(|field| has_required(kind, field, object))
        && object.as_object().into_iter().flatten().all(|(name, value)| {
            let field = kind.field(name).filter(|field| is_own(field));
            field.is_none_or(|field| is_sound_value(schema, &field.shape, value))
        })
}

fn has_required(of: &Struct, field: &Field, object: &Value) -> bool {
    if !field.required || field.default.is_some() || LENIENT.contains(&of.name.as_ref()) {
        return true;
    }
    match object.get(field.name.as_ref()) {
        None | Some(Value::Null) => !matches!(field.shape, Shape::String { .. }),
        Some(value) => value != "",
    }
}

fn is_sound_value(schema: &Schema, shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (_, Value::Null) => true,
        (Shape::String { enum_type: Some(name) }, _) => {
            let known = kinds::enum_values(name);
            let text = value.as_str().unwrap_or_default();
            text.is_empty() || known.is_empty() || known.contains(&text) || !kinds::enum_is_closed(name)
        }
        (Shape::Struct(id), Value::Object(map)) => {
            let structure = schema.get(*id);
            structure.fields.iter().all(|field| has_required(structure, field, value))
                && map.iter().all(|(name, value)| {
                    structure.field(name).is_none_or(|field| is_sound_value(schema, &field.shape, value))
                })
        }
        (Shape::List(list), Value::Array(items)) => items.iter().all(|item| is_sound_value(schema, &list.item, item)),
        (Shape::Map(of), Value::Object(map)) => map.values().all(|item| is_sound_value(schema, &of.value, item)),
        _ => true,
    }
}

fn faults(object: &Value, type_id: TypeId) -> ErrorList {
    let schema = kinds::schema();
    let mut found = ErrorList::new();
    for field in &schema.get(type_id).fields {
        if !matches!(field.name.as_ref(), "apiVersion" | "kind" | "metadata" | "status") {
            check_field(schema, schema.get(type_id), field, &Path::root(), object, &mut found);
        }
    }
    found
}

fn check_field(schema: &Schema, of: &Struct, field: &Field, path: &Path, object: &Value, errors: &mut ErrorList) {
    let here = path.child(&field.name);
    let Some(value) = object.get(field.name.as_ref()).filter(|value| !value.is_null()) else {
        let is_text = matches!(field.shape, Shape::String { .. });
        if field.required && is_text && field.default.is_none() && !LENIENT.contains(&of.name.as_ref()) {
            errors.push(FieldError::required(&here, ""));
        }
        return;
    };
    if field.required && *value == "" && field.default.is_none() && !LENIENT.contains(&of.name.as_ref()) {
        errors.push(FieldError::required(&here, ""));
    }
    check_value(schema, &field.shape, &here, value, errors);
}

fn check_value(schema: &Schema, shape: &Shape, path: &Path, value: &Value, errors: &mut ErrorList) {
    match shape {
        Shape::String { enum_type: Some(name) } => check_enum(name, path, value, errors),
        Shape::Struct(id) => {
            let structure = schema.get(*id);
            for field in structure.fields.iter().filter(|_| value.is_object()) {
                check_field(schema, structure, field, path, value, errors);
            }
        }
        Shape::List(list) => {
            for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                check_value(schema, &list.item, &path.index(at), item, errors);
            }
        }
        Shape::Map(map) => {
            for (key, item) in value.as_object().into_iter().flatten() {
                check_value(schema, &map.value, &path.key(key), item, errors);
            }
        }
        _ => {}
    }
}

fn check_enum(name: &str, path: &Path, value: &Value, errors: &mut ErrorList) {
    let known = kinds::enum_values(name);
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() || known.is_empty() || !kinds::enum_is_closed(name) || known.contains(&text) {
        return;
    }
    let mut sorted = known.to_vec();
    sorted.sort_unstable();
    errors.push(FieldError::not_supported(path, text, &sorted));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_the_table_says_is_refused() {
        let class = |binding: &str, provisioner: &str| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "a"},
                "volumeBindingMode": binding, "provisioner": provisioner})
        };
        for (object, expected) in [
            (class("Immediate", "p"), vec![]),
            (
                class("Never", "p"),
                vec![
                    "volumeBindingMode: Unsupported value: \"Never\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                ],
            ),
            (class("Immediate", ""), vec!["provisioner: Required value"]),
            (json!({"apiVersion": "v1", "kind": "Event", "metadata": {}}), vec![]),
        ] {
            let mut errors = ErrorList::new();
            check(&object, &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told, expected, "{object}");
            let type_id =
                kinds::type_of_version(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
            assert_eq!(
                is_sound(&object, type_id.unwrap()),
                expected.is_empty(),
                "the short way says otherwise: {object}"
            );
        }
    }
}
