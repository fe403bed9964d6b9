//! Why a volume cannot be set up, in the words of upstream's FailedMount events.

use std::path::Path;

#[derive(Debug, Clone, thiserror::Error)]
pub enum VolumeError {
    /// `configmap "x" not found`, `secret "x" not found`.
    #[error("{kind} \"{name}\" not found")]
    NotFound { kind: &'static str, name: String },
    /// `references non-existent secret key: k`.
    #[error("references non-existent {kind} key: {key}")]
    NoSuchKey { kind: &'static str, key: String },
    #[error("hostPath type check failed: {path} is not {expected}")]
    HostPathType { path: String, expected: &'static str },
    #[error("{0}")]
    Field(#[from] crate::fields::FieldError),
    #[error("subpath {subpath:?} not within volume path {volume:?}")]
    Escapes { subpath: String, volume: String },
    #[error("failed to fetch token: {0}")]
    Token(String),
    #[error("invalid path in volume: {0}")]
    Path(String),
    #[error("cannot {operation} {path}: {why}")]
    Io { operation: &'static str, path: String, why: String },
    /// The API server cannot be asked.
    #[error("{0}")]
    Api(String),
    #[error("{0}")]
    Other(String),
}

impl VolumeError {
    pub fn io(operation: &'static str, path: &Path, error: impl std::fmt::Display) -> Self {
        VolumeError::Io { operation, path: path.display().to_string(), why: error.to_string() }
    }
}
