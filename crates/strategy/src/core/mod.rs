//! Kinds of the core group.

pub mod namespace;
pub mod plain;
pub mod pod;
pub mod pod_defaults;
pub mod secret;
pub mod service;
