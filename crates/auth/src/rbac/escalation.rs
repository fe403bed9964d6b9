//! Nobody grants what he does not hold: checked when roles and bindings are written.

use super::index::Index;
use super::rules::{Rule, covers, quoted, rules_of};
use crate::authorizer::Authorizer;
use crate::names;
use meta::{Attributes, GroupResource, Status, User};
use serde_json::Value;
use std::collections::BTreeSet;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether `user` may write this `roles` or `clusterroles` object; `old` is None on create.
///
/// # Errors
/// Upstream's 403.
pub fn check_role(
    index: &Index,
    authorizer: &dyn Authorizer,
    user: &User,
    resource: &'static str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let (namespace, name) = names_of(new);
    if user.in_group(names::MASTERS) || may(authorizer, user, "escalate", resource, namespace, name) {
        return Ok(());
    }
    if old.is_some_and(|old| only_collected(new, old)) {
        return Ok(());
    }
    let refuse = |why: &str| Status::forbidden(&group_resource(resource), name, why);
    holds(index, user, namespace, &rules_of(new)).map_err(|why| refuse(&why))?;
    let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    if resource == "clusterroles" && (aggregates(new) || old.is_some_and(aggregates)) {
        let everything = Rule {
            verbs: vec!["*".to_owned()],
            api_groups: vec!["*".to_owned()],
            resources: vec!["*".to_owned()],
            ..Rule::default()
        };
        let anywhere = Rule { non_resource_urls: vec!["*".to_owned()], verbs: vec!["*".to_owned()], ..Rule::default() };
        holds(index, user, namespace, &[everything, anywhere])
            .map_err(|_| refuse("must have cluster-admin privileges to use the aggregationRule"))?;
    }
    Ok(())
}

/// Whether `user` may write this `rolebindings` or `clusterrolebindings` object.
///
/// # Errors
/// Upstream's 403, or 404 for a role that does not exist.
pub fn check_binding(
    index: &Index,
    authorizer: &dyn Authorizer,
    user: &User,
    resource: &'static str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if user.in_group(names::MASTERS) || old.is_some_and(|old| only_collected(new, old)) {
        return Ok(());
    }
    let (namespace, name) = names_of(new);
    let text = |key: &str| new["roleRef"][key].as_str().unwrap_or_default();
    let (kind, role) = (text("kind"), text("name"));
    let role_resource = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
    if may(authorizer, user, "bind", role_resource, namespace, role) {
        return Ok(());
    }
    let rules =
        index.role(kind, namespace, role).ok_or_else(|| Status::not_found(&group_resource(role_resource), role))?;
    holds(index, user, namespace, &rules.rules).map_err(|why| Status::forbidden(&group_resource(resource), name, &why))
}

fn names_of(object: &Value) -> (&str, &str) {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

fn group_resource(resource: &'static str) -> GroupResource {
    GroupResource { group: GROUP.into(), resource: resource.into() }
}

fn may(authorizer: &dyn Authorizer, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let attributes = Attributes { version: "v1", ..Attributes::resource(user, verb, GROUP, resource) };
    authorizer.authorize(&attributes.namespace(namespace).name(name)).is_allowed()
}

/// What the garbage collector changes (finalizers, owners) needs no permission of its own.
fn only_collected(new: &Value, old: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["finalizers", "ownerReferences", "managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        object
    };
    bare(new) == bare(old)
}

fn holds(index: &Index, user: &User, namespace: &str, wanted: &[Rule]) -> Result<(), String> {
    let (held, unresolved) = index.rules_for(user, namespace);
    let Err(missing) = covers(&held, wanted) else { return Ok(()) };
    let lines: BTreeSet<String> = missing.iter().map(Rule::compact).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        lines.join("\n")
    );
    if !unresolved.is_empty() {
        why.push_str(&format!("; resolution errors: [{}]", unresolved.join(" ")));
    }
    Err(why)
}
