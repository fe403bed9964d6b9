//! What custom resources need beside decoding: fields that their schema does not have are taken
//! out, and so are nulls that mean nothing.
//!
//! Built-in kinds are pruned as they are decoded ([`crate::decode`]); a custom resource comes in as any
//! JSON, since wrong types are found by its own validation.

use crate::schema::{Schema, Shape, Struct, TypeId};
use serde_json::{Map, Value};

/// Takes out what the schema does not know, and says where it stood.
pub fn prune(value: &mut Value, schema: &Schema, id: TypeId) -> Vec<String> {
    let mut found = Vec::new();
    if let Value::Object(object) = value {
        fields(object, schema, schema.get(id), "", &mut found);
    }
    found
}

fn fields(object: &mut Map<String, Value>, schema: &Schema, structure: &Struct, path: &str, found: &mut Vec<String>) {
    object.retain(|name, value| {
        let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let shape = match structure.field(name) {
            Some(field) => Some(&field.shape),
            None => structure.additional.as_ref(),
        };
        match shape {
            Some(shape) => descend(value, schema, shape, &here, found),
            None if structure.preserve_unknown => {}
            None => {
                found.push(here);
                return false;
            }
        }
        true
    });
}

fn descend(value: &mut Value, schema: &Schema, shape: &Shape, path: &str, found: &mut Vec<String>) {
    match (value, shape) {
        (Value::Object(object), Shape::Struct(id)) => fields(object, schema, schema.get(*id), path, found),
        (Value::Object(entries), Shape::Map(map)) => {
            for (key, value) in entries {
                descend(value, schema, &map.value, &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(items), Shape::List(list)) => {
            for (at, item) in items.iter_mut().enumerate() {
                descend(item, schema, &list.item, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

/// Takes out null fields that may not be null: absent is what was meant, and a default may follow.
pub fn drop_nulls(value: &mut Value, schema: &Schema, id: TypeId) {
    nulls(value, schema, &Shape::Struct(id));
}

fn nulls(value: &mut Value, schema: &Schema, shape: &Shape) {
    match (value, shape) {
        (Value::Object(object), Shape::Struct(id)) => {
            let structure = schema.get(*id);
            object.retain(|name, value| {
                let Some(field) = structure.field(name) else {
                    structure.additional.iter().for_each(|shape| nulls(value, schema, shape));
                    return true;
                };
                if value.is_null() {
                    return field.nullable;
                }
                nulls(value, schema, &field.shape);
                true
            });
        }
        (Value::Object(entries), Shape::Map(map)) => {
            entries.values_mut().for_each(|value| nulls(value, schema, &map.value));
        }
        (Value::Array(items), Shape::List(list)) => {
            items.iter_mut().for_each(|item| nulls(item, schema, &list.item));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{AnyForm, Field, List};
    use serde_json::json;

    #[test]
    fn what_the_schema_does_not_have_goes() {
        let mut schema = Schema::default();
        let any = || Shape::Any(AnyForm::Raw);
        let mut maybe = Field::new("maybe", any());
        maybe.nullable = true;
        let item = schema.add(Struct { fields: vec![Field::new("a", any()), maybe], ..Struct::default() });
        let free = schema.add(Struct { preserve_unknown: true, ..Struct::default() });
        let fields = vec![
            Field::new("list", Shape::List(Box::new(List::of(Shape::Struct(item))))),
            Field::new("free", Shape::Struct(free)),
        ];
        let root = schema.add(Struct { fields, ..Struct::default() });
        let mut value = json!({"list": [{"a": 1, "b": 2}, {"a": null, "maybe": null}], "free": {"x": 1}, "other": 1});
        assert_eq!(prune(&mut value, &schema, root), ["list[0].b", "other"]);
        drop_nulls(&mut value, &schema, root);
        assert_eq!(value, json!({"list": [{"a": 1}, {"maybe": null}], "free": {"x": 1}}));
    }
}
