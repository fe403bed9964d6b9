//! Who may do what from the start: upstream's policy, what kubeadm adds for administrators and
//! joining nodes, and the accounts under which agents run the service proxy and DNS.

use super::{Object, Upkeep};
use crate::pki::ADMIN_GROUP;
use crate::token::JOIN_GROUP;
use meta::GroupVersionResource;
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
pub const PROXY_ACCOUNT: &str = "kube-proxy";
pub const DNS_ACCOUNT: &str = "coredns";

pub(super) fn all() -> Vec<Object> {
    let policy = auth::bootstrap_policy().into_iter().map(|value| rbac(Upkeep::Policy, value));
    policy.chain(kubeadm()).chain(agents()).collect()
}

fn rbac(upkeep: Upkeep, value: Value) -> Object {
    let resource = match value["kind"].as_str() {
        Some("Role") => "roles",
        Some("ClusterRole") => "clusterroles",
        Some("RoleBinding") => "rolebindings",
        _ => "clusterrolebindings",
    };
    Object::new(upkeep, GroupVersionResource::of(GROUP, "v1", resource), value)
}

fn cluster_role(name: &str, rules: Value) -> Object {
    let value = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    });
    rbac(Upkeep::Once, value)
}

fn role(namespace: &str, name: &str, rules: Value) -> Object {
    let value = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules,
    });
    rbac(Upkeep::Once, value)
}

fn cluster_binding(name: &str, role: &str, subjects: Value) -> Object {
    let value = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    });
    rbac(Upkeep::Once, value)
}

/// Of a role by the binding's own name.
fn binding(namespace: &str, name: &str, subjects: Value) -> Object {
    let value = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
        "subjects": subjects,
    });
    rbac(Upkeep::Once, value)
}

fn group(name: &str) -> Value {
    json!({"apiGroup": GROUP, "kind": "Group", "name": name})
}

fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
}

/// Under kubeadm's names, so that its tools and documents hold here.
fn kubeadm() -> Vec<Object> {
    let approve = |what: &str| format!("system:certificates.k8s.io:certificatesigningrequests:{what}");
    let joining = || json!([group(JOIN_GROUP)]);
    let info = "kubeadm:bootstrap-signer-clusterinfo";
    let configuration = "kubeadm:nodes-kubeadm-config";
    vec![
        cluster_binding(ADMIN_GROUP, "cluster-admin", json!([group(ADMIN_GROUP)])),
        cluster_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", joining()),
        cluster_binding("kubeadm:node-autoapprove-bootstrap", &approve("nodeclient"), joining()),
        cluster_binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            &approve("selfnodeclient"),
            json!([group(auth::names::NODES)]),
        ),
        cluster_role("kubeadm:get-nodes", json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}])),
        cluster_binding("kubeadm:get-nodes", "kubeadm:get-nodes", joining()),
        cluster_binding("kubeadm:node-proxier", "system:node-proxier", json!([account(PROXY_ACCOUNT)])),
        role(
            "kube-public",
            info,
            json!([
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]},
            ]),
        ),
        role(
            "kube-system",
            configuration,
            json!([
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [super::CONFIGURATION], "verbs": ["get"]},
            ]),
        ),
        binding("kube-system", configuration, json!([group(JOIN_GROUP), group(auth::names::NODES)])),
        binding("kube-public", info, json!([{"apiGroup": GROUP, "kind": "User", "name": auth::names::ANONYMOUS}])),
    ]
}

/// Agents get a token for each of the two accounts when they join; each account renews its own.
fn agents() -> Vec<Object> {
    let mut objects = vec![
        cluster_role(
            "system:coredns",
            json!([
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ]),
        ),
        cluster_binding("system:coredns", "system:coredns", json!([account(DNS_ACCOUNT)])),
        // Serving certificates of nodes: the controller compares names with the Node before it approves.
        cluster_binding(
            "kutter:kubelet-serving-approver",
            "system:certificates.k8s.io:kubelet-serving-approver",
            json!([account("certificate-controller")]),
        ),
    ];
    for name in [PROXY_ACCOUNT, DNS_ACCOUNT] {
        let value = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"},
        });
        objects.push(Object::new(Upkeep::Once, GroupVersionResource::of("", "v1", "serviceaccounts"), value));
        let token_role = format!("kutter:{name}-token");
        let rules = json!([
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [name], "verbs": ["create"]},
        ]);
        objects.push(role("kube-system", &token_role, rules));
        objects.push(binding("kube-system", &token_role, json!([group(JOIN_GROUP), account(name)])));
    }
    objects
}
