//! Which webhooks a request concerns, and as what they want to see it.

use super::configuration::{Hook, Rule};
use super::{Failure, Shape};
use crate::paths::labels;
use crate::{Attributes, Lookup, Operation};
use meta::labels::Selector;
use meta::{GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;

/// As what a webhook is to be sent the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub resource: GroupVersionResource,
    pub kind: GroupVersionKind,
}

/// None: the webhook has nothing to do with the request.
pub(super) fn concerns(
    hook: &Hook,
    request: &Attributes<'_>,
    lookup: &dyn Lookup,
    shape: &dyn Shape,
) -> Result<Option<Seen>, Failure> {
    let Some(seen) = seen(hook, request, shape) else { return Ok(None) };
    if !selects_namespace(hook, request, lookup)? || !selects_object(&hook.objects, request) {
        return Ok(None);
    }
    if hook.conditional {
        // Better too strict than to pass by what somebody wanted judged.
        return match hook.ignores_failure {
            true => Ok(None),
            false => Err(request
                .forbid(&format!("webhook {:?} has matchConditions, which this server cannot evaluate yet", hook.name))
                .into()),
        };
    }
    Ok(Some(seen))
}

fn seen(hook: &Hook, request: &Attributes<'_>, shape: &dyn Shape) -> Option<Seen> {
    let own = Seen { resource: request.resource.clone(), kind: request.kind.clone() };
    if hook.rules.iter().any(|rule| matches(rule, request, &own.resource)) {
        return Some(own);
    }
    if !hook.equivalent {
        return None;
    }
    let others = shape.equivalents().into_iter();
    let mut others = others.filter(|(resource, _)| *resource != own.resource);
    others
        .find(|(resource, _)| hook.rules.iter().any(|rule| matches(rule, request, resource)))
        .map(|(resource, kind)| Seen { resource, kind })
}

fn matches(rule: &Rule, request: &Attributes<'_>, resource: &GroupVersionResource) -> bool {
    let any = |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
    any(&rule.operations, request.operation.as_str())
        && any(&rule.groups, &resource.group)
        && any(&rule.versions, &resource.version)
        && in_scope(&rule.scope, request)
        && rule.resources.iter().any(|pattern| {
            let (plural, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
            (plural == "*" || plural == resource.resource) && (subresource == "*" || subresource == request.subresource)
        })
}

fn in_scope(scope: &str, request: &Attributes<'_>) -> bool {
    // A request for a namespace names itself as its namespace.
    let in_cluster = request.namespace.is_empty()
        || (request.resource.group.is_empty() && request.resource.resource == "namespaces");
    match scope {
        "Namespaced" => !in_cluster,
        "Cluster" => in_cluster,
        _ => true,
    }
}

fn selects_namespace(hook: &Hook, request: &Attributes<'_>, lookup: &dyn Lookup) -> Result<bool, Status> {
    let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
    if hook.namespaces.is_everything() || (request.namespace.is_empty() && !is_namespace) {
        return Ok(true);
    }
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    if is_namespace && request.subresource.is_empty() && written {
        return Ok(matches_labels(&hook.namespaces, request.object));
    }
    let found = lookup.get("", "namespaces", "", request.namespace);
    let missing = || {
        let what = meta::GroupResource { group: "".into(), resource: "namespaces".into() };
        Status::not_found(&what, request.namespace)
    };
    found.map(|namespace| matches_labels(&hook.namespaces, &namespace)).ok_or_else(missing)
}

fn matches_labels(selector: &Selector, object: &Value) -> bool {
    let labels: std::collections::BTreeMap<&str, &str> = labels(object, "labels").collect();
    selector.matches_with(|key| labels.get(key).copied())
}

/// Either state of the object will do.
fn selects_object(selector: &Selector, request: &Attributes<'_>) -> bool {
    let has_labels = |object: &Value| object.get("metadata").is_some_and(Value::is_object);
    selector.is_everything()
        || (has_labels(request.object) && matches_labels(selector, request.object))
        || request.old_object.is_some_and(|old| has_labels(old) && matches_labels(selector, old))
}
