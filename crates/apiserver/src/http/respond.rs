//! From an answer to an HTTP response in the negotiated form.

use super::accept::{Accept, Format, Shape};
use super::payload::Payload;
use super::watching;
use crate::answer::{Answer, Listing};
use crate::object::Object;
use crate::resources::Resource;
use crate::table::{self, Include};
use base::{Clock, Timestamp};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Response, StatusCode, header};
use meta::Status;
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Arc;
use wire::schema::TypeId;

/// Lists are spliced together in pieces of this size.
const CHUNK: usize = 128 << 10;
/// Smaller answers are not worth compressing (upstream's bound).
const COMPRESS_FROM: usize = 128 << 10;

/// What the request's headers and query say about the answer's form.
pub struct Form {
    pub accept: Accept,
    pub include: Include,
    pub gzip: bool,
}

pub fn respond(
    answer: Answer,
    resource: Option<&Arc<Resource>>,
    form: &Form,
    clock: &Clock,
) -> Result<Response<Payload>, Status> {
    let now = clock.now();
    match answer {
        Answer::Status(status) => Ok(status_response(&status, form.accept.format)),
        Answer::Other { json, type_id, created } => {
            let code = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok(response(code, form, encode(form.accept.format, &json, type_id)?))
        }
        Answer::Object { object, created } => {
            let code = if created { StatusCode::CREATED } else { StatusCode::OK };
            let resource = resource.ok_or_else(Status::no_such_path)?;
            let body = single(&object, resource, form, now)?;
            Ok(response(code, form, body))
        }
        Answer::List(list) => list_response(list, form, now),
        Answer::Watch(watcher) => Ok(watching::response(watcher, form, clock.clone())),
    }
}

/// One object in the form asked for.
pub fn single(object: &Arc<Object>, resource: &Resource, form: &Form, now: Timestamp) -> Result<Bytes, Status> {
    match form.accept.shape {
        Shape::Plain => match form.accept.format {
            Format::Json => Ok(object.json.clone()),
            format => encode(format, &object.json, resource.type_id()),
        },
        Shape::Table(version) => Ok(table::single(resource, object, form.include, version, now, true)?.into()),
        Shape::Metadata { list: true, .. } => Err(Status::failure(
            meta::Reason::NotAcceptable,
            format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{}.{})",
                resource.kind.version, resource.kind.kind
            ),
        )),
        Shape::Metadata { version, .. } => {
            let mut json = Vec::new();
            table::partial(&mut json, object.value()?, version);
            encode_named(form.accept.format, json, "meta.v1.PartialObjectMetadata")
        }
    }
}

fn encode_named(format: Format, json: Vec<u8>, name: &str) -> Result<Bytes, Status> {
    if format == Format::Json {
        return Ok(json.into());
    }
    let type_id = kinds::type_id(name).ok_or_else(|| Status::internal(format!("no type {name}")))?;
    encode(format, &json, type_id)
}

/// Canonical JSON in another format.
pub fn encode(format: Format, json: &[u8], type_id: TypeId) -> Result<Bytes, Status> {
    match format {
        Format::Json => Ok(Bytes::copy_from_slice(json)),
        Format::Yaml => {
            let value: Value = serde_json::from_slice(json).map_err(Status::internal)?;
            Ok(wire::yaml::to_string(&value).into())
        }
        Format::Protobuf => {
            let value: Value = serde_json::from_slice(json).map_err(Status::internal)?;
            wire::protobuf::to_protobuf(&value, kinds::schema(), type_id).map(Bytes::from).map_err(Status::internal)
        }
    }
}

