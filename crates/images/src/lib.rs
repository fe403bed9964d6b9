//! OCI and docker images: pull, verify, unpack, keep.
//!
//! The door is [`ImageService`]; the kubelet drives it and never sees a registry or a blob.

pub mod service;

pub use service::{Image, ImageConfig, ImageError, ImageService, RegistryAuth};
