//! What plugins may ask of the API server.

use meta::{Attributes, GroupVersionResource, User};
use serde_json::Value;
use std::sync::Arc;

/// Other objects and permissions, answered from the API server's memory without waiting. Objects
/// come in their storage version.
pub trait Lookup: Send + Sync {
    /// `namespace` is empty for cluster-scoped resources.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// An empty `namespace` means all of them.
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;

    /// As [`Lookup::get`], in the version asked for where that can be told without waiting.
    fn get_as(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get(&resource.group, &resource.resource, namespace, name)
    }

    /// As [`Lookup::list`], in the version asked for where that can be told without waiting.
    fn list_as(&self, resource: &GroupVersionResource, namespace: &str) -> Vec<Arc<Value>> {
        self.list(&resource.group, &resource.resource, namespace)
    }

    /// Whether the authorizers allow it, such as `approve` on a signer.
    fn allows(&self, attributes: &Attributes<'_>) -> bool;

    /// What the authorizers say to a question of an expression's.
    fn decide(&self, user: &User, check: &expressions::Check) -> expressions::Decision;

    /// Which resource has objects of this kind, and whether they stand in namespaces.
    fn resource_of(&self, api_version: &str, kind: &str) -> Option<(GroupVersionResource, bool)>;
}
