//! From a request's body to a defaulted tree: media types, strictness, apiVersion and kind.

use super::Caller;
use crate::resources::Resource;
use client::Options;
use meta::{Reason, Status};
use serde_json::Value;
use wire::decode::{DecodeError, Strictness};
use wire::schema::{Schema, TypeId};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

/// What a body has to be.
pub(crate) struct Expected<'a> {
    pub schema: &'a Schema,
    pub type_id: TypeId,
    pub api_version: String,
    pub kind: &'a str,
    /// A custom resource: any JSON, pruned; its types are checked later.
    pub is_custom: bool,
}

impl<'a> Expected<'a> {
    pub fn of(resource: &'a Resource) -> Self {
        Expected {
            schema: resource.schema(),
            type_id: resource.type_id(),
            api_version: resource.api_version(),
            kind: &resource.kind.kind,
            is_custom: resource.custom.is_some(),
        }
    }
}

/// Reads the body of a create or update of `resource` and defaults it; what comes out is of the
/// version that rules work on.
pub(crate) fn decode_object(
    resource: &Resource,
    body: &[u8],
    media: Media,
    options: &Options,
    caller: &mut Caller<'_>,
) -> Result<Value, Status> {
    let mut object = decode(&Expected::of(resource), body, media, options, caller)?;
    default(resource, &mut object);
    Ok(resource.up(object))
}

/// Declared defaults, then the kind's own.
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    wire::defaults::apply_declared(object, resource.schema(), resource.type_id());
    match &resource.kept_as {
        Some((_, version)) => version.default(object),
        None => resource.strategy.default(object),
    }
}

pub(crate) fn decode(
    expected: &Expected<'_>,
    body: &[u8],
    media: Media,
    options: &Options,
    caller: &mut Caller<'_>,
) -> Result<Value, Status> {
    let strictness = strictness(options)?;
    let (mut object, found) = match media {
        Media::Protobuf if expected.is_custom => return Err(no_protobuf()),
        Media::Json if expected.is_custom => {
            wire::decode::decode_untyped(body).and_then(|(value, twice)| custom(expected, value, twice, strictness))
        }
        Media::Yaml if expected.is_custom => custom(expected, parse_yaml(body)?, Vec::new(), strictness),
        Media::Json => wire::decode::decode_json(body, expected.schema, expected.type_id, strictness),
        Media::Yaml => {
            let value = parse_yaml(body)?;
            wire::decode::from_value(value, expected.schema, expected.type_id, strictness)
        }
        Media::Protobuf => wire::protobuf::from_protobuf(body, expected.schema, &struct_of)
            .map(|object| (object, Vec::new()))
            .map_err(|error| DecodeError::Type(error.to_string())),
    }
    .map_err(|error| refused(expected, &error, body))?;
    caller.warnings.extend(found);
    check_type(expected, &mut object, body)?;
    Ok(object)
}

/// What is to be applied: YAML by its name, and mostly JSON, which is read in a fraction of the time.
/// Whatever gives reason to complain is read again, so that the complaint is about YAML.
pub(crate) fn decode_applied(
    expected: &Expected<'_>,
    body: &[u8],
    options: &Options,
    caller: &mut Caller<'_>,
) -> Result<Value, Status> {
    if body.trim_ascii_start().starts_with(b"{") {
        let warned = caller.warnings.len();
        match decode(expected, body, Media::Json, options, caller) {
            Ok(object) if caller.warnings.len() == warned => return Ok(object),
            _ => caller.warnings.truncate(warned),
        }
    }
    decode(expected, body, Media::Yaml, options, caller)
}

/// Checks a tree that a patch made of `known`, which was checked when it came; Null where it was made
/// of nothing that was.
pub(crate) fn recheck(
    expected: &Expected<'_>,
    known: &Value,
    object: Value,
    options: &Options,
    caller: &mut Caller<'_>,
) -> Result<Value, Status> {
    let strictness = strictness(options)?;
    let (mut object, found) = match expected.is_custom {
        true => custom(expected, object, Vec::new(), strictness),
        false => wire::decode::from_changed(object, known, expected.schema, expected.type_id, strictness),
    }
    .map_err(|error| {
        let path = meta::field::Path::new("patch");
        let body = meta::field::FieldError::invalid(&path, Value::Null, &error.to_string());
        meta::field::invalid("", "", "", &[body])
    })?;
    caller.warnings.extend(found);
    check_type(expected, &mut object, b"")?;
    Ok(object)
}

