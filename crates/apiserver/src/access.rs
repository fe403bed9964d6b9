//! Who may do what, kept current from the objects themselves: roles and bindings feed RBAC, pods
//! and their volumes the node authorizer.

use crate::object::Object;
use crate::resources::Resource;
use auth::authorization::BuiltIn;
use auth::{Authorizer, Union, node, rbac};
use meta::{Status, User};
use serde_json::Value;
use std::sync::Arc;

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

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
    /// Those of the authorizers that stand on our own objects.
    pub built_in: BuiltIn,
    /// For rules reviews and the checks on who may grant what; None: RBAC is off.
    pub rbac: Option<rbac::Index>,
}

impl Access {
    /// RBAC and the node authorizer, as upstream has them by default.
    pub fn standard() -> Self {
        let (index, graph) = (rbac::Index::default(), node::Graph::default());
        let node: Arc<dyn Authorizer> = Arc::new(node::NodeAuthorizer::new(graph.clone()));
        let rules: Arc<dyn Authorizer> = Arc::new(index.clone());
        Access {
            authorizer: Arc::new(Union::new(vec![node.clone(), rules.clone()])),
            built_in: BuiltIn { node, rbac: rules },
            observers: vec![Arc::new(Roles(index.clone())), Arc::new(NodeGraph(graph))],
            rbac: Some(index),
        }
    }

    /// Nobody may grant what he does not hold.
    pub(crate) fn check_grant(
        &self,
        resource: &Resource,
        user: &User,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(index) = &self.rbac else { return Ok(()) };
        if resource.kind.group != RBAC_GROUP {
            return Ok(());
        }
        let authorizer = self.authorizer.as_ref();
        match resource.kind.resource.as_ref() {
            "roles" => rbac::check_role(index, authorizer, user, "roles", new, old),
            "clusterroles" => rbac::check_role(index, authorizer, user, "clusterroles", new, old),
            "rolebindings" => rbac::check_binding(index, authorizer, user, "rolebindings", new, old),
            _ => rbac::check_binding(index, authorizer, user, "clusterrolebindings", new, old),
        }
    }

    pub(crate) fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        for observer in &self.observers {
            if observer.wants(&resource.kind.group, &resource.kind.resource) {
                observer.observe(resource, object, deleted);
            }
        }
    }
}

/// Feeds RBAC.
struct Roles(rbac::Index);

impl Observer for Roles {
    fn wants(&self, group: &str, _: &str) -> bool {
        group == RBAC_GROUP
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let plural = resource.kind.resource.as_ref();
        match object.value() {
            Ok(value) if !deleted => self.0.upsert(plural, &value),
            _ => self.0.remove(plural, &object.index.namespace, &object.index.name),
        }
    }
}

/// Feeds the node authorizer.
struct NodeGraph(node::Graph);

impl Observer for NodeGraph {
    fn wants(&self, group: &str, resource: &str) -> bool {
        matches!(
            (group, resource),
            ("", "pods" | "persistentvolumes")
                | ("storage.k8s.io", "volumeattachments")
                | ("resource.k8s.io", "resourceslices")
                | ("certificates.k8s.io", "podcertificaterequests")
        )
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let plural = resource.kind.resource.as_ref();
        let (namespace, name) = (object.index.namespace.as_str(), object.index.name.as_str());
        let node = object.index.field("spec.nodeName").unwrap_or_default();
        if plural == "pods" && !deleted && self.0.is_current(namespace, name, node, &object.json) {
            return;
        }
        match object.value() {
            Ok(value) if !deleted => self.0.upsert(plural, &value),
            _ => self.0.remove(plural, namespace, name),
        }
    }
}

/// Feeds the policies of admission.
pub(crate) struct Policies(pub admission::policy::Policies);

impl Observer for Policies {
    fn wants(&self, group: &str, resource: &str) -> bool {
        group == admission::webhook::GROUP && resource.contains("admissionpolic")
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let value = object.value().ok().filter(|_| !deleted);
        self.0.observe(&resource.kind.resource, &object.index.name, value.as_ref());
    }
}

/// Feeds the webhooks of admission.
pub(crate) struct Hooks(pub admission::webhook::Webhooks);

impl Observer for Hooks {
    fn wants(&self, group: &str, resource: &str) -> bool {
        group == admission::webhook::GROUP && resource.ends_with("webhookconfigurations")
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let value = object.value().ok().filter(|_| !deleted);
        self.0.observe(&resource.kind.resource, &object.index.name, value.as_ref());
    }
}
