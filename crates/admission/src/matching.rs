//! Which requests a webhook or policy is about, and as what it wants to see them.

use crate::paths::labels;
use crate::webhook::Shape;
use crate::{Attributes, Lookup, Operation};
use meta::labels::Selector;
use meta::{GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;

/// What a request must be like.
#[derive(Debug)]
pub(crate) struct Constraint {
    pub rules: Vec<Rule>,
    /// What is left out, whatever the rules say.
    pub excluded: Vec<Rule>,
    pub namespaces: Selector,
    pub objects: Selector,
    /// `matchPolicy: Equivalent`
    pub equivalent: bool,
    /// Without rules it is about everything: so bindings narrow their policies.
    pub narrows: bool,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub operations: Vec<String>,
    pub groups: Vec<String>,
    pub versions: Vec<String>,
    pub resources: Vec<String>,
    /// None: all of them.
    pub names: Vec<String>,
    pub scope: String,
}

/// As what a webhook or policy is to see the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub resource: GroupVersionResource,
    pub kind: GroupVersionKind,
}

pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

pub(crate) fn selector(value: &Value) -> Selector {
    if value.is_null() {
        return Selector::everything();
    }
    Selector::from_json(value).unwrap_or_else(|_| Selector::nothing())
}

impl Constraint {
    /// Of what passed validation; what cannot be read matches nothing. `rules` names the field of the
    /// rules.
    pub fn read(value: &Value, rules: &str) -> Self {
        let list = |field: &str| value[field].as_array().into_iter().flatten().map(Rule::read).collect();
        Constraint {
            rules: list(rules),
            excluded: list("excludeResourceRules"),
            namespaces: selector(&value["namespaceSelector"]),
            objects: selector(&value["objectSelector"]),
            equivalent: text(value, "matchPolicy") != "Exact",
            narrows: false,
        }
    }

    /// None: the request is none of its business.
    ///
    /// # Errors
    /// The request's namespace is gone.
    pub fn sees(
        &self,
        request: &Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
    ) -> Result<Option<Seen>, Status> {
        let Some(seen) = self.seen(request, shape) else { return Ok(None) };
        if !self.selects_namespace(request, lookup)? || !self.selects_object(request) {
            return Ok(None);
        }
        let is_left_out = !self.excluded.is_empty() && self.any(&self.excluded, request, shape).is_some();
        Ok(Some(seen).filter(|_| !is_left_out))
    }

    fn seen(&self, request: &Attributes<'_>, shape: &dyn Shape) -> Option<Seen> {
        if self.narrows && self.rules.is_empty() {
            return Some(Seen { resource: request.resource.clone(), kind: request.kind.clone() });
        }
        self.any(&self.rules, request, shape)
    }

    /// The form of the request that one of the rules is about.
    fn any(&self, rules: &[Rule], request: &Attributes<'_>, shape: &dyn Shape) -> Option<Seen> {
        let own = Seen { resource: request.resource.clone(), kind: request.kind.clone() };
        if rules.iter().any(|rule| rule.matches(request, &own.resource)) {
            return Some(own);
        }
        if !self.equivalent {
            return None;
        }
        let others = shape.equivalents().into_iter();
        let mut others = others.filter(|(resource, _)| *resource != own.resource);
        others
            .find(|(resource, _)| rules.iter().any(|rule| rule.matches(request, resource)))
            .map(|(resource, kind)| Seen { resource, kind })
    }

    fn selects_namespace(&self, request: &Attributes<'_>, lookup: &dyn Lookup) -> Result<bool, Status> {
        let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
        if self.namespaces.is_everything() || (request.namespace.is_empty() && !is_namespace) {
            return Ok(true);
        }
        let written = matches!(request.operation, Operation::Create | Operation::Update);
        if is_namespace && request.subresource.is_empty() && written {
            return Ok(matches_labels(&self.namespaces, &request.object));
        }
        let found = lookup.get("", "namespaces", "", request.namespace);
        let missing = || {
            let what = meta::GroupResource { group: "".into(), resource: "namespaces".into() };
            Status::not_found(&what, request.namespace)
        };
        found.map(|namespace| matches_labels(&self.namespaces, &namespace)).ok_or_else(missing)
    }

    /// Either state of the object will do.
    fn selects_object(&self, request: &Attributes<'_>) -> bool {
        let has_labels = |object: &Value| object.get("metadata").is_some_and(Value::is_object);
        self.objects.is_everything()
            || (has_labels(&request.object) && matches_labels(&self.objects, &request.object))
            || request.old_object.is_some_and(|old| has_labels(old) && matches_labels(&self.objects, old))
    }
}

impl Rule {
    fn read(rule: &Value) -> Rule {
        Rule {
            operations: texts(&rule["operations"]),
            groups: texts(&rule["apiGroups"]),
            versions: texts(&rule["apiVersions"]),
            resources: texts(&rule["resources"]),
            names: texts(&rule["resourceNames"]),
            scope: text(rule, "scope").to_owned(),
        }
    }

    fn matches(&self, request: &Attributes<'_>, resource: &GroupVersionResource) -> bool {
        let any = |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
        any(&self.operations, request.operation.as_str())
            && any(&self.groups, &resource.group)
            && any(&self.versions, &resource.version)
            && in_scope(&self.scope, request)
            && (self.names.is_empty() || self.names.iter().any(|name| name == request.name))
            && self.resources.iter().any(|pattern| {
                let (plural, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
                (plural == "*" || plural == resource.resource)
                    && (subresource == "*" || subresource == request.subresource)
            })
    }
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

pub(crate) fn matches_labels(selector: &Selector, object: &Value) -> bool {
    let labels: std::collections::BTreeMap<&str, &str> = labels(object, "labels").collect();
    selector.matches_with(|key| labels.get(key).copied())
}
