//! The Node authorizer: a kubelet may read what its own pods need and change what is its own, no
//! more. The [`Graph`] of what pods refer to is fed by the API server.

mod graph;

pub use graph::Graph;

use crate::authorizer::{Authorizer, Decision};
use crate::names;
use crate::policy;
use crate::rbac::Rule;
use graph::Target;
use meta::{Attributes, User};

pub struct NodeAuthorizer {
    graph: Graph,
    /// Of `system:node`: what needs no relationship.
    rules: Vec<Rule>,
}

/// The node a user is the kubelet of.
pub fn node_of(user: &User) -> Option<&str> {
    user.name.strip_prefix(names::NODE_PREFIX).filter(|_| user.in_group(names::NODES))
}

impl NodeAuthorizer {
    pub fn new(graph: Graph) -> Self {
        NodeAuthorizer { graph, rules: policy::node_rules() }
    }
}

const ALLOW: Result<(), String> = Ok(());

/// A refusal in upstream's words.
fn no(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, asked: &Attributes<'_>) -> Decision {
        let Some(node) = node_of(asked.user) else { return Decision::no_opinion("") };
        if node.is_empty() {
            return Decision::no_opinion(format!("unknown node for user {:?}", asked.user.name));
        }
        let answer = match (asked.group, asked.resource) {
            _ if !asked.is_resource() => self.by_rules(asked),
            ("", "secrets") => self.read(node, asked, Target::Secret),
            ("", "configmaps") => self.read(node, asked, Target::ConfigMap),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => update_status(asked),
            ("", "persistentvolumeclaims") => self.get(node, asked, Target::Claim),
            ("", "persistentvolumes") => self.get(node, asked, Target::Volume),
            ("storage.k8s.io", "volumeattachments") => self.get(node, asked, Target::Attachment),
            ("resource.k8s.io", "resourceclaims") => self.get(node, asked, Target::ResourceClaim),
            ("", "serviceaccounts") => self.service_account(node, asked),
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("resource.k8s.io", "resourceslices") => self.resource_slice(node, asked),
            ("certificates.k8s.io", "podcertificaterequests") => self.certificate_request(node, asked),
            ("", "nodes") => own_node(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ => self.by_rules(asked),
        };
        match answer {
            Ok(()) => Decision::allow(""),
            Err(reason) => Decision::no_opinion(reason),
        }
    }
}

impl NodeAuthorizer {
    fn by_rules(&self, asked: &Attributes<'_>) -> Result<(), String> {
        if self.rules.iter().any(|rule| rule.allows(asked)) { ALLOW } else { no("") }
    }

    fn related(&self, node: &str, asked: &Attributes<'_>, target: Target) -> Result<(), String> {
        let name = object_name(asked);
        if name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.reaches(node, target, asked.namespace, name) {
            return ALLOW;
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, node: &str, asked: &Attributes<'_>, target: Target) -> Result<(), String> {
        match (asked.verb, asked.subresource) {
            ("get", "") => self.related(node, asked, target),
            ("get", _) => no("cannot get subresource"),
            _ => no("can only get individual resources of this type"),
        }
    }

    fn read(&self, node: &str, asked: &Attributes<'_>, target: Target) -> Result<(), String> {
        match asked.subresource {
            _ if !asked.is_read_only() => no("can only read resources of this type"),
            "" if asked.namespace.is_empty() => no("can only read namespaced object of this type"),
            "" => self.related(node, asked, target),
            _ => no("cannot read subresource"),
        }
    }

    fn service_account(&self, node: &str, asked: &Attributes<'_>) -> Result<(), String> {
        match (asked.verb, asked.subresource) {
            ("get", "") => self.related(node, asked, Target::ServiceAccount),
            ("create", "token") if !asked.name.is_empty() => {
                if self.graph.reaches(node, Target::ServiceAccount, asked.namespace, asked.name) {
                    return ALLOW;
                }
                Err(format!("no relationship found between node '{node}' and this object"))
            }
            ("create", subresource) if !asked.name.is_empty() && subresource != "token" => {
                no("can only create token subresource of service account")
            }
            _ => no("can only create tokens for individual service accounts"),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes<'_>) -> Result<(), String> {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.related(node, asked, Target::Pod),
            ("", "list" | "watch") if selected(asked, "spec.nodeName") == Some(node) => ALLOW,
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // Which pods: NodeRestriction sees to it.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => ALLOW,
            _ => no(""),
        }
    }

    fn certificate_request(&self, node: &str, asked: &Attributes<'_>) -> Result<(), String> {
        match (asked.subresource, asked.verb) {
            // For which pod: NodeRestriction sees to it.
            ("", "create") => ALLOW,
            ("", "get") => self.related(node, asked, Target::CertificateRequest),
            ("", "list" | "watch") if selected(asked, "spec.nodeName") == Some(node) => ALLOW,
            ("", "list" | "watch") => {
                no("can only list/watch podcertificaterequests with spec.nodeName field selector")
            }
            ("", _) => no("can only create, get, list, and watch podcertificaterequests"),
            _ => no("cannot access subresources of podcertificaterequests"),
        }
    }

    fn resource_slice(&self, node: &str, asked: &Attributes<'_>) -> Result<(), String> {
        match (asked.subresource, asked.verb) {
            ("", "create") => ALLOW,
            ("", "get" | "update" | "patch" | "delete") => self.related(node, asked, Target::ResourceSlice),
            ("", "list" | "watch" | "deletecollection") if selected(asked, "spec.nodeName") == Some(node) => ALLOW,
            ("", "list" | "watch" | "deletecollection") => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            ("", _) => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
            _ => no("cannot authorize ResourceSlice subresources"),
        }
    }
}

fn update_status(asked: &Attributes<'_>) -> Result<(), String> {
    if matches!(asked.verb, "update" | "patch") { ALLOW } else { no("can only update status of this resource") }
}

fn lease(node: &str, asked: &Attributes<'_>) -> Result<(), String> {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != "kube-node-lease" {
        return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // A create has no name yet: NodeRestriction looks into the object.
    if asked.verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    ALLOW
}

fn csi_node(node: &str, asked: &Attributes<'_>) -> Result<(), String> {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    ALLOW
}

fn own_node(node: &str, asked: &Attributes<'_>) -> Result<(), String> {
    match (asked.subresource, asked.verb) {
        // Which node: NodeRestriction sees to it.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => ALLOW,
        ("", "get" | "list" | "watch") => match object_name(asked) {
            own if own == node => ALLOW,
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            other => Err(format!("node '{node}' cannot read '{other}', only its own Node object")),
        },
        _ => no(""),
    }
}

/// A list or watch of one object names it in its field selector.
fn object_name<'a>(asked: &Attributes<'a>) -> &'a str {
    if asked.name.is_empty() { selected(asked, "metadata.name").unwrap_or_default() } else { asked.name }
}

/// The value that the field selector demands of `field`.
fn selected<'a>(asked: &Attributes<'a>, field: &str) -> Option<&'a str> {
    asked.field_selector.split(',').find_map(|term| {
        let (name, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (name == field).then_some(value)
    })
}

#[cfg(test)]
mod tests;
