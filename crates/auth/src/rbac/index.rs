//! The index: roles by name, bindings by the subjects they name. Fed one object at a time, asked once
//! per request.

use super::rules::{Compiled, Rule, rules_of, target};
use crate::authorizer::{Authorizer, Decision};
use crate::names;
use base::collections::HashMap;
use meta::{Attributes, User};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Roles and bindings. Clones share them.
#[derive(Clone, Default)]
pub struct Index(Arc<RwLock<Tables>>);

/// Namespace (empty for cluster-wide) and name.
pub(super) type Name = (String, String);

#[derive(Default)]
pub(super) struct Tables {
    roles: BTreeMap<Name, Arc<Compiled>>,
    bindings: BTreeMap<Name, Binding>,
    users: HashMap<String, Grants>,
    groups: HashMap<String, Grants>,
}

/// What was put into the subject tables for one binding, to find it again.
struct Binding {
    subjects: Vec<Subject>,
}

#[derive(Clone, PartialEq, Eq)]
enum Subject {
    /// Service accounts too, under their user name.
    User(String),
    Group(String),
}

/// The grants of one subject.
#[derive(Default)]
struct Grants {
    everywhere: Vec<Grant>,
    within: HashMap<String, Vec<Grant>>,
}

/// One binding as one of its subjects sees it.
#[derive(Clone)]
struct Grant {
    binding: Name,
    role: Name,
    /// None while the role does not exist.
    rules: Option<Arc<Compiled>>,
    /// The reason of an allowed request, written once.
    reason: Arc<str>,
}

impl Index {
    /// Takes over an object of `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub fn upsert(&self, resource: &str, object: &Value) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = (text("/metadata/namespace"), text("/metadata/name"));
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "roles" | "clusterroles" => tables.put_role(name, Some(Arc::new(Compiled::new(rules_of(object))))),
            "rolebindings" | "clusterrolebindings" => tables.put_binding(name, object),
            _ => {}
        }
    }

    /// Forgets an object; `namespace` is empty for the cluster-wide kinds.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let name = (namespace.to_owned(), name.to_owned());
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "roles" | "clusterroles" => tables.put_role(name, None),
            "rolebindings" | "clusterrolebindings" => tables.drop_binding(&name),
            _ => {}
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules of a role, where it exists.
    pub(super) fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Compiled>> {
        let namespace = if kind == "ClusterRole" { "" } else { namespace };
        self.read().roles.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All rules that count for `user` in `namespace` (empty: cluster-wide ones only), and what could
    /// not be resolved.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let tables = self.read();
        let (mut rules, mut unresolved) = (Vec::new(), Vec::new());
        tables.visit(user, namespace, |grant| {
            match &grant.rules {
                Some(compiled) => rules.extend_from_slice(&compiled.rules),
                None => unresolved.push(grant.not_found()),
            }
            None::<()>
        });
        (rules, unresolved)
    }
}

impl Authorizer for Index {
    fn authorize(&self, asked: &Attributes<'_>) -> Decision {
        let target = target(asked.group, asked.resource, asked.subresource);
        let tables = self.read();
        let mut unresolved: Vec<String> = Vec::new();
        let allowed = tables.visit(asked.user, asked.namespace, |grant| match &grant.rules {
            Some(rules) => rules.allows(asked, target).then(|| grant.reason.clone()),
            None => {
                unresolved.push(grant.not_found());
                None
            }
        });
        match (allowed, unresolved.as_slice()) {
            (Some(reason), _) => Decision::Allow { reason },
            (None, []) => Decision::no_opinion(""),
            (None, [one]) => Decision::no_opinion(format!("RBAC: {one}")),
            (None, several) => Decision::no_opinion(format!("RBAC: [{}]", several.join(", "))),
        }
    }
}