fn list_response(list: Listing, form: &Form, now: Timestamp) -> Result<Response<Payload>, Status> {
    let kind = &list.resource.clone().kind;
    let mut metadata = serde_json::Map::new();
    // What is not kept has no revision.
    if list.revision != 0 {
        metadata.insert("resourceVersion".to_owned(), list.revision.to_string().into());
    }
    if let Some(token) = &list.continue_token {
        metadata.insert("continue".to_owned(), token.clone().into());
    }
    if let Some(remaining) = list.remaining {
        metadata.insert("remainingItemCount".to_owned(), remaining.into());
    }
    let metadata = Value::Object(metadata);
    let chunks: Box<dyn Iterator<Item = Bytes> + Send> = match form.accept.shape {
        Shape::Plain => {
            let head = format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                kind.list_kind,
                kind.api_version()
            );
            // Items of a list carry no kind and apiVersion of their own, as Go's typed lists.
            let prefix = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version());
            Box::new(Splice::new(head.into_bytes(), list.items, move |out, object| {
                let rest = object.json.strip_prefix(prefix.as_bytes());
                out.extend(rest.map(|_| b'{'));
                out.extend_from_slice(rest.unwrap_or(&object.json));
            }))
        }
        Shape::Table(version) => {
            let head = table::head(&list.resource, version, &metadata, true);
            let (resource, include) = (list.resource.clone(), form.include);
            Box::new(Splice::new(head, list.items, move |out, object| {
                // Stored objects were checked before they were stored.
                let _ = table::row(out, &resource, object, include, version, now);
            }))
        }
        Shape::Metadata { version, .. } => {
            let head = format!(
                "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata},\"items\":["
            );
            Box::new(Splice::new(head.into_bytes(), list.items, move |out, object| {
                if let Ok(value) = object.value() {
                    table::partial(out, value, version);
                }
            }))
        }
    };
    if form.accept.format == Format::Json && !form.gzip {
        return Ok(with_payload(StatusCode::OK, form, Payload::Chunks(chunks)));
    }
    let whole: Vec<u8> = chunks.fold(Vec::new(), |mut whole, chunk| {
        whole.extend_from_slice(&chunk);
        whole
    });
    let body = match (form.accept.format, form.accept.shape) {
        (Format::Json, _) => whole.into(),
        (format, Shape::Plain) => {
            let type_id = kind.list_type_id.ok_or_else(|| Status::internal("the kind has no list type"))?;
            encode(format, &whole, type_id)?
        }
        (format, Shape::Metadata { .. }) => encode_named(format, whole, "meta.v1.PartialObjectMetadataList")?,
        (format, Shape::Table(_)) => encode_named(format, whole, "meta.v1.Table")?,
    };
    Ok(response(StatusCode::OK, form, body))
}

/// Joins head, objects and tail into chunks, object by object as the connection takes them.
struct Splice<F> {
    out: Vec<u8>,
    items: std::vec::IntoIter<Arc<Object>>,
    write: F,
    first: bool,
    done: bool,
}

impl<F: FnMut(&mut Vec<u8>, &Arc<Object>)> Splice<F> {
    fn new(head: Vec<u8>, items: Vec<Arc<Object>>, write: F) -> Self {
        Splice { out: head, items: items.into_iter(), write, first: true, done: false }
    }
}

impl<F: FnMut(&mut Vec<u8>, &Arc<Object>)> Iterator for Splice<F> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        while self.out.len() < CHUNK {
            let Some(object) = self.items.next() else {
                self.out.extend_from_slice(b"]}\n");
                self.done = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                self.out.push(b',');
            }
            (self.write)(&mut self.out, &object);
        }
        let room = if self.done { 0 } else { CHUNK + (CHUNK >> 3) };
        Some(std::mem::replace(&mut self.out, Vec::with_capacity(room)).into())
    }
}

fn response(code: StatusCode, form: &Form, body: Bytes) -> Response<Payload> {
    if form.gzip && body.len() >= COMPRESS_FROM {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        if encoder.write_all(&body).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            let mut response = with_payload(code, form, Payload::Full(packed.into()));
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            return response;
        }
    }
    with_payload(code, form, Payload::Full(body))
}

fn with_payload(code: StatusCode, form: &Form, payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    *response.status_mut() = code;
    let media = HeaderValue::from_static(form.accept.format.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A failure, or the success of a delete.
pub fn status_response(status: &Status, format: Format) -> Response<Payload> {
    // A struct of texts and numbers always encodes.
    let json = serde_json::to_vec(status).unwrap_or_default();
    let code = if status.code == 0 { 200 } else { status.code };
    let (format, body) = match kinds::type_id("meta.v1.Status") {
        Some(type_id) if format != Format::Json => match encode(format, &json, type_id) {
            Ok(body) => (format, body),
            Err(_) => (Format::Json, json.into()),
        },
        _ => (Format::Json, json.into()),
    };
    let form = Form { accept: Accept { format, ..Accept::PLAIN_JSON }, include: Include::Metadata, gzip: false };
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_payload(code, &form, Payload::Full(body));
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    if code == StatusCode::FORBIDDEN {
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// A document that is JSON whatever was asked for, such as discovery.
pub fn json_response(value: &Value) -> Response<Payload> {
    let form = Form { accept: Accept::PLAIN_JSON, include: Include::Metadata, gzip: false };
    with_payload(StatusCode::OK, &form, Payload::Full(value.to_string().into()))
}

pub fn text_response(code: StatusCode, text: impl Into<Bytes>) -> Response<Payload> {
    let mut response = Response::new(Payload::Full(text.into()));
    *response.status_mut() = code;
    let media = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The error object inside a watch.
pub fn error_object(status: &Status) -> Value {
    serde_json::to_value(status).unwrap_or_else(|_| json!({}))
}
