//! One request and what its answer must hold.

use bytes::Bytes;
use http::Method;

const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// What proves that a body is the right one.
#[derive(Debug, Clone)]
pub enum Expect {
    /// The text stands in it.
    Mark(String),
    /// The text stands in it so many times.
    Marks(&'static str, u64),
}

#[derive(Debug, Clone)]
pub struct Shot {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
    pub expect: Expect,
}

impl Shot {
    pub fn get(path: impl Into<String>, mark: impl Into<String>) -> Self {
        Shot {
            method: Method::GET,
            path: path.into(),
            content_type: JSON,
            body: Bytes::new(),
            expect: Expect::Mark(mark.into()),
        }
    }

    pub fn list(path: impl Into<String>, mark: &'static str, count: u64) -> Self {
        Shot { expect: Expect::Marks(mark, count), ..Self::get(path, "") }
    }

    pub fn create(path: impl Into<String>, body: impl Into<Bytes>, mark: impl Into<String>) -> Self {
        Shot { method: Method::POST, body: body.into(), ..Self::get(path, mark) }
    }

    pub fn patch(
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
        mark: impl Into<String>,
    ) -> Self {
        Shot { method: Method::PATCH, content_type, body: body.into(), ..Self::get(path, mark) }
    }
}
