//! Who set which field, written down in the version that a request came in.

use super::modify::{Part, reset_fields};
use super::{Caller, metadata};
use crate::resources::Resource;
use crate::server::Server;
use base::Timestamp;
use client::{PatchType, Request, Verb};
use serde_json::Value;
use std::sync::Arc;
use wire::apply::{Versions, Writer};
use wire::schema::Cursor;

impl Server {
    /// Brings managedFields up to date; an apply has done so itself. Both objects are of the version
    /// that rules work on.
    #[allow(clippy::too_many_arguments, reason = "one step of a write, named")]
    pub(super) fn track(
        &self,
        resource: &Resource,
        request: &Request,
        part: Part,
        new: &mut Value,
        old: Option<&Value>,
        caller: &Caller<'_>,
        now: Timestamp,
    ) {
        if matches!(request.verb, Verb::Patch(PatchType::Apply)) {
            return;
        }
        let elsewhere = Elsewhere::of(self, resource);
        let writer = Writer {
            manager: caller.manager(&request.options),
            api_version: &resource.api_version(),
            subresource: part.subresource(),
            now,
            reset: reset_fields(resource, part),
            versions: elsewhere.as_ref().map(|elsewhere| elsewhere as &dyn Versions),
        };
        let cursor = resource.schema().cursor(resource.type_id());
        if resource.kept_as.is_none() {
            return wire::apply::track_update(old, new, &writer, &cursor);
        }
        let old = old.map(|old| resource.down(old));
        let mut shown = resource.down(new);
        wire::apply::track_update(old.as_ref(), &mut shown, &writer, &cursor);
        let managed = shown.pointer_mut("/metadata/managedFields").map(Value::take);
        if let Some(metadata) = metadata::metadata_mut(new) {
            match managed {
                Some(managed) => metadata.insert("managedFields".to_owned(), managed),
                None => metadata.remove("managedFields"),
            };
        }
    }
}

/// The other versions that a resource is served in.
pub(super) struct Elsewhere<'a> {
    resource: &'a Resource,
    rows: Vec<Arc<Resource>>,
}

impl<'a> Elsewhere<'a> {
    /// None where there is only one version, as mostly.
    pub fn of(server: &Server, resource: &'a Resource) -> Option<Self> {
        let rows = server.resources.versions_of(resource);
        (rows.len() > 1).then_some(Elsewhere { resource, rows })
    }
}

impl Versions for Elsewhere<'_> {
    fn convert<'s>(&'s self, object: &Value, api_version: &str) -> Option<(Value, Cursor<'s>)> {
        let row = self.rows.iter().find(|row| row.api_version() == api_version)?;
        let mut object = object.clone();
        if let Some((_, version)) = &self.resource.kept_as {
            version.up(&mut object);
        }
        Some((row.into_down(object), row.schema().cursor(row.type_id())))
    }
}
