//! The bootstrap policy: the roles and bindings every cluster starts with, as upstream has them, for
//! the API server to reconcile at each start.

mod reconcile;
mod table;

pub use reconcile::{Reconciled, reconcile};

use crate::rbac::Rule;
use serde_json::{Map, Value, json};
use table::{BINDINGS, CLUSTER_ROLES, CONTROLLER_ROLES, ROLES, Role};

const GROUP: &str = "rbac.authorization.k8s.io";
const CONTROLLER_PREFIX: &str = "system:controller:";

/// All default roles and bindings, roles before the bindings that name them.
pub fn bootstrap_policy() -> Vec<Value> {
    let roles = CLUSTER_ROLES.iter().chain(CONTROLLER_ROLES).chain(ROLES).map(role_object);
    let bindings = BINDINGS.iter().map(|row| binding_object(row.namespace, row.name, row.role, row.subjects));
    let controllers = CONTROLLER_ROLES.iter().map(|row| {
        let account = format!("ServiceAccount kube-system/{}", row.name.trim_start_matches(CONTROLLER_PREFIX));
        binding_object("", row.name, row.name, &[&account])
    });
    roles.chain(bindings).chain(controllers).collect()
}

/// The rules of `system:node`, which the node authorizer grants within its limits.
pub(crate) fn node_rules() -> Vec<Rule> {
    let row = CLUSTER_ROLES.iter().find(|row| row.name == "system:node");
    row.map(|row| row.rules.iter().map(|text| rule(text)).collect()).unwrap_or_default()
}

fn role_object(row: &Role) -> Value {
    let kind = if row.namespace.is_empty() { "ClusterRole" } else { "Role" };
    let mut object = base_object(kind, row.namespace, row.name);
    if !row.label.is_empty() {
        object["metadata"]["labels"][format!("{GROUP}/{}", row.label)] = json!("true");
    }
    if row.aggregates.is_empty() {
        let rules = row.rules.iter().map(|text| rule(text));
        let is_controller = row.name.starts_with(CONTROLLER_PREFIX);
        object["rules"] =
            json!(rules.map(|rule| if is_controller { patching(rule) } else { rule }).collect::<Vec<_>>());
    } else {
        let labels: Map<String, Value> = [(format!("{GROUP}/{}", row.aggregates), json!("true"))].into_iter().collect();
        object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
        // As the aggregation controller will find them, so that `view` means something before its first run.
        object["rules"] = json!(aggregated(row.aggregates));
    }
    object
}

/// Kutter's controllers write patches where upstream's write whole objects: who may update a
/// resource may patch it too (docs/decisions/controllers-patch.md).
fn patching(mut rule: Rule) -> Rule {
    let has = |verb: &str| rule.verbs.iter().any(|own| own == verb);
    if has("update") && !has("patch") {
        rule.verbs.push("patch".to_owned());
    }
    rule
}

/// The rules of all roles with this aggregate label, by their names' order, each once.
fn aggregated(label: &str) -> Vec<Rule> {
    let mut parts: Vec<&Role> = CLUSTER_ROLES.iter().filter(|row| row.label == label).collect();
    parts.sort_by_key(|row| row.name);
    let mut rules: Vec<Rule> = Vec::new();
    for row in parts {
        let own = match row.aggregates {
            "" => row.rules.iter().map(|text| rule(text)).collect(),
            more => aggregated(more),
        };
        for rule in own {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

fn binding_object(namespace: &str, name: &str, role: &str, subjects: &[&str]) -> Value {
    let (kind, role_kind) = match namespace {
        "" => ("ClusterRoleBinding", "ClusterRole"),
        _ => ("RoleBinding", "Role"),
    };
    let mut object = base_object(kind, namespace, name);
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    if !subjects.is_empty() {
        object["subjects"] = json!(subjects.iter().map(|text| subject(text)).collect::<Vec<_>>());
    }
    object
}

fn base_object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata})
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
        None => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
    }
}

