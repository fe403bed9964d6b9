//! Bindings, reasons, changes, escalation and reviews on a small set of roles.

use super::*;
use crate::authorizer::{Authorizer, Decision};
use meta::{Attributes, User};
use serde_json::{Value, json};

fn role(namespace: &str, name: &str, rules: Value) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}, "rules": rules})
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subjects: Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": subjects,
    })
}

fn index() -> Index {
    let index = Index::default();
    let read = json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]);
    index.upsert("clusterroles", &role("", "reader", read));
    index.upsert(
        "clusterroles",
        &role(
            "",
            "all",
            json!([
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]},
            ]),
        ),
    );
    index.upsert(
        "clusterroles",
        &role("", "paths", json!([{"nonResourceURLs": ["/healthz", "/api/*"], "verbs": ["get"]}])),
    );
    index.upsert(
        "clusterroles",
        &role("", "scales", json!([{"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["get"]}])),
    );
    index.upsert(
        "roles",
        &role(
            "shop",
            "one",
            json!([
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["key"], "verbs": ["get"]},
            ]),
        ),
    );
    let to = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}]);
    index.upsert("clusterrolebindings", &binding("", "everywhere", ("ClusterRole", "reader"), to("Group", "ops")));
    index.upsert("clusterrolebindings", &binding("", "root", ("ClusterRole", "all"), to("User", "root")));
    index.upsert("clusterrolebindings", &binding("", "paths", ("ClusterRole", "paths"), to("Group", "everybody")));
    index.upsert("clusterrolebindings", &binding("", "scales", ("ClusterRole", "scales"), to("User", "scaler")));
    index.upsert(
        "rolebindings",
        &binding(
            "shop",
            "here",
            ("ClusterRole", "reader"),
            json!([
                {"kind": "ServiceAccount", "name": "web"}, {"kind": "User", "name": "jane"},
            ]),
        ),
    );
    index.upsert("rolebindings", &binding("shop", "key", ("Role", "one"), to("User", "jane")));
    index
}

#[test]
fn subjects_may_what_their_bindings_say_and_no_more() {
    let index = index();
    let (jane, op) = (User::new("jane", &["everybody"]), User::new("op", &["x", "ops"]));
    let (root, scaler) = (User::new("root", &[]), User::new("scaler", &[]));
    let web = User::new("system:serviceaccount:shop:web", &[]);
    let on = |user, verb, group, resource| Attributes::resource(user, verb, group, resource);
    let path = Attributes::path;
    for (asked, allowed) in [
        (on(&jane, "get", "", "pods").namespace("shop"), true),
        (on(&jane, "get", "", "pods").namespace("shop").subresource("log"), true),
        (on(&jane, "get", "", "pods").namespace("shop").subresource("exec"), false),
        (on(&jane, "delete", "", "pods").namespace("shop"), false),
        (on(&jane, "get", "", "pods").namespace("other"), false),
        (on(&jane, "list", "", "pods"), false),
        (on(&jane, "get", "apps", "pods").namespace("shop"), false),
        (on(&jane, "get", "", "secrets").namespace("shop").name("key"), true),
        (on(&jane, "get", "", "secrets").namespace("shop").name("other"), false),
        (on(&jane, "get", "", "secrets").namespace("shop"), false),
        (path(&jane, "get", "/healthz"), true),
        (path(&jane, "get", "/api/v1"), true),
        (path(&jane, "get", "/healthz/x"), false),
        (path(&jane, "post", "/healthz"), false),
        (on(&web, "list", "", "pods").namespace("shop"), true),
        (on(&op, "list", "", "pods"), true),
        (on(&op, "list", "", "pods").namespace("any"), true),
        (on(&root, "explode", "x.io", "things").subresource("sub"), true),
        (path(&root, "get", "/anything"), true),
        (on(&scaler, "get", "apps", "deployments").subresource("scale"), true),
        (on(&scaler, "get", "apps", "deployments"), false),
        (on(&scaler, "get", "apps", "deployments").subresource("status"), false),
    ] {
        assert_eq!(index.authorize(&asked).is_allowed(), allowed, "{asked:?}");
    }
}

