//! What can go wrong with an expression: when it is compiled, and when it runs.

use crate::syntax::{Issue, render};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is no expression, or its types do not fit.
    #[error("compilation failed: {0}")]
    Source(String),
    /// It comes to something else than what is wanted here.
    #[error("must evaluate to {0}")]
    Result(String),
}

impl CompileError {
    pub(crate) fn new(source: &str, issues: &[Issue]) -> Self {
        CompileError::Source(render(source, issues))
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An error of the language, which `&&`, `||` and the macros may absorb.
    #[error("{0}")]
    Error(Box<str>),
    /// It did more than it may. Nothing absorbs that.
    #[error("operation cancelled: actual cost limit exceeded")]
    Budget,
}

impl Fault {
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Fault::Error(message.into())
    }

    pub(crate) fn no_overload() -> Self {
        Fault::new("no such overload")
    }

    pub(crate) fn overflow() -> Self {
        Fault::new("integer overflow")
    }

    pub(crate) fn no_key(key: impl std::fmt::Display) -> Self {
        Fault::new(format!("no such key: {key}"))
    }
}
