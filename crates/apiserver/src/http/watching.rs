//! A watch as a response body: JSON lines, or length-prefixed protobuf frames.

use super::accept::{Accept, Format, Shape};
use super::payload::Payload;
use super::respond::{Form, encode, error_object};
use crate::collection;
use crate::local::bookmark;
use crate::object::Object;
use crate::table;
use crate::watch::{Item, Watcher};
use base::Clock;
use bytes::Bytes;
use client::EventType;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use meta::Status;
use serde_json::Value;
use std::sync::Arc;

/// Frames are joined up to this size while more events are waiting.
const FLUSH: usize = 64 << 10;

pub fn response(watcher: Box<Watcher>, form: &Form, clock: Clock) -> Response<Payload> {
    let media = match form.accept.format {
        Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let writer = Writer { accept: form.accept, include: form.include, clock, told_columns: false };
    let body = stream::unfold(Some((watcher, writer)), |state| async move {
        let (mut watcher, mut writer) = state?;
        let mut out = Vec::new();
        let mut item = Some(watcher.next().await?);
        let mut is_last = false;
        while let Some(current) = item {
            is_last = matches!(current, Item::Error(_));
            if let Err(status) = writer.write(&mut out, &watcher, current) {
                let _ = writer.write(&mut out, &watcher, Item::Error(status));
                is_last = true;
            }
            if is_last || out.len() >= FLUSH {
                break;
            }
            item = watcher.next_now();
        }
        Some((Ok(Bytes::from(out)), (!is_last).then_some((watcher, writer))))
    });
    let mut response = Response::new(Payload::Stream(Box::pin(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

struct Writer {
    accept: Accept,
    include: table::Include,
    clock: Clock,
    /// Only the first Table of a watch carries its columns.
    told_columns: bool,
}

impl Writer {
    fn write(&mut self, out: &mut Vec<u8>, watcher: &Watcher, item: Item) -> Result<(), Status> {
        match item {
            Item::Event { kind, object, shared } => {
                if let (Some(change), Shape::Plain, Format::Json) = (&shared, self.accept.shape, self.accept.format)
                    && kind == natural_type(change)
                {
                    out.extend_from_slice(change.frames.as_is.get_or_init(|| line(kind.as_str(), &object.json)));
                    return Ok(());
                }
                let body = self.object(watcher, &object)?;
                self.frame(out, kind.as_str(), &body)
            }
            Item::Bookmark { revision, initial_events_end } => {
                let body = self.bookmark(watcher, revision, initial_events_end)?;
                self.frame(out, EventType::Bookmark.as_str(), &body)
            }
            Item::Error(status) => {
                let json = error_object(&status).to_string();
                let body = match (self.accept.format, kinds::type_id("meta.v1.Status")) {
                    (Format::Protobuf, Some(type_id)) => encode(Format::Protobuf, json.as_bytes(), type_id)?,
                    _ => json.into(),
                };
                self.frame(out, "ERROR", &body)
            }
        }
    }

    fn object(&mut self, watcher: &Watcher, object: &Arc<Object>) -> Result<Bytes, Status> {
        let resource = &watcher.resource;
        let (json, type_id) = match self.accept.shape {
            Shape::Plain => (object.json.clone(), Some(resource.type_id())),
            Shape::Table(version) => {
                let columns = !std::mem::replace(&mut self.told_columns, true);
                let now = self.clock.now();
                let table = table::single(resource, object, self.include, version, now, columns)?;
                (table.into(), kinds::type_id("meta.v1.Table"))
            }
            Shape::Metadata { version, .. } => {
                let mut json = Vec::new();
                table::partial(&mut json, object.value()?, version);
                (json.into(), kinds::type_id("meta.v1.PartialObjectMetadata"))
            }
        };
        self.encoded(json, type_id)
    }

    fn bookmark(&mut self, watcher: &Watcher, revision: u64, initial_events_end: bool) -> Result<Bytes, Status> {
        let plain = bookmark(watcher, revision, initial_events_end);
        let mut value: Value = serde_json::from_slice(&plain).map_err(Status::internal)?;
        let (json, type_id) = match self.accept.shape {
            Shape::Plain => (plain, Some(watcher.resource.type_id())),
            Shape::Metadata { version, .. } => {
                let mut json = Vec::new();
                table::partial(&mut json, value, version);
                (json.into(), kinds::type_id("meta.v1.PartialObjectMetadata"))
            }
            Shape::Table(version) => {
                let metadata = value["metadata"].take();
                let mut json = table::head(&watcher.resource, version, &metadata, false);
                json.extend_from_slice(b"]}");
                (json.into(), kinds::type_id("meta.v1.Table"))
            }
        };
        self.encoded(json, type_id)
    }

    fn encoded(&self, json: Bytes, type_id: Option<wire::schema::TypeId>) -> Result<Bytes, Status> {
        match (self.accept.format, type_id) {
            (Format::Protobuf, Some(type_id)) => encode(Format::Protobuf, &json, type_id),
            _ => Ok(json),
        }
    }

    fn frame(&self, out: &mut Vec<u8>, kind: &str, body: &[u8]) -> Result<(), Status> {
        match self.accept.format {
            Format::Protobuf => out.extend_from_slice(&wire::protobuf::watch_frame(kind, body)),
            _ => out.extend_from_slice(&line(kind, body)),
        }
        Ok(())
    }
}

/// The type a watcher without selectors sees.
fn natural_type(change: &collection::Change) -> EventType {
    match (change.deleted, &change.previous) {
        (true, _) => EventType::Deleted,
        (false, None) => EventType::Added,
        (false, Some(_)) => EventType::Modified,
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let object = object.strip_suffix(b"\n").unwrap_or(object);
    let mut line = Vec::with_capacity(object.len() + kind.len() + 24);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
