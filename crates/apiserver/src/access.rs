//! Who may do what, kept current from the objects themselves: roles and bindings feed RBAC, pods
//! and their volumes the node authorizer.

use crate::object::Object;
use crate::resources::Resource;
use auth::Authorizer;
use std::sync::Arc;

/// Is told of every object that counts for access decisions, before watchers are.
pub trait Observer: Send + Sync {
    /// Whether this resource's objects matter to it.
    fn wants(&self, group: &str, resource: &str) -> bool;

    /// `json` is the object's newest state, or its last before it was deleted.
    fn observe(&self, resource: &Resource, object: &Object, deleted: bool);
}

pub struct Access {
    pub authorizer: Arc<dyn Authorizer>,
    pub observers: Vec<Arc<dyn Observer>>,
}

impl Access {
    pub(crate) fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        for observer in &self.observers {
            if observer.wants(resource.kind.group, resource.kind.resource) {
                observer.observe(resource, object, deleted);
            }
        }
    }
}

impl Access {
    /// RBAC and the node authorizer, as upstream has them by default.
    pub fn standard() -> Self {
        Access { authorizer: Arc::new(auth::Union::new(Vec::new())), observers: Vec::new() }
    }
}
