//! Roles and bindings: names are path segments, as `system:node` must be one.

use crate::check;
use crate::declared::{Declared, path_segment};
use crate::tree::{default_text, items, items_mut, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

pub const ROLE: Declared = Declared::new(GROUP, "Role")
    .created_by_update()
    .named(path_segment)
    .validates(|role, _, errors| rules(role, true, errors));

pub const CLUSTER_ROLE: Declared = Declared::new(GROUP, "ClusterRole")
    .created_by_update()
    .named(path_segment)
    .validates(|role, _, errors| rules(role, false, errors));

pub const ROLE_BINDING: Declared = Declared::new(GROUP, "RoleBinding")
    .created_by_update()
    .named(path_segment)
    .defaults(defaults)
    .validates(|binding, old, errors| validate(binding, old, &["Role", "ClusterRole"], errors));

pub const CLUSTER_ROLE_BINDING: Declared = Declared::new(GROUP, "ClusterRoleBinding")
    .created_by_update()
    .named(path_segment)
    .defaults(defaults)
    .validates(|binding, old, errors| validate(binding, old, &["ClusterRole"], errors));

fn defaults(binding: &mut Value) {
    if let Some(role) = binding.get_mut("roleRef").filter(|role| role.is_object()) {
        default_text(role, "apiGroup", GROUP);
    }
    for subject in items_mut(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_text(subject, "apiGroup", GROUP);
        }
    }
}

fn rules(role: &Value, is_namespaced: bool, errors: &mut ErrorList) {
    for (at, rule) in items(role, "rules").iter().enumerate() {
        let here = Path::new("rules").index(at);
        let has = |field: &str| !items(rule, field).is_empty();
        if !has("verbs") {
            let why = "verbs must contain at least one value";
            errors.push(FieldError::required(&here.child("verbs"), why));
        }
        if has("nonResourceURLs") {
            let urls = items(rule, "nonResourceURLs").to_vec();
            if is_namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(&here.child("nonResourceURLs"), urls.clone(), why));
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|field| has(field)) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(&here.child("nonResourceURLs"), urls, why));
            }
            continue;
        }
        if !has("apiGroups") {
            let why = "resource rules must supply at least one api group";
            errors.push(FieldError::required(&here.child("apiGroups"), why));
        }
        if !has("resources") {
            let why = "resource rules must supply at least one resource";
            errors.push(FieldError::required(&here.child("resources"), why));
        }
    }
}

fn validate(binding: &Value, old: Option<&Value>, roles: &[&str], errors: &mut ErrorList) {
    let (role, path) = (&binding["roleRef"], Path::new("roleRef"));
    if text(role, "apiGroup") != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), text(role, "apiGroup"), &[GROUP]));
    }
    if !roles.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported(&path.child("kind"), text(role, "kind"), roles));
    }
    let name = text(role, "name");
    if check::required(errors, &path.child("name"), name) {
        check::all(errors, &path.child("name"), name, path_segment(name, false));
    }
    for (at, subject) in items(binding, "subjects").iter().enumerate() {
        self::subject(subject, &Path::new("subjects").index(at), errors);
    }
    if old.is_some_and(|old| old["roleRef"] != *role) {
        errors.push(FieldError::invalid(&path, role.clone(), "cannot change roleRef"));
    }
}

fn subject(subject: &Value, path: &Path, errors: &mut ErrorList) {
    let name = text(subject, "name");
    check::required(errors, &path.child("name"), name);
    let group = text(subject, "apiGroup");
    let expected = match text(subject, "kind") {
        "ServiceAccount" => "",
        "User" | "Group" => GROUP,
        other => {
            let known = &["Group", "ServiceAccount", "User"];
            errors.push(FieldError::not_supported(&path.child("kind"), other, known));
            return;
        }
    };
    if expected.is_empty() {
        if !name.is_empty() {
            check::all(errors, &path.child("name"), name, meta::validation::dns1123_subdomain(name));
        }
        check::required(errors, &path.child("namespace"), text(subject, "namespace"));
    }
    if group != expected {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[expected]));
    }
}