/// Reads a rule of the table.
fn rule(text: &str) -> Rule {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (what, verbs) = text.rsplit_once('=').unwrap_or((text, ""));
    // Names in braces may hold colons and commas of their own.
    let (what, names) = match what.split_once('{') {
        Some((what, names)) => (what, list(names.trim_end_matches('}'))),
        None => (what, Vec::new()),
    };
    let verbs = list(verbs);
    match what.split_once(':').unwrap_or(("", what)) {
        ("nonResource", paths) => Rule { verbs, non_resource_urls: list(paths), ..Rule::default() },
        (groups, resources) => {
            let group = |name: &str| if name == "core" { String::new() } else { name.to_owned() };
            let api_groups = groups.split(',').map(group).collect();
            Rule { verbs, api_groups, resources: list(resources), resource_names: names, ..Rule::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::Authorizer as _;
    use crate::rbac::Index;
    use meta::{Attributes, User};
    use std::collections::BTreeSet;

    fn index() -> Index {
        let index = Index::default();
        for object in bootstrap_policy() {
            index.upsert(&format!("{}s", object["kind"].as_str().unwrap().to_lowercase()), &object);
        }
        index
    }

    #[test]
    fn every_rule_reads_and_every_binding_finds_its_role() {
        let objects = bootstrap_policy();
        let key = |object: &Value, name: &Value| {
            format!("{}/{}", object["metadata"]["namespace"].as_str().unwrap_or_default(), name.as_str().unwrap())
        };
        let mut seen = BTreeSet::new();
        for object in &objects {
            assert!(seen.insert((object["kind"].to_string(), key(object, &object["metadata"]["name"]))), "{object}");
            for rule in object["rules"].as_array().into_iter().flatten() {
                for (list, empty) in [("verbs", false), ("apiGroups", rule.get("nonResourceURLs").is_some())] {
                    let items = rule.get(list).and_then(Value::as_array);
                    assert_eq!(items.is_none_or(Vec::is_empty), empty, "{rule}");
                    for item in items.into_iter().flatten() {
                        let text = item.as_str().unwrap();
                        assert!(!text.contains([' ', '(', ')', '{', '}', ':']), "{rule}");
                    }
                }
            }
            if let Some(reference) = object.get("roleRef") {
                let wanted = (reference["kind"].to_string(), key(object, &reference["name"]));
                assert!(seen.contains(&wanted), "{object}");
            }
        }
        assert!(objects.len() > 120, "{}", objects.len());
    }

    #[test]
    fn whole_roles_hold_their_parts() {
        let index = index();
        for (role, verb, group, resource, allowed) in [
            ("view", "get", "", "pods", true),
            ("view", "get", "", "secrets", false),
            ("view", "create", "", "pods", false),
            ("edit", "create", "apps", "deployments", true),
            ("edit", "get", "apps", "deployments", true),
            ("edit", "create", "rbac.authorization.k8s.io", "roles", false),
            ("admin", "create", "rbac.authorization.k8s.io", "roles", true),
            ("admin", "get", "", "secrets", true),
        ] {
            // The table binds Roles within namespaces; this one binds a ClusterRole there.
            let mut binding = binding_object("shop", "b", role, &["User jane"]);
            binding["roleRef"]["kind"] = json!("ClusterRole");
            index.upsert("rolebindings", &binding);
            let jane = User::new("jane", &[]);
            let asked = Attributes::resource(&jane, verb, group, resource).namespace("shop");
            assert_eq!(index.authorize(&asked).is_allowed(), allowed, "{role} {verb} {resource}");
        }
    }

    #[test]
    fn well_known_users_may_what_upstream_lets_them() {
        let index = index();
        let scheduler = User::new("system:kube-scheduler", &["system:authenticated"]);
        let anyone = User::new("jane", &["system:authenticated"]);
        let nobody = User::new("system:anonymous", &["system:unauthenticated"]);
        let replica = User::new("system:serviceaccount:kube-system:replicaset-controller", &[]);
        let signer = User::new("system:serviceaccount:kube-system:certificate-controller", &[]);
        let on = |user, verb, group, resource| Attributes::resource(user, verb, group, resource);
        for (asked, allowed) in [
            (on(&scheduler, "create", "", "pods").namespace("a").subresource("binding"), true),
            (
                on(&scheduler, "update", "coordination.k8s.io", "leases")
                    .namespace("kube-system")
                    .name("kube-scheduler"),
                true,
            ),
            (on(&scheduler, "update", "coordination.k8s.io", "leases").namespace("default").name("other"), false),
            (on(&scheduler, "get", "", "secrets").namespace("a"), false),
            (on(&anyone, "create", "authorization.k8s.io", "selfsubjectaccessreviews"), true),
            (on(&anyone, "list", "", "pods").namespace("default"), false),
            (Attributes::path(&anyone, "get", "/apis/apps"), true),
            (Attributes::path(&nobody, "get", "/readyz"), true),
            (Attributes::path(&nobody, "get", "/apis"), false),
            (on(&replica, "create", "", "pods").namespace("a"), true),
            (on(&replica, "create", "", "secrets").namespace("a"), false),
            (
                on(&signer, "approve", "certificates.k8s.io", "signers")
                    .name("kubernetes.io/kube-apiserver-client-kubelet"),
                true,
            ),
            (on(&signer, "approve", "certificates.k8s.io", "signers").name("kubernetes.io/kubelet-serving"), false),
        ] {
            assert_eq!(index.authorize(&asked).is_allowed(), allowed, "{asked:?}");
        }
    }

    /// The goal is a microsecond; the bound is wide because test machines are busy.
    #[test]
    fn an_answer_takes_microseconds_at_most() {
        let index = index();
        let account = User::new(
            "system:serviceaccount:kube-system:replicaset-controller",
            &["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
        );
        let asked = Attributes::resource(&account, "create", "", "pods").namespace("default");
        let clock = base::Clock::real();
        let start = clock.instant();
        let rounds = 100_000;
        for _ in 0..rounds {
            assert!(index.authorize(std::hint::black_box(&asked)).is_allowed());
        }
        let each = start.elapsed().as_nanos() / rounds;
        println!("{each} ns each");
        assert!(each < 20_000, "{each} ns each");
    }
}
