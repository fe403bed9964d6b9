//! Admission's view of other objects: straight from memory.

use crate::object::Object;
use crate::server::Server;
use admission::AccessCheck;
use auth::Attributes;
use meta::User;
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Memory<'s> {
    pub server: &'s Server,
}

impl admission::Lookup for Memory<'_> {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let resource = self.server.resources.find_any_version(group, resource)?;
        let object = resource.collection.as_ref()?.get(&Object::key(namespace, name))?;
        object.value().ok().map(Arc::new)
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let found = self.server.resources.find_any_version(group, resource);
        let Some(collection) = found.and_then(|resource| resource.collection.clone()) else { return Vec::new() };
        let read = |object: &Arc<Object>| object.value().ok().map(Arc::new);
        if !namespace.is_empty() {
            return collection.in_namespace(namespace).iter().filter_map(read).collect();
        }
        collection.snapshot().0.values().filter_map(read).collect()
    }

    fn allows(&self, user: &User, check: &AccessCheck<'_>) -> bool {
        let attributes = Attributes {
            version: check.version,
            subresource: check.subresource,
            namespace: check.namespace,
            name: check.name,
            ..Attributes::resource(user, check.verb, check.group, check.resource)
        };
        self.server.access.authorizer.authorize(&attributes).is_allowed()
    }
}