/// Metadata as any kind has them, and nothing that the schema does not know.
fn custom(
    expected: &Expected<'_>,
    mut object: Value,
    twice: Vec<String>,
    strictness: Strictness,
) -> wire::decode::Decoded {
    let mut found = twice;
    if !object.is_object() {
        let why = "json: cannot unmarshal into Go value of type map[string]interface {}";
        return Err(DecodeError::Type(why.to_owned()));
    }
    if let (Some(metadata), Some(id)) = (object.get_mut("metadata"), kinds::type_id("meta.v1.ObjectMeta")) {
        let (read, unknown) = wire::decode::from_value(metadata.take(), kinds::schema(), id, Strictness::Warn)?;
        *metadata = read;
        found.extend(unknown.iter().map(|text| text.replacen(" field \"", " field \"metadata.", 1)));
    }
    let gone = wire::prune::prune(&mut object, expected.schema, expected.type_id);
    found.extend(gone.iter().map(|path| format!("unknown field {path:?}")));
    match strictness {
        Strictness::Strict if !found.is_empty() => Err(DecodeError::Strict(found)),
        Strictness::Ignore => Ok((object, Vec::new())),
        _ => Ok((object, found)),
    }
}

fn no_protobuf() -> Status {
    let why = "the body of the request was in an unknown format - accepted media types include: application/json, \
               application/yaml";
    Status::failure(Reason::UnsupportedMediaType, why)
}

/// YAML, of which JSON is a part, as apply patches are written.
pub(crate) fn parse_yaml(body: &[u8]) -> Result<Value, Status> {
    let text = std::str::from_utf8(body).map_err(|_| Status::bad_request("yaml: invalid UTF-8"))?;
    wire::yaml::parse(text).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// The struct behind an apiVersion and kind, for protobuf bodies, which name their type.
pub(crate) fn struct_of(api_version: &str, kind: &str) -> Option<TypeId> {
    let group_version = meta::GroupVersion::parse(api_version)?;
    kinds::type_of(&group_version.group, &group_version.version, kind)
}

fn strictness(options: &Options) -> Result<Strictness, Status> {
    match options.field_validation.as_deref() {
        None | Some("" | "Warn") => Ok(Strictness::Warn),
        Some("Strict") => Ok(Strictness::Strict),
        Some("Ignore") => Ok(Strictness::Ignore),
        Some(other) => {
            let path = meta::field::Path::new("fieldValidation");
            let error = meta::field::FieldError::not_supported(&path, other, &["Ignore", "Strict", "Warn"]);
            Err(meta::field::invalid("meta.k8s.io", "CreateOptions", "", &[error]))
        }
    }
}

fn refused(expected: &Expected<'_>, error: &DecodeError, body: &[u8]) -> Status {
    if let DecodeError::Syntax(why) = error {
        return unrecognized(
            expected,
            &format!("couldn't get version/kind; json parse error: {why} ({})", shown(body)),
        );
    }
    let version = expected.api_version.rsplit('/').next().unwrap_or_default();
    let kind = expected.kind;
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}"))
}

/// apiVersion and kind must be the expected ones; both may be absent where the path says it all,
/// as upstream's decoder with defaults allows.
fn check_type(expected: &Expected<'_>, object: &mut Value, body: &[u8]) -> Result<(), Status> {
    let Some(fields) = object.as_object_mut() else {
        return Err(missing(expected, "Kind", body));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if !api_version.is_empty() && api_version != expected.api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        let version = expected.api_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::failure(
            Reason::BadRequest,
            format!(
                "{kind} in version {version:?} cannot be handled as a {}: converting ({kind}) to ({}): unknown conversion",
                expected.kind, expected.kind
            ),
        ));
    }
    fields.insert("apiVersion".to_owned(), Value::String(expected.api_version.clone()));
    fields.insert("kind".to_owned(), Value::String(expected.kind.to_owned()));
    Ok(())
}

fn missing(expected: &Expected<'_>, what: &str, body: &[u8]) -> Status {
    unrecognized(expected, &format!("Object '{what}' is missing in '{}'", shown(body)))
}

fn unrecognized(expected: &Expected<'_>, why: &str) -> Status {
    Status::bad_request(format!("the object provided is unrecognized (must be of type {}): {why}", expected.kind))
}

/// The beginning of a body, as messages show it.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(30)]);
    match body.len() {
        0 => "<empty>".to_owned(),
        1..=30 => text.into_owned(),
        _ => format!("{text} ..."),
    }
}

/// Declared defaults of a type that is no resource of its own.
pub(crate) fn default_type(object: &mut Value, schema: &Schema, type_id: TypeId) {
    wire::defaults::apply_declared(object, schema, type_id);
}