#[test]
fn reasons_are_upstreams() {
    let index = index();
    let (jane, op) = (User::new("jane", &[]), User::new("op", &["ops"]));
    let web = User::new("system:serviceaccount:shop:web", &[]);
    for (user, reason) in [
        (&jane, r#"RBAC: allowed by RoleBinding "here/shop" of ClusterRole "reader" to User "jane""#),
        (&op, r#"RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "reader" to Group "ops""#),
        (&web, r#"RBAC: allowed by RoleBinding "here/shop" of ClusterRole "reader" to ServiceAccount "web/shop""#),
    ] {
        let asked = Attributes::resource(user, "get", "", "pods").namespace("shop");
        assert_eq!(index.authorize(&asked), Decision::allow(reason));
    }
    index.remove("clusterroles", "", "reader");
    let asked = Attributes::resource(&op, "get", "", "pods");
    let reason = r#"RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!(index.authorize(&asked), Decision::no_opinion(reason));
}

#[test]
fn changes_count_at_once() {
    let index = index();
    let op = User::new("op", &["ops"]);
    let may = || index.authorize(&Attributes::resource(&op, "get", "", "pods")).is_allowed();
    assert!(may());
    index.upsert("clusterroles", &role("", "reader", json!([])));
    assert!(!may());
    index.upsert(
        "clusterroles",
        &role("", "reader", json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])),
    );
    assert!(may());
    index.upsert("clusterrolebindings", &binding("", "everywhere", ("ClusterRole", "reader"), json!([])));
    assert!(!may());
    index.upsert(
        "clusterrolebindings",
        &binding("", "everywhere", ("ClusterRole", "reader"), json!([{"kind": "Group", "name": "ops"}])),
    );
    assert!(may());
    index.remove("clusterrolebindings", "", "everywhere");
    assert!(!may());
}

fn rule(json: Value) -> Rule {
    serde_json::from_value(json).unwrap()
}

#[test]
fn covering_is_upstreams() {
    let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]});
    for (held, wanted, covered) in [
        (pods.clone(), json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}), true),
        (pods.clone(), json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}), false),
        (
            pods.clone(),
            json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}),
            true,
        ),
        (
            json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}),
            pods.clone(),
            false,
        ),
        (json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}), pods.clone(), true),
        (
            json!({"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["*"]}),
            json!({"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}),
            true,
        ),
        (
            json!({"nonResourceURLs": ["/a/*"], "verbs": ["get"]}),
            json!({"nonResourceURLs": ["/a/b", "/a/*"], "verbs": ["get"]}),
            true,
        ),
        (
            json!({"nonResourceURLs": ["/a/*"], "verbs": ["get"]}),
            json!({"nonResourceURLs": ["*"], "verbs": ["get"]}),
            false,
        ),
    ] {
        assert_eq!(covers(&[rule(held.clone())], &[rule(wanted.clone())]).is_ok(), covered, "{held} {wanted}");
    }
}

#[test]
fn nobody_grants_what_he_does_not_hold() {
    let index = index();
    let op = User::new("op", &["ops", "x"]);
    let write = |name: &str, rules: Value| {
        check_role(&index, &index, &op, "clusterroles", &role("", name, rules), None).map_err(|status| status.message)
    };
    let get = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    assert_eq!(write("mine", get.clone()), Ok(()));
    let more = json!([
        {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "create"]},
        {"nonResourceURLs": ["/x"], "verbs": ["get"]},
    ]);
    assert_eq!(
        write("mine", more.clone()).unwrap_err(),
        "clusterroles.rbac.authorization.k8s.io \"mine\" is forbidden: user \"op\" (groups=[\"ops\" \"x\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"create\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"create\" \"get\"]}\n\
         {NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}"
    );
    let mut aggregated = role("", "mine", get);
    aggregated["aggregationRule"] = json!({"clusterRoleSelectors": []});
    let refused = check_role(&index, &index, &op, "clusterroles", &aggregated, None).unwrap_err().message;
    assert!(refused.ends_with("must have cluster-admin privileges to use the aggregationRule"), "{refused}");
    let root = User::new("root", &[]);
    assert!(check_role(&index, &index, &root, "clusterroles", &aggregated, None).is_ok());
    // The collector may drop a finalizer of a role that it could not write.
    let mut old = role("", "mine", more.clone());
    old["metadata"]["finalizers"] = json!(["a/b"]);
    assert!(check_role(&index, &index, &op, "clusterroles", &role("", "mine", more), Some(&old)).is_ok());
}

#[test]
fn binding_needs_the_roles_permissions_or_the_verb() {
    let index = index();
    let op = User::new("op", &["ops"]);
    let bind = |user: &User, name: &str| {
        let object = binding("shop", "new", ("ClusterRole", name), json!([]));
        check_binding(&index, &index, user, "rolebindings", &object, None).map_err(|status| status.message)
    };
    assert_eq!(bind(&op, "reader"), Ok(()));
    assert!(
        bind(&op, "paths")
            .unwrap_err()
            .contains("not currently held:\n{NonResourceURLs:[\"/api/*\"], Verbs:[\"get\"]}")
    );
    assert_eq!(bind(&op, "none").unwrap_err(), "clusterroles.rbac.authorization.k8s.io \"none\" not found");
    index.upsert("clusterroles", &role("", "binder", json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["paths"], "verbs": ["bind"]},
    ])));
    index.upsert(
        "rolebindings",
        &binding("shop", "b", ("ClusterRole", "binder"), json!([{"kind": "User", "name": "op"}])),
    );
    assert_eq!(bind(&op, "paths"), Ok(()));
    assert!(bind(&op, "scales").is_err());
}

#[test]
fn a_review_lists_what_counts_here() {
    let index = index();
    let jane = User::new("jane", &["everybody"]);
    let here = review(&index, &jane, "shop");
    assert_eq!((here.resource_rules.len(), here.non_resource_rules.len(), here.incomplete), (2, 1, false));
    assert_eq!(review(&index, &jane, "other").resource_rules.len(), 0);
    index.remove("roles", "shop", "one");
    let partly = review(&index, &jane, "shop").to_json();
    assert_eq!(partly["incomplete"], true);
    assert_eq!(partly["evaluationError"], r#"role.rbac.authorization.k8s.io "one" not found"#);
    assert_eq!(review(&index, &User::new("r", &["system:masters"]), "").resource_rules[0].verbs, ["*"]);
}
