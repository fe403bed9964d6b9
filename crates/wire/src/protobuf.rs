//! The protobuf form of objects (`application/vnd.kubernetes.protobuf`), transcoded from and to
//! canonical values by the schema's field numbers, byte for byte as upstream's generated code.
//!
//! Every body is a `runtime.Unknown` behind the four bytes `k8s\0`, which says apiVersion and kind;
//! watch frames carry such an envelope inside a bare `WatchEvent`. Kinds without field numbers
//! (Table, custom resources) have no protobuf form and are refused.

mod read;
mod write;

use crate::schema::{Schema, TypeId};
use serde_json::Value;

pub const MAGIC: &[u8; 4] = b"k8s\0";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    #[error("unexpected EOF")]
    Eof,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    #[error("proto: wrong wireType = {wire} for field {field}")]
    FieldType { wire: u8, field: String },
    #[error("proto: field {0} holds invalid UTF-8")]
    Text(String),
    #[error("proto: messages are nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("field {field}: {message}")]
    Value { field: String, message: String },
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind { api_version: String, kind: String },
    #[error("{0} has no protobuf form")]
    NoForm(String),
}

/// Deeper nesting than any kind has; only JSONSchemaProps could go on.
const MAX_DEPTH: usize = 120;

/// What a body says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub message: &'a [u8],
}

/// Finds the struct of an apiVersion and kind.
pub type Resolve<'a> = &'a dyn Fn(&str, &str) -> Option<TypeId>;

/// The whole body for an object: envelope and message. apiVersion and kind are the value's own.
pub fn to_protobuf(value: &Value, schema: &Schema, id: TypeId) -> Result<Vec<u8>, ProtobufError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(envelope(text("apiVersion"), text("kind"), &to_message(value, schema, id)?))
}

/// The object's message without envelope, as lists hold it.
pub fn to_message(value: &Value, schema: &Schema, id: TypeId) -> Result<Vec<u8>, ProtobufError> {
    write::message(value, schema, id)
}

/// Puts a message into its envelope.
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(message.len() + type_meta.len() + 16);
    out.extend_from_slice(MAGIC);
    put_bytes(&mut out, 1, &type_meta);
    put_bytes(&mut out, 2, message);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    out
}

/// One frame of a watch: four bytes of length, then the event around the object's whole body.
pub fn watch_frame(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(object.len() + 6);
    put_bytes(&mut raw, 1, object);
    let mut frame = vec![0; 4];
    frame.reserve(raw.len() + event_type.len() + 8);
    put_bytes(&mut frame, 1, event_type.as_bytes());
    put_bytes(&mut frame, 2, &raw);
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Reads a watch frame's payload (without the length): the event type and the object's body.
pub fn read_watch_event(payload: &[u8]) -> Result<(String, &[u8]), ProtobufError> {
    let (mut event_type, mut object): (String, &[u8]) = (String::new(), b"");
    for field in read::Fields(payload) {
        match field? {
            (1, read::Wire::Bytes(bytes)) => event_type = read::text(bytes, "type")?.to_owned(),
            (2, read::Wire::Bytes(bytes)) => {
                for inner in read::Fields(bytes) {
                    if let (1, read::Wire::Bytes(raw)) = inner? {
                        object = raw;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((event_type, object))
}

/// Opens a body without decoding the object in it.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let rest = body.strip_prefix(MAGIC).ok_or(ProtobufError::Prefix)?;
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), message: b"" };
    for field in read::Fields(rest) {
        match field? {
            (1, read::Wire::Bytes(bytes)) => {
                for inner in read::Fields(bytes) {
                    match inner? {
                        (1, read::Wire::Bytes(text)) => {
                            envelope.api_version = read::text(text, "apiVersion")?.to_owned()
                        }
                        (2, read::Wire::Bytes(text)) => envelope.kind = read::text(text, "kind")?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, read::Wire::Bytes(bytes)) => envelope.message = bytes,
            _ => {}
        }
    }
    Ok(envelope)
}

/// Decodes a body into a canonical value with apiVersion and kind. Objects inside RawExtensions
/// may be protobuf themselves; `resolve` finds their structs too.
pub fn from_protobuf(body: &[u8], schema: &Schema, resolve: Resolve<'_>) -> Result<Value, ProtobufError> {
    read::body(body, schema, resolve, 0)
}

/// Decodes a message without envelope.
pub fn from_message(message: &[u8], schema: &Schema, id: TypeId, resolve: Resolve<'_>) -> Result<Value, ProtobufError> {
    read::message(message, schema, id, resolve, 0)
}

/// Appends a length-delimited field: how lists are put together from messages kept ready.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// One step of an aligned path of field numbers.
fn number_at(path: u32, depth: usize) -> u32 {
    u32::from(path.to_be_bytes()[depth])
}

pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
