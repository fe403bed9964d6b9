//! Field paths and field errors: what is wrong with an object, field by field, in upstream's words
//! (apimachinery `util/validation/field`).

use crate::status::{Cause, Reason, Status, StatusDetails};
use serde_json::Value;
use std::fmt::{self, Write as _};

/// Where in an object: `spec.containers[0].image`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    pub fn root() -> Self {
        Path::default()
    }

    pub fn new(name: &str) -> Self {
        Path(name.to_owned())
    }

    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        // Every check of every write makes some; few are ever shown.
        if self.0.is_empty() { Path::new(name) } else { Path([self.0.as_str(), ".", name].concat()) }
    }

    #[must_use]
    pub fn index(&self, at: usize) -> Self {
        Path(format!("{}[{at}]", self.0))
    }

    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    TypeInvalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooShort,
    TooMany,
    TooFew,
    Internal,
}

impl ErrorKind {
    /// The reason of the cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooShort => "FieldValueTooShort",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::TooFew => "FieldValueTooFew",
            ErrorKind::Internal => "InternalError",
        }
    }
}

/// One thing wrong with one field; `body` is the message without the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub kind: ErrorKind,
    pub path: Path,
    pub body: String,
}

impl FieldError {
    fn new(kind: ErrorKind, path: &Path, body: String) -> Self {
        FieldError { kind, path: path.clone(), body }
    }

    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, path, format!("Not found: {}", shown(&value.into())))
    }

    pub fn required(path: &Path, detail: &str) -> Self {
        Self::new(ErrorKind::Required, path, with_detail("Required value".to_owned(), detail))
    }

    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, path, format!("Duplicate value: {}", shown(&value.into())))
    }

    pub fn invalid(path: &Path, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(ErrorKind::Invalid, path, with_detail(format!("Invalid value: {}", shown(&value.into())), detail))
    }

    pub fn type_invalid(path: &Path, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(ErrorKind::TypeInvalid, path, with_detail(format!("Invalid value: {}", shown(&value.into())), detail))
    }

    /// `supported` is shown in the order given.
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut body = format!("Unsupported value: {}", shown(&value.into()));
        for (at, one) in supported.iter().enumerate() {
            body.push_str(if at == 0 { ": supported values: " } else { ", " });
            let _ = write!(body, "{one:?}");
        }
        Self::new(ErrorKind::NotSupported, path, body)
    }

    pub fn forbidden(path: &Path, detail: &str) -> Self {
        Self::new(ErrorKind::Forbidden, path, format!("Forbidden: {detail}"))
    }

    pub fn too_long(path: &Path, max_bytes: usize) -> Self {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        Self::new(ErrorKind::TooLong, path, format!("Too long: may not be more than {max_bytes} {unit}"))
    }

    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, path, format!("Too many: {actual}: must have at most {max} {unit}"))
    }

    pub fn too_few(path: &Path, actual: usize, min: usize) -> Self {
        let unit = if min == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooFew, path, format!("Too few: {actual}: must have at least {min} {unit}"))
    }

    pub fn internal(path: &Path, detail: &str) -> Self {
        Self::new(ErrorKind::Internal, path, format!("Internal error: {detail}"))
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.0.is_empty() { f.write_str(&self.body) } else { write!(f, "{}: {}", self.path, self.body) }
    }
}

/// All that is wrong with an object.
pub type ErrorList = Vec<FieldError>;

/// The Status of an object that did not pass validation. `kind` is `Kind` or `Kind.group`.
pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
    let shown_kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let mut lines: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let line = error.to_string();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let message = match lines.as_slice() {
        [] => format!("{shown_kind} {name:?} is invalid"),
        [one] => format!("{shown_kind} {name:?} is invalid: {one}"),
        several => format!("{shown_kind} {name:?} is invalid: [{}]", several.join(", ")),
    };
    let causes = errors.iter().map(|error| Cause {
        reason: error.kind.reason().to_owned(),
        message: error.body.clone(),
        field: if error.path.0.is_empty() { "<nil>".to_owned() } else { error.path.0.clone() },
    });
    Status::failure(Reason::Invalid, message).with_details(StatusDetails {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        causes: causes.collect(),
        ..StatusDetails::default()
    })
}

fn with_detail(mut body: String, detail: &str) -> String {
    if !detail.is_empty() {
        body.push_str(": ");
        body.push_str(detail);
    }
    body
}

/// Texts in Go's quotes, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_upstream_writes_them() {
        let path = Path::new("spec").child("containers").index(0).child("env").key("A");
        assert_eq!(path.as_str(), "spec.containers[0].env[A]");
    }

    #[test]
    fn an_invalid_object_tells_every_error() {
        let name = Path::new("metadata").child("name");
        let errors = [
            FieldError::required(&name, "name or generateName is required"),
            FieldError::not_supported(&Path::new("spec").child("restartPolicy"), "Often", &["Always", "Never"]),
        ];
        let status = invalid("", "Pod", "", &errors);
        assert_eq!(
            status.message,
            r#"Pod "" is invalid: [metadata.name: Required value: name or generateName is required, spec.restartPolicy: Unsupported value: "Often": supported values: "Always", "Never"]"#
        );
        assert_eq!(status.details.map(|details| details.causes.len()), Some(2));
        assert_eq!(status.code, 422);
    }
}
