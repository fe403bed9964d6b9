//! The protobuf form of the version 2 document, which kubectl up to 1.27 asks for
//! (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`, the gnostic project's messages).
//!
//! Transcodes the bytes of our own document by a table of exactly the members that it has, without
//! parsing it whole. Security definitions are left out: no client reads them here.

use wire::json::{fields, items};
use wire::protobuf::{put_bytes, put_varint};

/// How a member's JSON becomes a field.
enum Form {
    Text,
    Texts,
    Flag,
    /// Texts of JSON, which are YAML too.
    Anys,
    Message(&'static Message),
    /// A message within messages that have nothing else: the numbers from the outside in.
    Nested(&'static [u32], &'static Message),
    /// A text within a message as its field 1.
    NestedText,
    /// A list of parameters, which are told apart by `in`.
    Parameters,
}

struct Message {
    members: &'static [(&'static str, u32, Form)],
    /// Where `x-…` members go; 0: nowhere.
    extensions: u32,
    /// Members with free names: their field, the numbers around the value, and what it is.
    named: Option<(u32, &'static [u32], &'static Message)>,
}

static DOCUMENT: Message = Message {
    members: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::Message(&INFO)),
        ("paths", 8, Form::Message(&PATHS)),
        ("definitions", 9, Form::Message(&SCHEMAS)),
    ],
    extensions: 0,
    named: None,
};

static INFO: Message =
    Message { members: &[("title", 1, Form::Text), ("version", 2, Form::Text)], extensions: 0, named: None };

static PATHS: Message = Message { members: &[], extensions: 0, named: Some((2, &[], &PATH)) };

static PATH: Message = Message {
    members: &[
        ("get", 2, Form::Message(&OPERATION)),
        ("put", 3, Form::Message(&OPERATION)),
        ("post", 4, Form::Message(&OPERATION)),
        ("delete", 5, Form::Message(&OPERATION)),
        ("patch", 8, Form::Message(&OPERATION)),
        ("parameters", 9, Form::Parameters),
    ],
    extensions: 10,
    named: None,
};

static OPERATION: Message = Message {
    members: &[
        ("tags", 1, Form::Texts),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Texts),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Parameters),
        ("responses", 9, Form::Message(&RESPONSES)),
    ],
    extensions: 13,
    named: None,
};

static RESPONSES: Message = Message { members: &[], extensions: 0, named: Some((1, &[1], &RESPONSE)) };

static RESPONSE: Message = Message {
    members: &[("description", 1, Form::Text), ("schema", 2, Form::Nested(&[1], &SCHEMA))],
    extensions: 5,
    named: None,
};

static BODY_PARAMETER: Message = Message {
    members: &[
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::Message(&SCHEMA)),
    ],
    extensions: 6,
    named: None,
};

static QUERY_PARAMETER: Message = Message {
    members: &[
        ("in", 2, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("uniqueItems", 20, Form::Flag),
    ],
    extensions: 23,
    named: None,
};

static PATH_PARAMETER: Message = Message {
    members: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("uniqueItems", 19, Form::Flag),
    ],
    extensions: 22,
    named: None,
};

static SCHEMAS: Message = Message { members: &[], extensions: 0, named: Some((1, &[], &SCHEMA)) };

static SCHEMA: Message = Message {
    members: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("description", 4, Form::Text),
        ("required", 19, Form::Texts),
        ("enum", 20, Form::Anys),
        ("additionalProperties", 21, Form::Nested(&[1], &SCHEMA)),
        ("type", 22, Form::NestedText),
        ("items", 23, Form::Nested(&[1], &SCHEMA)),
        ("properties", 25, Form::Message(&SCHEMAS)),
    ],
    extensions: 31,
    named: None,
};

/// The document in protobuf.
pub fn transcode(document: &[u8]) -> Vec<u8> {
    message(document, &DOCUMENT)
}

fn message(json: &[u8], form: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields(json) {
        let key = std::str::from_utf8(field.key).unwrap_or_default();
        if let Some((_, number, form)) = form.members.iter().find(|row| row.0 == key) {
            member(&mut out, *number, form, field.value);
        } else if key.starts_with("x-") {
            if form.extensions != 0 {
                put_bytes(&mut out, form.extensions, &named(key, &any(field.value)));
            }
        } else if let Some((number, around, form)) = &form.named {
            put_bytes(&mut out, *number, &named(key, &nested(around, message(field.value, form))));
        }
    }
    out
}

fn member(out: &mut Vec<u8>, number: u32, form: &Form, json: &[u8]) {
    match form {
        Form::Text => put_bytes(out, number, text(json).as_bytes()),
        Form::Texts => items(json).for_each(|item| put_bytes(out, number, text(item).as_bytes())),
        Form::Flag => {
            put_varint(out, u64::from(number) << 3);
            put_varint(out, u64::from(json == b"true"));
        }
        Form::Anys => items(json).for_each(|item| put_bytes(out, number, &any(item))),
        Form::Message(form) => put_bytes(out, number, &message(json, form)),
        Form::Nested(around, form) => put_bytes(out, number, &nested(around, message(json, form))),
        Form::NestedText => put_bytes(out, number, &nested(&[1], text(json).into_bytes())),
        Form::Parameters => items(json).for_each(|item| put_bytes(out, number, &parameter(item))),
    }
}

fn parameter(json: &[u8]) -> Vec<u8> {
    match wire::json::find_text(json, &["in"]) {
        Some("body") => nested(&[1, 1], message(json, &BODY_PARAMETER)),
        Some("path") => nested(&[1, 2, 4], message(json, &PATH_PARAMETER)),
        _ => nested(&[1, 2, 3], message(json, &QUERY_PARAMETER)),
    }
}

fn nested(around: &[u32], message: Vec<u8>) -> Vec<u8> {
    around.iter().rev().fold(message, |inner, number| {
        let mut out = Vec::with_capacity(inner.len() + 6);
        put_bytes(&mut out, *number, &inner);
        out
    })
}

fn named(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + value.len() + 12);
    put_bytes(&mut out, 1, name.as_bytes());
    put_bytes(&mut out, 2, value);
    out
}

fn any(json: &[u8]) -> Vec<u8> {
    nested(&[2], json.to_vec())
}

fn text(json: &[u8]) -> String {
    serde_json::from_slice(json).unwrap_or_default()
}
