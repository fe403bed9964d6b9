//! The record of one request, from its arrival to its answer.

use crate::Audit;
use crate::event::{Event, ObjectRef, ResponseStatus};
use crate::policy::{Level, Stage, Verdict};
use base::Timestamp;
use bytes::Bytes;
use meta::{Attributes, Status, User};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A request as it arrived.
pub struct Asked<'a> {
    pub attributes: Attributes<'a>,
    /// Whom the user acts as.
    pub acts_as: Option<&'a User>,
    pub uri: &'a str,
    pub user_agent: &'a str,
    pub source_ips: Vec<String>,
    pub audit_id: &'a str,
}

/// What will be told of a request.
pub struct Record {
    audit: Arc<Audit>,
    verdict: Verdict,
    received: Timestamp,
    audit_id: String,
    uri: String,
    verb: String,
    user: User,
    acts_as: Option<User>,
    source_ips: Vec<String>,
    user_agent: String,
    object: Option<ObjectRef>,
    request: Option<Box<RawValue>>,
    response: Option<Box<RawValue>>,
    /// Several parts of one request may note something at a time.
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Audit {
    /// Tells that a request arrived; None where the policy wants nothing of it.
    pub fn begin(self: &Arc<Self>, asked: Asked<'_>) -> Option<Box<Record>> {
        let attributes = &asked.attributes;
        let verdict = self.policy.judge(attributes);
        self.metrics.level(verdict.level).inc();
        if verdict.level == Level::None {
            return None;
        }
        let own = str::to_owned;
        let object = attributes.is_resource().then(|| ObjectRef {
            resource: own(attributes.resource),
            namespace: own(attributes.namespace),
            name: own(attributes.name),
            api_group: own(attributes.group),
            api_version: own(attributes.version),
            subresource: own(attributes.subresource),
            ..ObjectRef::default()
        });
        let record = Box::new(Record {
            audit: self.clone(),
            verdict,
            received: self.env.clock.now(),
            audit_id: own(asked.audit_id),
            uri: own(asked.uri),
            verb: own(attributes.verb),
            user: attributes.user.clone(),
            acts_as: asked.acts_as.cloned(),
            source_ips: asked.source_ips,
            user_agent: own(asked.user_agent),
            object,
            request: None,
            response: None,
            annotations: Mutex::default(),
        });
        record.send(Stage::RequestReceived, record.received, None);
        Some(record)
    }
}

impl Record {
    pub fn wants_request(&self) -> bool {
        self.verdict.level >= Level::Request
    }

    pub fn wants_response(&self) -> bool {
        self.verdict.level >= Level::RequestResponse
    }

    /// What was sent, as JSON; what is none is left out.
    pub fn set_request(&mut self, json: &Bytes) {
        if self.wants_request() {
            self.request = self.shown(json);
        }
    }

    pub fn set_response(&mut self, json: &Bytes) {
        if self.wants_response() {
            self.response = self.shown(json);
        }
    }

    /// Learns which object it is about, from the object itself.
    pub fn set_object(&mut self, name: &str, namespace: &str, uid: &str, resource_version: &str) {
        let Some(object) = &mut self.object else { return };
        let fill = |field: &mut String, value: &str| {
            if field.is_empty() {
                value.clone_into(field);
            }
        };
        fill(&mut object.name, name);
        fill(&mut object.namespace, namespace);
        fill(&mut object.uid, uid);
        fill(&mut object.resource_version, resource_version);
    }

    /// The first word on a key stays, as upstream has it.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        let mut annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    fn shown(&self, json: &Bytes) -> Option<Box<RawValue>> {
        if json.is_empty() {
            return None;
        }
        if !self.verdict.omit_managed_fields {
            let text = String::from_utf8(json.to_vec()).ok()?;
            return RawValue::from_string(text.trim_end().to_owned()).ok();
        }
        let mut value: Value = serde_json::from_slice(json).ok()?;
        drop_managed_fields(&mut value);
        for item in value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            drop_managed_fields(item);
        }
        serde_json::value::to_raw_value(&value).ok()
    }

    /// A watch or stream began.
    pub fn started(&mut self, code: u16) {
        self.send(Stage::ResponseStarted, self.audit.env.clock.now(), Some(ResponseStatus::new(code, None)));
    }

    pub fn complete(self: Box<Self>, code: u16, status: Option<&Status>) {
        let told = ResponseStatus::new(code, status);
        self.send(Stage::ResponseComplete, self.audit.env.clock.now(), Some(told));
    }

    pub fn panicked(self: Box<Self>, why: &str) {
        let mut status = Status::internal(format!("APIServer panic'd: {why}"));
        status.message = format!("APIServer panic'd: {why}");
        let told = ResponseStatus::new(500, Some(&status));
        self.send(Stage::Panic, self.audit.env.clock.now(), Some(told));
    }

    fn send(&self, stage: Stage, at: Timestamp, told: Option<ResponseStatus<'_>>) {
        if self.verdict.omit_stages.contains(&stage) {
            return;
        }
        let annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
        self.audit.send(&Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.verdict.level.as_str(),
            audit_id: &self.audit_id,
            stage: stage.as_str(),
            request_uri: &self.uri,
            verb: &self.verb,
            user: &self.user,
            impersonated_user: self.acts_as.as_ref(),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: self.object.as_ref(),
            response_status: told,
            request_object: self.request.as_deref(),
            response_object: self.response.as_deref(),
            request_received_timestamp: self.received,
            stage_timestamp: at,
            annotations: &annotations,
        });
    }
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}
