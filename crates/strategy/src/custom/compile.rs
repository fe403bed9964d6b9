//! A version's openAPIV3Schema, made ready once: as the same structure that built-in kinds have, for
//! pruning, defaults and apply, and as a tree of checks.

use super::check::Check;
use serde_json::Value;
use std::borrow::Cow;
use wire::schema::{AnyForm, Field, List, ListKind, Map, Patch, Schema, Shape, Struct, TypeId};

pub struct Compiled {
    pub schema: Schema,
    pub root: TypeId,
    pub(super) check: Check,
    /// None: no rules in CEL.
    pub(super) rules: Option<super::cel::Node>,
    /// Nothing is pruned.
    pub keeps_unknown: bool,
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

impl Compiled {
    /// `name` stands for the kind in what is printed of the type.
    pub fn new(name: &str, openapi: &Value, keeps_unknown: bool) -> Self {
        let mut schema = Schema::default();
        let metadata = match kinds::type_id("meta.v1.ObjectMeta") {
            Some(id) => schema.copy_from(kinds::schema(), id),
            None => schema.add(Struct { preserve_unknown: true, ..Struct::default() }),
        };
        let mut shaper = Shaper { schema, metadata };
        let mut root = shaper.structure(name, openapi);
        root.preserve_unknown |= keeps_unknown || openapi.as_object().is_none_or(serde_json::Map::is_empty);
        shaper.identify(&mut root);
        let root = shaper.schema.add(root);
        Compiled {
            schema: shaper.schema,
            root,
            check: Check::new(openapi),
            rules: super::cel::Node::of_root(openapi),
            keeps_unknown,
        }
    }
}

struct Shaper {
    schema: Schema,
    metadata: TypeId,
}

fn any() -> Shape {
    Shape::Any(AnyForm::Raw)
}

fn is(schema: &Value, mark: &str) -> bool {
    schema.get(mark) == Some(&Value::Bool(true))
}

impl Shaper {
    fn structure(&mut self, name: &str, openapi: &Value) -> Struct {
        let properties = openapi.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten().map(|(key, inner)| {
            let shape = self.shape(&format!("{name}.{key}"), inner);
            Field {
                nullable: is(inner, "nullable"),
                default: inner.get("default").cloned(),
                atomic: inner.get("x-kubernetes-map-type") == Some(&"atomic".into()),
                ..Field::new(Cow::Owned(key.clone()), shape)
            }
        });
        let fields = fields.collect();
        let additional = match openapi.get("additionalProperties") {
            Some(inner @ Value::Object(_)) => Some(self.shape(name, inner)),
            Some(Value::Bool(true)) => Some(any()),
            _ => None,
        };
        Struct {
            name: Cow::Owned(name.to_owned()),
            fields,
            additional,
            preserve_unknown: is(openapi, PRESERVE),
            embedded_object: is(openapi, EMBEDDED),
            ..Struct::default()
        }
    }

    /// apiVersion, kind and metadata are there without being said.
    fn identify(&self, structure: &mut Struct) {
        structure.fields.retain(|field| !matches!(field.name.as_ref(), "apiVersion" | "kind" | "metadata"));
        let text = || Shape::String { enum_type: None };
        structure.fields.push(Field::new("apiVersion", text()));
        structure.fields.push(Field::new("kind", text()));
        structure.fields.push(Field::new("metadata", Shape::Struct(self.metadata)));
        structure.embedded_object = true;
    }

    fn shape(&mut self, name: &str, openapi: &Value) -> Shape {
        let kind = openapi.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "array" => self.list(name, openapi),
            "object" | "" if kind == "object" || is(openapi, PRESERVE) => {
                let values = openapi.get("additionalProperties").filter(|inner| inner.is_object());
                let is_map = openapi.get("properties").is_none() && !is(openapi, PRESERVE) && !is(openapi, EMBEDDED);
                if let Some(values) = values.filter(|_| is_map) {
                    let atomic = openapi.get("x-kubernetes-map-type") == Some(&"atomic".into());
                    return Shape::Map(Box::new(Map { value: self.shape(name, values), atomic }));
                }
                let mut structure = self.structure(name, openapi);
                if structure.embedded_object {
                    self.identify(&mut structure);
                }
                Shape::Struct(self.schema.add(structure))
            }
            _ => any(),
        }
    }

    fn list(&mut self, name: &str, openapi: &Value) -> Shape {
        let item = openapi.get("items").map_or_else(any, |items| self.shape(name, items));
        let kind = match openapi.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys = openapi.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                ListKind::Map { keys: keys.map(|key| Cow::Owned(key.to_owned())).collect() }
            }
            _ => ListKind::Atomic,
        };
        Shape::List(Box::new(List { item, kind, patch: Patch::default() }))
    }
}
