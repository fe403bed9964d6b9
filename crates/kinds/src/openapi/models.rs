//! The models of a document: one for each struct that its paths need, however indirectly.

use super::custom::{self, Custom};
use super::descriptions::Descriptions;
use super::writer::Writer;
use super::{Dialect, model_name};
use crate::resources::Kind;
use crate::schema;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use wire::schema::{AnyForm, Field, ListKind, Omit, Shape, Struct, TypeId};

/// What the type table has as shapes of their own, and OpenAPI as models.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// Below [`META`] and [`EXTENSIONS`].
const SIMPLE_FORMS: [&str; 5] = ["Time", "MicroTime", "Duration", "FieldsV1", "Patch"];
const FREE_FORMS: [&str; 4] =
    ["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"];

pub fn write(
    out: &mut Writer,
    dialect: Dialect,
    kinds: &[&Kind],
    roots: &BTreeSet<TypeId>,
    customs: &[Custom<'_>],
    others: &Map<String, Value>,
) {
    let models = Models { dialect, descriptions: Descriptions::load(), identities: identities(kinds) };
    let mut structs: Vec<(String, TypeId)> =
        reachable(roots).into_iter().map(|id| (model_name(&schema().get(id).name), id)).collect();
    structs.sort_unstable();
    out.object(|out| {
        for (name, id) in &structs {
            out.member(name, |out| models.model(out, name, *id));
        }
        models.specials(out);
        customs.iter().for_each(|one| custom::write(out, dialect, one));
        let is_ours = |name: &str| {
            let is_custom = |one: &Custom<'_>| {
                one.kind
                    .model
                    .as_deref()
                    .is_some_and(|own| name.strip_suffix("List").unwrap_or(name) == own || name == own)
            };
            let is_struct = structs.binary_search_by(|(own, _)| own.as_str().cmp(name)).is_ok();
            is_struct || is_special(name) || customs.iter().any(is_custom)
        };
        others.iter().filter(|(name, _)| !is_ours(name)).for_each(|(name, model)| out.value(name, model));
    });
}

/// Everything that the roots are made of.
fn reachable(roots: &BTreeSet<TypeId>) -> BTreeSet<TypeId> {
    let mut found = roots.clone();
    let mut open: Vec<TypeId> = roots.iter().copied().collect();
    while let Some(id) = open.pop() {
        for field in &schema().get(id).fields {
            let mut shape = &field.shape;
            let next = loop {
                match shape {
                    Shape::List(list) => shape = &list.item,
                    Shape::Map(map) => shape = &map.value,
                    Shape::Struct(id) => break Some(*id),
                    Shape::Any(AnyForm::OrBool(id) | AnyForm::OrList(id) | AnyForm::OrStrings(id)) => break Some(*id),
                    _ => break None,
                }
            };
            open.extend(next.filter(|id| found.insert(*id)));
        }
    }
    found
}

type Identity<'k> = (&'k str, &'k str, String);

/// Group, version and kind of the structs that are kinds.
fn identities<'k>(kinds: &[&'k Kind]) -> BTreeMap<TypeId, BTreeSet<Identity<'k>>> {
    let mut found: BTreeMap<TypeId, BTreeSet<Identity<'k>>> = BTreeMap::new();
    let mut add = |id: TypeId, group: &'k str, version: &'k str, kind: &str| {
        found.entry(id).or_default().insert((group, version, kind.to_owned()));
    };
    for row in kinds {
        if row.model.is_none() {
            add(row.type_id, &row.group, &row.version, &row.kind);
        }
        if let Some(id) = row.list_type_id {
            add(id, &row.group, &row.version, &row.list_kind);
        }
        for sub in &row.subresources {
            if let Some(id) = crate::type_of(&sub.group, &sub.version, &sub.kind) {
                add(id, &sub.group, &sub.version, &sub.kind);
            }
        }
        for kind in ["DeleteOptions", "WatchEvent"] {
            if let Some(id) = crate::type_id(&format!("meta.v1.{kind}")) {
                add(id, &row.group, &row.version, kind);
            }
        }
    }
    if let Some(id) = crate::type_id("meta.v1.Status") {
        add(id, "", "v1", "Status");
    }
    found
}

struct Models<'k> {
    dialect: Dialect,
    descriptions: Descriptions,
    identities: BTreeMap<TypeId, BTreeSet<Identity<'k>>>,
}

