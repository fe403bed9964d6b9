//! The rules of one version of a custom resource: what its definition says, on the same path as
//! every built-in kind's.

use super::compile::Compiled;
use super::definition::{Definition, Scale, Version};
use super::path::JsonPath;
use crate::print::human_duration;
use crate::rules::{drop_status, keep_all_but_status};
use crate::{Column, Context, Fields, Strategy};
use base::Timestamp;
use meta::Name;
use meta::field::{ErrorKind, ErrorList, FieldError, Path};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

pub struct Rules {
    kind: String,
    has_status: bool,
    scale: Option<Scale>,
    columns: Vec<Column>,
    cells: Vec<Option<JsonPath>>,
    selectable: Vec<(String, JsonPath)>,
    /// Those of them that clients of this version may select by.
    own_selectable: Vec<String>,
    /// The definition's own bytes: the schema is read out of them when it is first needed.
    source: Arc<[u8]>,
    version: String,
    compiled: OnceLock<Compiled>,
}

/// As selectors name it.
fn name(json_path: &str) -> &str {
    json_path.trim_start_matches('.')
}

impl Rules {
    /// `source` is the definition as JSON.
    pub fn new(definition: &Definition, version: &Version, source: Arc<[u8]>) -> Self {
        let (columns, cells) = columns(version);
        // The index of an object serves all versions, so it has the fields of all.
        let all = definition.spec.versions.iter().flat_map(|version| &version.selectable_fields);
        let mut selectable: Vec<(String, JsonPath)> = Vec::new();
        for field in all {
            let name = name(&field.json_path).to_owned();
            if let Some(path) =
                JsonPath::parse(&field.json_path).filter(|_| selectable.iter().all(|(known, _)| *known != name))
            {
                selectable.push((name, path));
            }
        }
        Rules {
            kind: definition.spec.names.kind.clone(),
            has_status: version.has_status(),
            scale: version.scale().cloned(),
            columns,
            cells,
            selectable,
            own_selectable: version.selectable_fields.iter().map(|field| name(&field.json_path).to_owned()).collect(),
            source,
            version: version.name.clone(),
            compiled: OnceLock::new(),
        }
    }

    /// Whether clients of this version may select by a field.
    pub fn selects_by(&self, field: &str) -> bool {
        self.own_selectable.iter().any(|own| own == field)
    }

    pub fn scale(&self) -> Option<&Scale> {
        self.scale.as_ref()
    }

    /// The version's openAPIV3Schema as it was given; null where there is none.
    pub fn openapi(&self) -> Value {
        let definition: Value = serde_json::from_slice(&self.source).unwrap_or_default();
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        let version = versions.into_iter().flatten().find(|version| version["name"] == self.version.as_str());
        version.and_then(|version| version.pointer("/schema/openAPIV3Schema")).cloned().unwrap_or_default()
    }

    /// The schema, made ready on first use: most definitions of a start-up are never asked for.
    pub fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let definition: Value = serde_json::from_slice(&self.source).unwrap_or_default();
            let keeps = definition.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true));
            Compiled::new(&self.kind, &self.openapi(), keeps)
        })
    }

    fn check(&self, new: &Value, old: Option<&Value>) -> ErrorList {
        let mut errors = ErrorList::new();
        let compiled = self.compiled();
        compiled.check.run(new, old, &Path::root(), &mut errors);
        if let Some(rules) = &compiled.rules {
            match errors.iter().any(|error| hinders_rules(error.kind)) {
                true => errors.push(FieldError::invalid(&Path::new("<nil>"), "null", UNCHECKED)),
                false => errors.extend(rules.refusals(new, old)),
            }
        }
        errors
    }
}

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation";

/// Rules rely on values being of their types and no larger than their schema says.
fn hinders_rules(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
                   not guaranteed to be set in happens-before order across separate operations. Clients may not set \
                   this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. \
                   Null for lists. More info: \
                   https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

fn columns(version: &Version) -> (Vec<Column>, Vec<Option<JsonPath>>) {
    let name = Column {
        name: Cow::Borrowed("Name"),
        kind: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        priority: 0,
        description: Cow::Borrowed(
            "Name must be unique within a namespace. Is required when creating resources, although some resources may \
             allow a client to request the generation of an appropriate name automatically. Name is primarily intended \
             for creation idempotence and configuration definition. Cannot be updated. More info: \
             https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
        ),
    };
    let (mut columns, mut cells) = (vec![name], Vec::new());
    if version.additional_printer_columns.is_empty() {
        columns.push(Column {
            name: Cow::Borrowed("Age"),
            kind: Cow::Borrowed("date"),
            format: Cow::Borrowed(""),
            priority: 0,
            description: Cow::Borrowed(AGE),
        });
        cells.push(JsonPath::parse(".metadata.creationTimestamp"));
    }
    for column in &version.additional_printer_columns {
        let description = match column.description.is_empty() {
            true => format!("Custom resource definition column (in JSONPath format): {}", column.json_path),
            false => column.description.clone(),
        };
        columns.push(Column {
            name: Cow::Owned(column.name.clone()),
            kind: Cow::Owned(column.kind.clone()),
            format: Cow::Owned(column.format.clone()),
            priority: column.priority,
            description: Cow::Owned(description),
        });
        cells.push(JsonPath::parse(&column.json_path));
    }
    (columns, cells)
}

/// A value as the cell of a column of that type.
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", Value::String(_)) => value.clone(),
        ("string", Value::Null) => Value::String(String::new()),
        ("string", other) => String::from_utf8(wire::encode::any_to_json(other)).unwrap_or_default().into(),
        ("integer", Value::Number(number)) => number.as_i64().or(number.as_f64().map(|it| it as i64)).into(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(then) => human_duration(now.duration_since(then).as_secs()).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

impl Strategy for Rules {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "")
    }

    fn default(&self, object: &mut Value) {
        let compiled = self.compiled();
        wire::prune::drop_nulls(object, &compiled.schema, compiled.root);
    }

    fn prepare_create(&self, object: &mut Value, _context: &Context<'_>) {
        if self.has_status {
            drop_status(object);
        }
    }

    fn validate_create(&self, object: &Value, _context: &Context<'_>) -> ErrorList {
        self.check(object, None)
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        if self.has_status {
            crate::rules::keep_status(new, old);
        }
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        self.check(new, Some(old))
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_all_but_status(new, old);
    }

    fn validate_status_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        self.check(new, Some(old))
    }

    /// What rules say of places that an update left as they were.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        match (&self.compiled().rules, old) {
            (Some(rules), Some(old)) => rules.warnings(new, old),
            _ => Vec::new(),
        }
    }

    fn counts_for_generation(&self, field: &str) -> bool {
        !(matches!(field, "metadata" | "kind" | "apiVersion") || self.has_status && field == "status")
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Fields {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => String::new(),
        };
        let of = |(name, path): &(String, JsonPath)| {
            let name: Name = Cow::Owned(name.clone());
            (name, path.first(object).map(text).unwrap_or_default())
        };
        self.selectable.iter().map(of).collect()
    }

    fn columns(&self) -> Option<&[Column]> {
        Some(&self.columns)
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let mut cells = vec![object["metadata"]["name"].clone()];
        for (column, path) in self.columns[1..].iter().zip(&self.cells) {
            let found = path.as_ref().and_then(|path| path.first(object));
            cells.push(found.map_or(Value::Null, |value| cell(&column.kind, value, now)));
        }
        cells
    }
}