impl Tables {
    /// Shows `look` every grant that counts, cluster-wide ones first, until it finds something.
    fn visit<T>(&self, user: &User, namespace: &str, mut look: impl FnMut(&Grant) -> Option<T>) -> Option<T> {
        let subjects = || {
            let own = self.users.get(user.name.as_str());
            own.into_iter().chain(user.groups.iter().filter_map(|group| self.groups.get(group.as_str())))
        };
        let found = subjects().flat_map(|grants| &grants.everywhere).find_map(&mut look);
        if found.is_some() || namespace.is_empty() {
            return found;
        }
        subjects().filter_map(|grants| grants.within.get(namespace)).flatten().find_map(look)
    }

    fn put_role(&mut self, name: Name, rules: Option<Arc<Compiled>>) {
        match &rules {
            Some(rules) => drop(self.roles.insert(name.clone(), rules.clone())),
            None => drop(self.roles.remove(&name)),
        }
        let grants = self.users.values_mut().chain(self.groups.values_mut());
        let all = grants.flat_map(|grants| grants.everywhere.iter_mut().chain(grants.within.values_mut().flatten()));
        all.filter(|grant| grant.role == name).for_each(|grant| grant.rules.clone_from(&rules));
    }

    fn put_binding(&mut self, name: Name, object: &Value) {
        self.drop_binding(&name);
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let reference = object.get("roleRef").unwrap_or(&Value::Null);
        let (kind, role_name) = (text(reference, "kind"), text(reference, "name"));
        let role_namespace = if kind == "ClusterRole" { String::new() } else { name.0.clone() };
        let role = (role_namespace, role_name);
        let rules = self.roles.get(&role).cloned();
        let mut subjects = Vec::new();
        for found in object.get("subjects").and_then(Value::as_array).into_iter().flatten() {
            let (own_kind, own_name) = (text(found, "kind"), text(found, "name"));
            let own_namespace = Some(text(found, "namespace")).filter(|own| !own.is_empty()).unwrap_or(name.0.clone());
            let subject = match own_kind.as_str() {
                "User" => Subject::User(own_name.clone()),
                "Group" => Subject::Group(own_name.clone()),
                "ServiceAccount" if !own_namespace.is_empty() => {
                    Subject::User(format!("{}{own_namespace}:{own_name}", names::SERVICE_ACCOUNT_PREFIX))
                }
                _ => continue,
            };
            if subjects.contains(&subject) {
                continue;
            }
            let described = match own_kind.as_str() {
                "ServiceAccount" => format!("ServiceAccount \"{own_name}/{own_namespace}\""),
                _ => format!("{own_kind} {own_name:?}"),
            };
            let binding = match name.0.as_str() {
                "" => format!("ClusterRoleBinding {:?}", name.1),
                namespace => format!("RoleBinding \"{}/{namespace}\"", name.1),
            };
            let reason = format!("RBAC: allowed by {binding} of {kind} {:?} to {described}", role.1);
            let grant =
                Grant { binding: name.clone(), role: role.clone(), rules: rules.clone(), reason: reason.into() };
            self.list(&subject, &name.0).push(grant);
            subjects.push(subject);
        }
        self.bindings.insert(name, Binding { subjects });
    }

    fn drop_binding(&mut self, name: &Name) {
        let Some(binding) = self.bindings.remove(name) else { return };
        for subject in &binding.subjects {
            self.list(subject, &name.0).retain(|grant| grant.binding != *name);
            let (table, key) = match subject {
                Subject::User(key) => (&mut self.users, key),
                Subject::Group(key) => (&mut self.groups, key),
            };
            if let Some(grants) = table.get_mut(key) {
                grants.within.retain(|_, list| !list.is_empty());
                if grants.everywhere.is_empty() && grants.within.is_empty() {
                    table.remove(key);
                }
            }
        }
    }

    fn list(&mut self, subject: &Subject, namespace: &str) -> &mut Vec<Grant> {
        let grants = match subject {
            Subject::User(key) => self.users.entry(key.clone()).or_default(),
            Subject::Group(key) => self.groups.entry(key.clone()).or_default(),
        };
        match namespace {
            "" => &mut grants.everywhere,
            namespace => grants.within.entry(namespace.to_owned()).or_default(),
        }
    }
}

impl Grant {
    fn not_found(&self) -> String {
        let kind = if self.role.0.is_empty() { "clusterrole" } else { "role" };
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.role.1)
    }
}