impl Models<'_> {
    fn model(&self, out: &mut Writer, name: &str, id: TypeId) {
        let structure = schema().get(id);
        out.object(|out| {
            self.description(out, name, "");
            out.text("type", "object");
            let required = structure.fields.iter().filter(|field| field.required);
            let mut required: Vec<&str> = required.map(|field| field.name.as_ref()).collect();
            required.sort_unstable();
            if !required.is_empty() {
                out.member("required", |out| out.list(required, |out, name| out.string(name)));
            }
            if !structure.fields.is_empty() {
                out.member("properties", |out| self.properties(out, name, structure));
            }
            if let Some(identities) = self.identities.get(&id) {
                out.member("x-kubernetes-group-version-kind", |out| {
                    out.list(identities, |out, (group, version, kind)| identity(out, group, version, kind));
                });
            }
            if structure.atomic {
                out.text("x-kubernetes-map-type", "atomic");
            }
        });
    }

    fn description(&self, out: &mut Writer, model: &str, field: &str) {
        if let Some(text) = self.descriptions.of(model, field) {
            out.text("description", &text);
        }
    }

    fn properties(&self, out: &mut Writer, model: &str, structure: &Struct) {
        let fields = structure.by_name.iter().map(|at| &structure.fields[usize::from(*at)]);
        out.object(|out| {
            for field in fields {
                out.member(&field.name, |out| {
                    out.object(|out| {
                        self.description(out, model, &field.name);
                        self.shape(out, &field.shape, model);
                        self.default(out, field);
                        extensions(out, field);
                    });
                });
            }
        });
    }

    /// The members that tell a value's type.
    fn shape(&self, out: &mut Writer, shape: &Shape, model: &str) {
        match shape {
            Shape::Bool => out.text("type", "boolean"),
            Shape::Int32 => typed(out, "integer", "int32"),
            Shape::Int64 => typed(out, "integer", "int64"),
            Shape::Float64 => typed(out, "number", "double"),
            Shape::Bytes => typed(out, "string", "byte"),
            Shape::String { enum_type } => {
                out.text("type", "string");
                if let Some(name) = enum_type.as_deref().filter(|name| crate::enum_is_closed(name)) {
                    let mut values = crate::enum_values(name).to_vec();
                    values.sort_unstable();
                    out.member("enum", |out| out.list(values, |out, value| out.string(value)));
                }
            }
            Shape::List(list) => {
                out.text("type", "array");
                out.member("items", |out| out.object(|out| self.item(out, &list.item, model)));
            }
            Shape::Map(map) => {
                out.text("type", "object");
                out.member("additionalProperties", |out| out.object(|out| self.item(out, &map.value, model)));
            }
            Shape::Struct(id) => self.reference(out, &model_name(&schema().get(*id).name)),
            Shape::Any(AnyForm::Raw) if !references_json(model) => out.text("type", "object"),
            special => self.reference(out, &special_name(special)),
        }
    }

    fn item(&self, out: &mut Writer, shape: &Shape, model: &str) {
        self.shape(out, shape, model);
        if self.dialect == Dialect::V3 {
            match shape {
                Shape::Struct(_) => out.value("default", &serde_json::json!({})),
                Shape::String { .. } => out.text("default", ""),
                Shape::Int32 | Shape::Int64 => out.value("default", &0.into()),
                _ => {}
            }
        }
    }

    /// Version 3 wraps references, as nothing may stand beside them there.
    fn reference(&self, out: &mut Writer, name: &str) {
        match self.dialect {
            Dialect::V2 => out.text("$ref", &format!("#/definitions/{name}")),
            Dialect::V3 => out.member("allOf", |out| {
                out.list([()], |out, ()| out.object(|out| out.text("$ref", &format!("#/components/schemas/{name}"))));
            }),
        }
    }

    fn default(&self, out: &mut Writer, field: &Field) {
        if self.dialect == Dialect::V2 {
            return;
        }
        let unset = !field.pointer && field.omit == Omit::Never;
        match (&field.default, &field.shape) {
            (Some(value), _) => out.value("default", value),
            (None, Shape::Struct(_)) if !field.pointer => out.value("default", &serde_json::json!({})),
            (None, Shape::String { .. }) if unset => out.text("default", ""),
            (None, Shape::Int32 | Shape::Int64) if unset => out.value("default", &0.into()),
            (None, Shape::Bool) if unset => out.flag("default", false),
            _ => {}
        }
    }

    /// Models that are no structs here.
    fn specials(&self, out: &mut Writer) {
        let v3 = self.dialect == Dialect::V3;
        let mut model = |name: &str, kind: Option<(&str, &str)>, alternatives: [&str; 2]| {
            out.member(name, |out| {
                out.object(|out| {
                    self.description(out, name, "");
                    match kind {
                        Some((kind, "")) => out.text("type", kind),
                        Some((kind, format)) => typed(out, kind, format),
                        None if v3 => out.member("oneOf", |out| {
                            out.list(alternatives, |out, kind| out.object(|out| out.text("type", kind)));
                        }),
                        None => out.text("type", "string"),
                    }
                    if name == INT_OR_STRING {
                        out.text("format", "int-or-string");
                    }
                });
            });
        };
        model(QUANTITY, None, ["string", "number"]);
        model(INT_OR_STRING, None, ["integer", "string"]);
        model(RAW_EXTENSION, Some(("object", "")), [""; 2]);
        model(&format!("{META}.Time"), Some(("string", "date-time")), [""; 2]);
        model(&format!("{META}.MicroTime"), Some(("string", "date-time")), [""; 2]);
        model(&format!("{META}.Duration"), Some(("string", "")), [""; 2]);
        model(&format!("{META}.FieldsV1"), Some(("object", "")), [""; 2]);
        model(&format!("{META}.Patch"), Some(("object", "")), [""; 2]);
        for name in FREE_FORMS {
            let name = format!("{EXTENSIONS}.{name}");
            out.member(&name, |out| out.object(|out| self.description(out, &name, "")));
        }
    }
}

