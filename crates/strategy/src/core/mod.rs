//! Kinds of the core group.

pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod pod_defaults;
mod pod_label_keys;
pub mod pod_template;
pub mod pod_validation;
pub mod pod_warnings;
pub mod resource_quota;
pub mod secret;
pub mod service;
pub mod settings;
pub mod volume;
