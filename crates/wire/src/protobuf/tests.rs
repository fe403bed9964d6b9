//! Malformed bytes; the kinds' tests transcode real objects both ways.

use super::*;
use crate::schema::{Field, List, Map, Shape, Struct};
use serde_json::json;

fn schema() -> (Schema, TypeId) {
    let mut schema = Schema::default();
    let id = TypeId(0);
    let number = |number, field: Field| Field { number, pointer: false, ..field };
    let fields = vec![
        number(1, Field::new("name", Shape::String { enum_type: None })),
        number(2, Field::new("numbers", Shape::List(Box::new(List::of(Shape::Int32))))),
        number(3 << 8 | 1, Field::new("inner", Shape::Bool)),
        Field { number: 4, ..Field::new("self", Shape::Struct(id)) },
        number(6, Field::new("blobs", Shape::Map(Box::new(Map::of(Shape::Bytes))))),
        number(5 << 8 | 1, Field::new("verbs", Shape::List(Box::new(List::of(Shape::String { enum_type: None }))))),
    ];
    schema.add(Struct { name: "core.v1.Node".into(), fields, ..Struct::default() });
    (schema, id)
}

fn read(message: &[u8]) -> Result<Value, ProtobufError> {
    let (schema, id) = schema();
    from_message(message, &schema, id, &|_, _| None)
}

#[test]
fn an_entry_without_a_value_has_an_empty_one() {
    assert_eq!(read(b"\x32\x03\x0a\x01k"), Ok(json!({"blobs": {"k": ""}})));
}

#[test]
fn flattened_fields_are_nested_and_named_lists_wrapped() {
    let (schema, id) = schema();
    for (value, bytes) in [
        (json!({}), &b"\x0a\x00\x1a\x02\x08\x00"[..]),
        (json!({"inner": true, "verbs": ["get"]}), b"\x0a\x00\x1a\x02\x08\x01\x2a\x05\x0a\x03get"),
        (
            json!({"name": "a", "numbers": [1, -1]}),
            b"\x0a\x01a\x10\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x02\x08\x00",
        ),
    ] {
        assert_eq!(to_message(&value, &schema, id).unwrap(), bytes);
        assert_eq!(from_message(bytes, &schema, id, &|_, _| None).unwrap(), value);
    }
}

#[test]
fn packed_numbers_and_unknown_fields_are_read() {
    assert_eq!(read(b"\x12\x03\x01\x02\x03\x7a\x02zz\x7d\x01\x02\x03\x04").unwrap(), json!({"numbers": [1, 2, 3]}));
}

#[test]
fn malformed_messages_are_refused() {
    for (bytes, error) in [
        (&b"\x0a"[..], ProtobufError::Eof),
        (b"\x0a\x05ab", ProtobufError::Eof),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ProtobufError::Overflow),
        (b"\x0b", ProtobufError::WireType(3)),
        (b"\x08\x01", ProtobufError::FieldType { wire: 0, field: "name".into() }),
        (b"\x0a\x01\xff", ProtobufError::Text("name".into())),
    ] {
        assert_eq!(read(bytes).unwrap_err(), error, "{bytes:?}");
    }
    let mut nested = Vec::new();
    for _ in 0..200 {
        let inner = std::mem::take(&mut nested);
        put_bytes(&mut nested, 4, &inner);
    }
    assert_eq!(read(&nested).unwrap_err(), ProtobufError::Depth);
    assert_eq!(open(b"{}").unwrap_err(), ProtobufError::Prefix);
}

#[test]
fn a_watch_frame_holds_the_whole_body() {
    let body = envelope("v1", "Pod", b"\x0a\x00");
    let frame = watch_frame("ADDED", &body);
    assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
    assert_eq!(read_watch_event(&frame[4..]).unwrap(), ("ADDED".to_owned(), body.as_slice()));
    assert_eq!(open(&body).unwrap(), Envelope { api_version: "v1".into(), kind: "Pod".into(), message: b"\x0a\x00" });
}