/// Whether [`Models::specials`] writes it.
fn is_special(name: &str) -> bool {
    let below = |place: &str| name.strip_prefix(place).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    [QUANTITY, INT_OR_STRING, RAW_EXTENSION].contains(&name)
        || SIMPLE_FORMS.contains(&below(META))
        || FREE_FORMS.contains(&below(EXTENSIONS))
}

/// Free-form values that are models of their own, as opposed to table cells.
fn references_json(model: &str) -> bool {
    model.starts_with("io.k8s.apiextensions-apiserver") || model.ends_with(".ManagedFieldsEntry")
}

fn special_name(shape: &Shape) -> String {
    match shape {
        Shape::Quantity => QUANTITY.to_owned(),
        Shape::IntOrString => INT_OR_STRING.to_owned(),
        Shape::Any(AnyForm::Extension) => RAW_EXTENSION.to_owned(),
        Shape::Time => format!("{META}.Time"),
        Shape::MicroTime => format!("{META}.MicroTime"),
        Shape::Duration => format!("{META}.Duration"),
        Shape::Any(AnyForm::OrBool(_)) => format!("{EXTENSIONS}.JSONSchemaPropsOrBool"),
        Shape::Any(AnyForm::OrList(_)) => format!("{EXTENSIONS}.JSONSchemaPropsOrArray"),
        Shape::Any(AnyForm::OrStrings(_)) => format!("{EXTENSIONS}.JSONSchemaPropsOrStringArray"),
        _ => format!("{EXTENSIONS}.JSON"),
    }
}

fn typed(out: &mut Writer, kind: &str, format: &str) {
    out.text("type", kind);
    out.text("format", format);
}

pub fn identity(out: &mut Writer, group: &str, version: &str, kind: &str) {
    out.object(|out| {
        out.text("group", group);
        out.text("kind", kind);
        out.text("version", version);
    });
}

/// How patches and apply treat the field.
fn extensions(out: &mut Writer, field: &Field) {
    if let Shape::List(list) = &field.shape {
        let kind = match &list.kind {
            ListKind::Atomic => "atomic",
            ListKind::Set => "set",
            ListKind::Map { .. } => "map",
        };
        out.text("x-kubernetes-list-type", kind);
        if let ListKind::Map { keys } = &list.kind {
            out.member("x-kubernetes-list-map-keys", |out| out.list(keys, |out, key| out.string(key)));
        }
    }
    let patch = if let Shape::List(list) = &field.shape { &list.patch } else { &field.patch };
    let strategy = match (patch.merge, patch.retain_keys) {
        (true, true) => "merge,retainKeys",
        (true, false) => "merge",
        (false, true) => "retainKeys",
        (false, false) => "",
    };
    if !strategy.is_empty() {
        out.text("x-kubernetes-patch-strategy", strategy);
    }
    if let Some(key) = &patch.merge_key {
        out.text("x-kubernetes-patch-merge-key", key);
    }
    if field.atomic || matches!(&field.shape, Shape::Map(map) if map.atomic) {
        out.text("x-kubernetes-map-type", "atomic");
    }
}
