//! Admission's view of other objects: straight from memory.

use crate::object::Object;
use crate::resources::Resource;
use crate::server::Server;
use auth::Attributes;
use base::collections::HashMap;
use meta::{GroupVersion, GroupVersionResource, User};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Revision;

/// Trees of the few objects that many requests ask after (namespaces, service accounts, priority
/// classes), so that not each of them is parsed for each request.
#[derive(Default)]
pub(crate) struct Decoded(Mutex<HashMap<Revision, Arc<Value>>>);

/// A tree is many times as big as its bytes: this is no place to keep all objects of a kind.
const MAX_DECODED: usize = 64;

impl Decoded {
    /// The object's tree; None where its bytes cannot be read.
    pub fn of(&self, object: &Object) -> Option<Arc<Value>> {
        let known = self.lock().get(&object.revision).cloned();
        if known.is_some() {
            return known;
        }
        let value = Arc::new(object.value().ok()?);
        let mut known = self.lock();
        if known.len() >= MAX_DECODED {
            known.clear();
        }
        // A revision belongs to one object, and says which state of it this is.
        known.insert(object.revision, value.clone());
        Some(value)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Revision, Arc<Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Memory<'s> {
    pub server: &'s Server,
}

impl Memory<'_> {
    fn row(&self, resource: &GroupVersionResource) -> Option<Arc<Resource>> {
        self.server.resources.find(&resource.group, &resource.version, &resource.resource)
    }

    /// The object in the row's version; as it is stored where a webhook would have to convert it.
    fn read(&self, row: &Resource, object: &Arc<Object>) -> Option<Arc<Value>> {
        if row.converts_elsewhere() {
            return self.server.decoded.of(object);
        }
        let shown = row.show(object).ok()?;
        match Arc::ptr_eq(&shown, object) {
            true => self.server.decoded.of(object),
            false => shown.value().ok().map(Arc::new),
        }
    }
}

impl admission::Lookup for Memory<'_> {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let resource = self.server.resources.find_any_version(group, resource)?;
        let object = resource.collection.as_ref()?.get(&Object::key(namespace, name))?;
        self.server.decoded.of(&object)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let found = self.server.resources.find_any_version(group, resource);
        let Some(collection) = found.and_then(|resource| resource.collection.clone()) else { return Vec::new() };
        let read = |object: &Arc<Object>| self.server.decoded.of(object);
        if !namespace.is_empty() {
            return collection.in_namespace(namespace).iter().filter_map(read).collect();
        }
        collection.snapshot().0.values().filter_map(read).collect()
    }

    fn get_as(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let row = self.row(resource)?;
        let object = row.collection.as_ref()?.get(&Object::key(namespace, name))?;
        self.read(&row, &object)
    }

    fn list_as(&self, resource: &GroupVersionResource, namespace: &str) -> Vec<Arc<Value>> {
        let Some(row) = self.row(resource) else { return Vec::new() };
        let Some(collection) = row.collection.clone() else { return Vec::new() };
        if !namespace.is_empty() {
            return collection.in_namespace(namespace).iter().filter_map(|object| self.read(&row, object)).collect();
        }
        collection.snapshot().0.values().filter_map(|object| self.read(&row, object)).collect()
    }

    fn decide(&self, user: &User, check: &expressions::Check) -> expressions::Decision {
        let attributes = match &check.path {
            Some(path) => Attributes::path(user, &check.verb, path),
            None => Attributes {
                version: "*",
                subresource: &check.subresource,
                namespace: &check.namespace,
                name: &check.name,
                field_selector: &check.field_selector,
                ..Attributes::resource(user, &check.verb, &check.group, &check.resource)
            },
        };
        let decision = self.server.access.authorizer.authorize(&attributes);
        let allowed = decision.is_allowed();
        let (auth::Decision::Allow { reason } | auth::Decision::Deny { reason } | auth::Decision::NoOpinion { reason }) =
            decision;
        expressions::Decision { allowed, reason: reason.to_string(), error: None }
    }

    fn resource_of(&self, api_version: &str, kind: &str) -> Option<(GroupVersionResource, bool)> {
        let wanted = GroupVersion::parse(api_version)?;
        let rows = self.server.resources.all();
        let row = rows.iter().find(|row| {
            row.kind.group == wanted.group && row.kind.version == wanted.version && row.kind.kind == kind
        })?;
        Some((row.gvr(), row.kind.namespaced))
    }

    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        self.server.access.authorizer.authorize(attributes).is_allowed()
    }
}
