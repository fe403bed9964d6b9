//! A request's kind as webhooks may want to see it: in other versions, and decoded again after a
//! patch.

use super::decode::{self, Expected};
use super::{Caller, Judged};
use crate::resources::Resource;
use crate::server::Server;
use admission::Operation;
use client::{Options, Verb};
use meta::{GroupVersionKind, GroupVersionResource, Status};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) struct Shape<'a> {
    pub server: &'a Server,
    pub judged: &'a Judged<'a>,
}

impl Shape<'_> {
    fn of_kind(&self, kind: &GroupVersionKind) -> Option<Arc<Resource>> {
        let rows = self.server.resources.versions_of(self.judged.resource);
        rows.into_iter().find(|row| row.gvk() == *kind)
    }
}

impl admission::webhook::Shape for Shape<'_> {
    fn requested(&self) -> Option<(GroupVersionResource, GroupVersionKind)> {
        let asked = &self.judged.asked?.resource;
        let row = self.server.resources.find(&asked.group, &asked.version, &asked.resource)?;
        (self.judged.sent.is_none()).then(|| (row.gvr(), row.gvk()))
    }

    fn equivalents(&self) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        if self.judged.sent.is_some() {
            return Vec::new();
        }
        let rows = self.server.resources.versions_of(self.judged.resource);
        rows.iter().map(|row| (row.gvr(), row.gvk())).collect()
    }

    fn convert(&self, object: &Value, kind: &GroupVersionKind) -> Result<Value, Status> {
        let row = self.of_kind(kind).ok_or_else(|| Status::internal(format!("{kind} is not served")))?;
        let mut object = row.down(object);
        object["apiVersion"] = row.api_version().into();
        Ok(object)
    }

    fn merge(&self, object: &Value, applied: Value, kind: &GroupVersionKind) -> Result<Value, String> {
        if let Some(sent) = self.judged.sent {
            let schema = kinds::schema();
            let id = kinds::type_of(&sent.group, &sent.version, &sent.kind);
            let id = id.ok_or_else(|| format!("{} has no schema", sent.kind))?;
            return wire::apply::merge_applied(object, &applied, &schema.cursor(id));
        }
        let other = self.of_kind(kind);
        let row = other.as_deref().unwrap_or(self.judged.resource);
        wire::apply::merge_applied(object, &applied, &row.schema().cursor(row.type_id()))
    }

    fn reread(&self, object: Value, kind: &GroupVersionKind) -> Result<Value, Status> {
        if self.judged.sent.is_some() {
            return Ok(object);
        }
        let own = self.judged.resource;
        let mut object = match self.of_kind(kind).filter(|row| row.gvk() != own.gvk()) {
            Some(row) => row.up(object),
            None => object,
        };
        object["apiVersion"] = own.api_version().into();
        let options = Options { field_validation: Some("Ignore".to_owned()), ..Options::default() };
        let mut unheard = Vec::new();
        let mut caller = Caller { user: self.judged.user, user_agent: "", warnings: &mut unheard, record: None };
        let mut object = decode::recheck(&Expected::of(own), &Value::Null, object, &options, &mut caller)?;
        decode::default(own, &mut object);
        Ok(object)
    }
}

/// The CreateOptions, UpdateOptions, PatchOptions or DeleteOptions of the request.
pub(super) fn options(judged: &Judged<'_>) -> Value {
    let Some(request) = judged.asked else { return Value::Null };
    let mut options = Map::new();
    let kind = match (judged.operation, request.verb) {
        (Operation::Delete, _) => "DeleteOptions",
        (_, Verb::Patch(_)) => "PatchOptions",
        (Operation::Update, _) => "UpdateOptions",
        _ => "CreateOptions",
    };
    if kind == "DeleteOptions" {
        options = serde_json::from_slice(&request.body).unwrap_or_default();
    }
    options.insert("kind".to_owned(), kind.into());
    options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    if judged.dry_run {
        options.insert("dryRun".to_owned(), json!(["All"]));
    }
    let texts =
        [("fieldManager", &request.options.field_manager), ("fieldValidation", &request.options.field_validation)];
    for (name, text) in texts.into_iter().filter(|_| kind != "DeleteOptions") {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            options.insert(name.to_owned(), text.clone().into());
        }
    }
    if let Some(force) = request.options.force {
        options.insert("force".to_owned(), force.into());
    }
    Value::Object(options)
}
