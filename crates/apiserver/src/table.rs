//! Objects as tables, for `kubectl get`: the columns of the kind, or name and age.

use crate::object::Object;
use crate::resources::Resource;
use base::Timestamp;
use meta::Status;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;
use strategy::Column;

/// What of each object goes into its row (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

/// Columns of kinds that have none of their own.
const PLAIN: &[Column] = &[
    Column {
        name: Cow::Borrowed("Name"),
        kind: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        priority: 0,
        description: Cow::Borrowed(
            "Name must be unique within a namespace. Is required when creating resources, although some \
             resources may allow a client to request the generation of an appropriate name automatically. \
             Name is primarily intended for creation idempotence and configuration definition. Cannot be \
             updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
        ),
    },
    Column {
        name: Cow::Borrowed("Created At"),
        kind: Cow::Borrowed("date"),
        format: Cow::Borrowed(""),
        priority: 0,
        description: Cow::Borrowed(
            "CreationTimestamp is a timestamp representing the server time when this object was created. \
             It is not guaranteed to be set in happens-before order across separate operations. Clients may \
             not set this value. It is represented in RFC3339 form and is in UTC.",
        ),
    },
];

impl Include {
    pub fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// The start of a Table up to its rows.
pub fn head(resource: &Resource, version: &str, metadata: &Value, with_columns: bool) -> Vec<u8> {
    let columns: Vec<Value> = match with_columns {
        true => resource.strategy.columns().unwrap_or(PLAIN).iter().map(definition).collect(),
        false => Vec::new(),
    };
    let columns = if with_columns { Value::Array(columns) } else { Value::Null };
    format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":["
    )
    .into_bytes()
}

/// Adds one row to `out`.
pub fn row(
    out: &mut Vec<u8>,
    resource: &Resource,
    object: &Object,
    include: Include,
    version: &str,
    now: Timestamp,
) -> Result<(), Status> {
    // Cells are made of the version that rules work on.
    let value = match resource.kept_as {
        Some(_) => resource.up(object.value()?),
        None => object.value()?,
    };
    let cells = match resource.strategy.columns() {
        Some(_) => resource.strategy.cells(&value, now),
        None => vec![
            object.index.name.clone().into(),
            value.pointer("/metadata/creationTimestamp").cloned().unwrap_or_default(),
        ],
    };
    out.extend_from_slice(b"{\"cells\":");
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}", Value::Array(cells));
    let conditions = resource.strategy.row_conditions(&value);
    if !conditions.is_empty() {
        let _ = write!(out, ",\"conditions\":{}", Value::Array(conditions));
    }
    match include {
        Include::None => {}
        Include::Object => {
            out.extend_from_slice(b",\"object\":");
            out.extend_from_slice(&object.json);
        }
        Include::Metadata => {
            out.extend_from_slice(b",\"object\":");
            let value = if resource.kept_as.is_some() { object.value()? } else { value };
            partial(out, value, version);
        }
    }
    out.push(b'}');
    Ok(())
}

/// An object as PartialObjectMetadata.
pub fn partial(out: &mut Vec<u8>, mut object: Value, version: &str) {
    let metadata = object.get_mut("metadata").map(Value::take).unwrap_or_default();
    let partial = json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
    });
    let encoded = match kinds::type_id("meta.v1.PartialObjectMetadata") {
        Some(type_id) => wire::encode::to_json(&partial, kinds::schema(), type_id),
        None => partial.to_string().into_bytes(),
    };
    out.extend_from_slice(&encoded);
}

/// The Table of one object, as a GET or a watch event shows it.
pub fn single(
    resource: &Resource,
    object: &Arc<Object>,
    include: Include,
    version: &str,
    now: Timestamp,
    with_columns: bool,
) -> Result<Vec<u8>, Status> {
    let metadata = json!({"resourceVersion": object.revision.to_string()});
    let mut out = head(resource, version, &metadata, with_columns);
    row(&mut out, resource, object, include, version, now)?;
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}
