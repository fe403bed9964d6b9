//! One event as it is written: audit.k8s.io/v1, field by field in upstream's order.

use base::Timestamp;
use meta::{Status, StatusDetails, User};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Json,
    Legacy,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub level: &'static str,
    #[serde(rename = "auditID")]
    pub audit_id: &'a str,
    pub stage: &'static str,
    #[serde(rename = "requestURI")]
    pub request_uri: &'a str,
    pub verb: &'a str,
    pub user: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<&'a User>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<&'a ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<ResponseStatus<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<&'a RawValue>,
    #[serde(serialize_with = "micro_time")]
    pub request_received_timestamp: Timestamp,
    #[serde(serialize_with = "micro_time")]
    pub stage_timestamp: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The bounded part of a Status.
#[derive(Debug, Serialize)]
pub struct ResponseStatus<'a> {
    metadata: Empty,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a StatusDetails>,
    code: u16,
}

#[derive(Debug, Serialize)]
struct Empty {}

impl<'a> ResponseStatus<'a> {
    pub fn new(code: u16, status: Option<&'a Status>) -> Self {
        ResponseStatus {
            metadata: Empty {},
            status: status.map_or("", |status| &status.status),
            message: status.map_or("", |status| &status.message),
            reason: status.map_or("", |status| &status.reason),
            details: status.and_then(|status| status.details.as_deref()),
            code,
        }
    }
}

fn micro_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ"))
}

impl Event<'_> {
    /// The line of the old format.
    pub fn legacy(&self) -> String {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let list = |words: &[String]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(",");
        let groups = if self.user.name.is_empty() { String::new() } else { list(&self.user.groups) };
        let acting = self.impersonated_user;
        let mut line = format!("{} AUDIT:", self.request_received_timestamp);
        for (name, value) in [
            ("id", self.audit_id.to_owned()),
            ("stage", self.stage.to_owned()),
            ("ip", or(self.source_ips.first().map_or("", String::as_str), "<unknown>")),
            ("method", self.verb.to_owned()),
            ("user", or(&self.user.name, "<none>")),
            ("groups", or(&groups, "<none>")),
            ("as", acting.map_or_else(|| "<self>".to_owned(), |user| user.name.clone())),
            ("asgroups", acting.map_or_else(|| "<lookup>".to_owned(), |user| list(&user.groups))),
            ("user-agent", self.user_agent.to_owned()),
            ("namespace", or(self.object_ref.map_or("", |object| &object.namespace), "<none>")),
            ("uri", self.request_uri.to_owned()),
            (
                "response",
                self.response_status.as_ref().map_or_else(|| "<deferred>".to_owned(), |told| told.code.to_string()),
            ),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value:?}");
        }
        line
    }
}
