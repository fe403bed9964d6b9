//! Codecs and schema walking: everything between bytes on a connection and the canonical bytes
//! that are stored.
//!
//! An object in the making is a [`serde_json::Value`]; a [`schema::Schema`] says what its fields
//! are. Built-in kinds (crate `kinds`) and custom resources fill the same structure, so nothing
//! here knows any kind by name.

pub mod apply;
pub mod decode;
pub mod defaults;
pub mod encode;
pub mod json;
pub mod patch;
mod place;
pub mod protobuf;
pub mod prune;
pub mod schema;
mod syntax;
pub mod yaml;
