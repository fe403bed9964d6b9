//! The types that objects of a kind have in expressions: out of the table of kinds, or a
//! definition's schema.

use super::{DefinitionView, list};
use client::{Cache, Item};
use expressions::{Bound, Field, ObjectType, Type, escape};
use kinds::find_kind;
use meta::GroupVersionKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::schema::{Schema, Shape, TypeId};

/// Deeper than any built-in kind that does not contain itself.
const MAX_DEPTH: usize = 20;

/// The kind behind a resource; None: it is not known, or several.
pub(super) fn kind(
    group: &str,
    version: &str,
    plural: &str,
    definitions: &Cache<DefinitionView>,
) -> Option<GroupVersionKind> {
    let named = |kind: &str| GroupVersionKind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
    };
    if let Some(known) = kinds::find(group, version, plural) {
        return Some(named(&known.kind));
    }
    let defined = definitions.list();
    let defined = defined.iter().find(|one| one.view.group == group && one.view.plural == plural)?;
    Some(named(&defined.view.kind))
}

pub(super) fn of(kind: &GroupVersionKind, definitions: &Cache<DefinitionView>) -> Option<Type> {
    if let Some(known) = find_kind(&kind.group, &kind.version, &kind.kind) {
        return Some(structure(kinds::schema(), known.type_id, &mut Vec::new()));
    }
    let defined = definitions.list();
    let defined = defined.iter().find(|one| one.view.group == kind.group && one.view.kind == kind.kind)?;
    defined_type(defined, &kind.version)
}

fn defined_type(definition: &Item<DefinitionView>, version: &str) -> Option<Type> {
    let definition: Value = definition.decode().ok()?;
    let version = list(&definition["spec"]["versions"]).iter().find(|one| one["name"] == version)?;
    Type::from_schema(version.pointer("/schema/openAPIV3Schema")?, true)
}

fn structure(schema: &Schema, id: TypeId, above: &mut Vec<TypeId>) -> Type {
    // A type within itself is known when it runs, not before.
    if above.contains(&id) || above.len() > MAX_DEPTH {
        return Type::DYN;
    }
    above.push(id);
    let mut fields = BTreeMap::new();
    for field in &schema.get(id).fields {
        let Some(written) = escape(&field.name) else { continue };
        let kind = shape(schema, &field.shape, above);
        fields.insert(written, Field { json: field.name.to_string(), kind });
    }
    above.pop();
    Type::Object(Arc::new(ObjectType { name: "object".to_owned(), fields }))
}

fn shape(schema: &Schema, shape: &Shape, above: &mut Vec<TypeId>) -> Type {
    match shape {
        Shape::Bool => Type::Bool,
        Shape::Int32 | Shape::Int64 => Type::Int,
        Shape::Float64 => Type::Double,
        Shape::String { .. } | Shape::Duration => Type::STRING,
        Shape::Bytes => Type::Bytes(Bound::UNKNOWN),
        Shape::Time | Shape::MicroTime => Type::Timestamp,
        Shape::Quantity | Shape::IntOrString | Shape::Any(_) => Type::DYN,
        Shape::Struct(id) => structure(schema, *id, above),
        Shape::List(list) => Type::list(self::shape(schema, &list.item, above)),
        Shape::Map(map) => Type::map(Type::STRING, self::shape(schema, &map.value, above)),
    }
}
