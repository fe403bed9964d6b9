//! Status: how every API failure is told, with upstream's reasons, codes and messages
//! (apimachinery `api/errors`).

use crate::names::GroupResource;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request failed, in upstream's words; unknown ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

impl Reason {
    const ALL: [(Reason, &'static str, u16); 19] = [
        (Reason::Unknown, "", 500),
        (Reason::Unauthorized, "Unauthorized", 401),
        (Reason::Forbidden, "Forbidden", 403),
        (Reason::NotFound, "NotFound", 404),
        (Reason::AlreadyExists, "AlreadyExists", 409),
        (Reason::Conflict, "Conflict", 409),
        (Reason::Gone, "Gone", 410),
        (Reason::Invalid, "Invalid", 422),
        (Reason::ServerTimeout, "ServerTimeout", 500),
        (Reason::Timeout, "Timeout", 504),
        (Reason::TooManyRequests, "TooManyRequests", 429),
        (Reason::BadRequest, "BadRequest", 400),
        (Reason::MethodNotAllowed, "MethodNotAllowed", 405),
        (Reason::NotAcceptable, "NotAcceptable", 406),
        (Reason::RequestEntityTooLarge, "RequestEntityTooLarge", 413),
        (Reason::UnsupportedMediaType, "UnsupportedMediaType", 415),
        (Reason::InternalError, "InternalError", 500),
        (Reason::Expired, "Expired", 410),
        (Reason::ServiceUnavailable, "ServiceUnavailable", 503),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub fn code(self) -> u16 {
        Self::ALL[self as usize].2
    }

    pub fn parse(text: &str) -> Self {
        Self::ALL.iter().find(|row| row.1 == text).map_or(Reason::Unknown, |row| row.0)
    }
}

/// The object `Status` of `meta/v1`, as wire form and as error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default = "kind")]
    kind: String,
    #[serde(default = "api_version")]
    api_version: String,
    #[serde(default)]
    pub metadata: ListMeta,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource; for Invalid the Kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero_seconds")]
    pub retry_after_seconds: u32,
}

/// One thing wrong with one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn kind() -> String {
    "Status".to_owned()
}

fn api_version() -> String {
    "v1".to_owned()
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

fn is_zero_seconds(seconds: &u32) -> bool {
    *seconds == 0
}

impl Status {
    pub fn success() -> Self {
        Status {
            kind: kind(),
            api_version: api_version(),
            metadata: ListMeta::default(),
            status: "Success".to_owned(),
            message: String::new(),
            reason: String::new(),
            details: None,
            code: 0,
        }
    }

    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Status {
            status: "Failure".to_owned(),
            message: message.into(),
            reason: reason.as_str().to_owned(),
            code: reason.code(),
            ..Status::success()
        }
    }

    pub fn with_details(mut self, details: StatusDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    pub fn with_code(mut self, code: u16) -> Self {
        self.code = code;
        self
    }

    pub fn reason(&self) -> Reason {
        Reason::parse(&self.reason)
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.reason() == reason
    }

    pub fn not_found(what: &GroupResource, name: &str) -> Self {
        let message = format!("{what} \"{name}\" not found");
        Self::failure(Reason::NotFound, message).with_details(details(what, name))
    }

    pub fn already_exists(what: &GroupResource, name: &str) -> Self {
        let message = format!("{what} \"{name}\" already exists");
        Self::failure(Reason::AlreadyExists, message).with_details(details(what, name))
    }

    /// `why` completes upstream's sentence "Operation cannot be fulfilled on pods "a": …".
    pub fn conflict(what: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::failure(Reason::Conflict, message).with_details(details(what, name))
    }

    pub fn forbidden(what: &GroupResource, name: &str, why: &str) -> Self {
        let message = match (what.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Self::failure(Reason::Forbidden, message).with_details(details(what, name))
    }

    pub fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        let text = message.to_string();
        let details = StatusDetails {
            causes: vec![Cause { message: text.clone(), ..Cause::default() }],
            ..StatusDetails::default()
        };
        Self::failure(Reason::InternalError, format!("Internal error occurred: {text}")).with_details(details)
    }

    /// The objects asked for are no longer in the history kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(Reason::Expired, message)
    }

    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(Reason::Timeout, format!("Timeout: {}", message.into()))
            .with_details(StatusDetails { retry_after_seconds, ..StatusDetails::default() })
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(Reason::TooManyRequests, message)
            .with_details(StatusDetails { retry_after_seconds, ..StatusDetails::default() })
    }

    pub fn method_not_supported(what: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{what}\"");
        Self::failure(Reason::MethodNotAllowed, message).with_details(details(what, ""))
    }

    /// What upstream answers for a path that nothing is served on.
    pub fn no_such_path() -> Self {
        Self::failure(Reason::NotFound, "the server could not find the requested resource")
            .with_details(StatusDetails::default())
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: {}", message.into()))
    }
}

fn details(what: &GroupResource, name: &str) -> StatusDetails {
    StatusDetails {
        name: name.to_owned(),
        group: what.group.clone().into_owned(),
        kind: what.resource.clone().into_owned(),
        ..StatusDetails::default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_index() {
        for (index, (reason, text, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::parse(text), *reason);
        }
    }

    #[test]
    fn not_found_reads_as_upstream_writes_it() {
        let what = GroupResource { group: "apps".into(), resource: "deployments".into() };
        let json = serde_json::to_string(&Status::not_found(&what, "web")).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#
        );
    }
}
