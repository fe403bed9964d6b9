//! Custom resources in the documents: their schemas as they were defined, with what every object has
//! put in, and for version 2 without what it cannot say.

use super::writer::Writer;
use super::{Dialect, model_name};
use crate::resources::Kind;
use serde_json::{Map, Value, json};

/// A custom resource to be described.
pub struct Custom<'a> {
    pub kind: &'a Kind,
    /// The openAPIV3Schema of its version; null where there is none.
    pub schema: Value,
    /// Changes whenever the definition does.
    pub fingerprint: u64,
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
                           convert recognized schemas to the latest internal value, and may reject unrecognized \
                           values. More info: \
                           https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this \
                    from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
                    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
                        https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: \
                             https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// What version 2 has no words for.
const NOT_IN_V2: [&str; 6] = ["oneOf", "anyOf", "not", "allOf", "nullable", "default"];

/// The models of an object and of its list.
pub fn write(out: &mut Writer, dialect: Dialect, custom: &Custom<'_>) {
    let kind = custom.kind;
    let Some(name) = &kind.model else { return };
    let mut schema = custom.schema.clone();
    if dialect == Dialect::V2 {
        simplify(&mut schema);
    }
    let is_defined = schema.is_object();
    let mut model = match schema {
        Value::Object(model) => model,
        _ => Map::new(),
    };
    model.insert("type".to_owned(), "object".into());
    let keeps_all = model.remove("x-kubernetes-preserve-unknown-fields").is_some_and(|keeps| keeps == true);
    if keeps_all && dialect == Dialect::V3 {
        model.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
    }
    // Where anything goes no property may be named: clients of version 2 would allow no other.
    if is_defined && !(keeps_all && dialect == Dialect::V2) {
        let mut properties = match model.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        properties.insert("apiVersion".to_owned(), json!({"description": API_VERSION, "type": "string"}));
        properties.insert("kind".to_owned(), json!({"description": KIND, "type": "string"}));
        properties.insert("metadata".to_owned(), reference(dialect, "meta.v1.ObjectMeta", METADATA));
        model.insert("properties".to_owned(), properties.into());
    }
    let identity = |kind: &str| json!([{"group": custom.kind.group, "kind": kind, "version": custom.kind.version}]);
    model.insert("x-kubernetes-group-version-kind".to_owned(), identity(&kind.kind));
    out.value(name, &Value::Object(model));
    let items = match dialect {
        Dialect::V2 => json!({"$ref": format!("#/definitions/{name}")}),
        Dialect::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
    };
    let list = json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": API_VERSION, "type": "string"},
            "kind": {"description": KIND, "type": "string"},
            "items": {
                "description": format!("List of {}. More info: \
                    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", kind.resource),
                "type": "array",
                "items": items,
            },
            "metadata": reference(dialect, "meta.v1.ListMeta", LIST_METADATA),
        },
        "x-kubernetes-group-version-kind": identity(&kind.list_kind),
    });
    out.value(&format!("{name}List"), &list);
}

fn reference(dialect: Dialect, name: &str, description: &str) -> Value {
    let name = model_name(name);
    match dialect {
        Dialect::V2 => json!({"description": description, "$ref": format!("#/definitions/{name}")}),
        Dialect::V3 => {
            json!({"description": description, "allOf": [{"$ref": format!("#/components/schemas/{name}")}]})
        }
    }
}

fn simplify(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let is_set = |field: &&str| fields.get(*field) == Some(&Value::Bool(true));
    let loose = ["nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"];
    if loose.iter().any(is_set) {
        // Clients of version 2 would refuse another type, or nulls in an object without properties.
        for field in ["type", "properties", "items"] {
            fields.remove(field);
        }
    }
    NOT_IN_V2.iter().for_each(|field| {
        fields.remove(*field);
    });
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(simplify);
    }
    for field in ["items", "additionalProperties"] {
        fields.get_mut(field).into_iter().for_each(simplify);
    }
}
