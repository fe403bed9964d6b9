//! Puts declared defaults in (`+default`, a custom resource's `default`). Defaults that upstream
//! computes belong to each kind's rules.

use crate::schema::{Schema, Shape, Struct, TypeId};
use serde_json::{Map, Value};

/// Sets every absent field that has a declared default, at any depth, wherever the object around
/// it exists.
pub fn apply_declared(value: &mut Value, schema: &Schema, id: TypeId) {
    if let Value::Object(object) = value {
        fill(object, schema, schema.get(id));
    }
}

fn fill(object: &mut Map<String, Value>, schema: &Schema, structure: &Struct) {
    for field in &structure.fields {
        let is_go_value = matches!(field.shape, Shape::Struct(_)) && !field.pointer;
        if field.default.is_none() && !is_go_value {
            continue;
        }
        let name = field.name.as_ref();
        let given = object.get(name);
        if let Some(default) = &field.default
            && given.is_none_or(|value| value.is_null() && !field.nullable)
        {
            object.insert(name.to_owned(), default.clone());
        } else if let (None, Shape::Struct(id)) = (given, &field.shape) {
            // In Go this struct exists, unset as it is; it appears only if a default fills it.
            let mut unset = Map::new();
            fill(&mut unset, schema, schema.get(*id));
            if !unset.is_empty() {
                object.insert(name.to_owned(), Value::Object(unset));
            }
        }
    }
    for (name, value) in object.iter_mut() {
        let shape = structure.field(name).map(|field| &field.shape).or(structure.additional.as_ref());
        if let Some(shape) = shape {
            descend(value, schema, shape);
        }
    }
}

fn descend(value: &mut Value, schema: &Schema, shape: &Shape) {
    match (value, shape) {
        (Value::Object(object), Shape::Struct(id)) => fill(object, schema, schema.get(*id)),
        (Value::Object(entries), Shape::Map(map)) => {
            entries.iter_mut().for_each(|(_, value)| descend(value, schema, &map.value));
        }
        (Value::Array(items), Shape::List(list)) => {
            items.iter_mut().for_each(|item| descend(item, schema, &list.item));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, List};
    use serde_json::json;

    /// `{ports: [{protocol = TCP}], inner: {size = 1}, maybe: *{size = 1}}`
    fn schema() -> (Schema, TypeId) {
        let mut schema = Schema::default();
        let with_default = |name: &'static str, default: Value| {
            let shape = if default.is_string() { Shape::String { enum_type: None } } else { Shape::Int32 };
            Field { default: Some(default), ..Field::new(name, shape) }
        };
        let port = schema.add(Struct { fields: vec![with_default("protocol", json!("TCP"))], ..Struct::default() });
        let inner = schema.add(Struct { fields: vec![with_default("size", json!(1))], ..Struct::default() });
        let fields = vec![
            Field::new("ports", Shape::List(Box::new(List::of(Shape::Struct(port))))),
            Field { pointer: false, ..Field::new("inner", Shape::Struct(inner)) },
            Field::new("maybe", Shape::Struct(inner)),
        ];
        let root = schema.add(Struct { fields, ..Struct::default() });
        (schema, root)
    }

    #[test]
    fn defaults_go_where_the_parent_exists() {
        let (schema, root) = schema();
        let mut value = json!({"ports": [{}, {"protocol": "UDP"}]});
        apply_declared(&mut value, &schema, root);
        assert_eq!(value, json!({"ports": [{"protocol": "TCP"}, {"protocol": "UDP"}], "inner": {"size": 1}}));
        let mut value = json!({"maybe": {}, "inner": {"size": 0}});
        apply_declared(&mut value, &schema, root);
        assert_eq!(value, json!({"maybe": {"size": 1}, "inner": {"size": 0}}));
    }
}
