//! What a kubelet may reach through its pods, and what it is told otherwise.

use super::*;
use serde_json::json;

fn pod() -> serde_json::Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {
            "nodeName": "n1",
            "serviceAccountName": "runner",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "env-map"}}]}],
            "containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "a"}}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "vol-secret"}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "proj-map"}}, {"secret": {"name": "proj-secret"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "d", "ephemeral": {"volumeClaimTemplate": {}}},
            ],
        },
    })
}

fn setup() -> (Graph, NodeAuthorizer) {
    let graph = Graph::default();
    graph.upsert("pods", &pod());
    graph.upsert(
        "persistentvolumes",
        &json!({
            "metadata": {"name": "pv-1"},
            "spec": {
                "claimRef": {"namespace": "shop", "name": "data"},
                "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "storage"}},
            },
        }),
    );
    (graph.clone(), NodeAuthorizer::new(graph))
}

fn kubelet(node: &str) -> User {
    User::new(format!("system:node:{node}"), &["system:nodes"])
}

#[test]
fn a_node_reads_what_its_pods_need() {
    let (graph, authorizer) = setup();
    let (own, other) = (kubelet("n1"), kubelet("n2"));
    let may = |user: &User, resource: &str, name: &str| {
        let (group, namespace) = match resource {
            "persistentvolumes" => ("", ""),
            _ => ("", "shop"),
        };
        let asked = Attributes::resource(user, "get", group, resource).namespace(namespace).name(name);
        authorizer.authorize(&asked).is_allowed()
    };
    let related = [
        ("secrets", "pull"),
        ("secrets", "env-secret"),
        ("secrets", "vol-secret"),
        ("secrets", "proj-secret"),
        ("configmaps", "env-map"),
        ("configmaps", "proj-map"),
        ("persistentvolumeclaims", "data"),
        ("persistentvolumeclaims", "web-d"),
        ("persistentvolumes", "pv-1"),
        ("serviceaccounts", "runner"),
        ("pods", "web"),
    ];
    for (resource, name) in related {
        assert!(may(&own, resource, name), "{resource} {name}");
        assert!(!may(&other, resource, name), "{resource} {name}");
        assert!(!may(&own, resource, "unrelated"), "{resource}");
    }
    let stage = |user| {
        let asked = Attributes::resource(user, "get", "", "secrets").namespace("storage").name("stage");
        authorizer.authorize(&asked).is_allowed()
    };
    assert!(stage(&own) && !stage(&other));
    graph.remove("pods", "shop", "web");
    assert!(related.iter().all(|(resource, name)| !may(&own, resource, name)) && !stage(&own));
    // Moved, mirrored: the old node loses, the new one reads nothing for a mirror.
    let mut moved = pod();
    moved["spec"]["nodeName"] = json!("n2");
    graph.upsert("pods", &moved);
    assert!(!may(&own, "secrets", "pull") && may(&other, "secrets", "pull"));
    moved["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    graph.upsert("pods", &moved);
    assert!(!may(&other, "secrets", "pull") && may(&other, "pods", "web"));
}

#[test]
fn refusals_and_limits_are_upstreams() {
    let (_, authorizer) = setup();
    let own = kubelet("n1");
    let on = |verb, group, resource| Attributes::resource(&own, verb, group, resource);
    for (asked, refusal) in [
        (
            on("get", "", "secrets").namespace("shop").name("x"),
            Some("no relationship found between node 'n1' and this object"),
        ),
        (on("update", "", "secrets").namespace("shop").name("pull"), Some("can only read resources of this type")),
        (on("list", "", "secrets").namespace("shop"), Some("No Object name found")),
        (on("list", "", "secrets"), Some("can only read namespaced object of this type")),
        (Attributes { field_selector: "metadata.name=pull", ..on("watch", "", "secrets").namespace("shop") }, None),
        (on("list", "", "persistentvolumes"), Some("can only get individual resources of this type")),
        (on("create", "", "serviceaccounts").namespace("shop").name("runner").subresource("token"), None),
        (
            on("create", "", "serviceaccounts").namespace("shop").name("admin").subresource("token"),
            Some("no relationship found between node 'n1' and this object"),
        ),
        (
            on("create", "", "serviceaccounts").namespace("shop"),
            Some("can only create tokens for individual service accounts"),
        ),
        (on("list", "", "pods"), Some("can only list/watch pods with spec.nodeName field selector")),
        (Attributes { field_selector: "spec.nodeName=n1", ..on("list", "", "pods") }, None),
        (
            Attributes { field_selector: "spec.nodeName=n2", ..on("list", "", "pods") },
            Some("can only list/watch pods with spec.nodeName field selector"),
        ),
        (on("patch", "", "pods").namespace("a").name("b").subresource("status"), None),
        (on("patch", "", "pods").namespace("a").name("b"), Some("")),
        (on("get", "", "nodes").name("n1"), None),
        (on("get", "", "nodes").name("n2"), Some("node 'n1' cannot read 'n2', only its own Node object")),
        (on("list", "", "nodes"), Some("node 'n1' cannot read all nodes, only its own Node object")),
        (on("delete", "", "nodes").name("n1"), Some("")),
        (on("update", "coordination.k8s.io", "leases").namespace("kube-node-lease").name("n1"), None),
        (
            on("update", "coordination.k8s.io", "leases").namespace("kube-node-lease").name("n2"),
            Some("can only access node lease with the same name as the requesting node"),
        ),
        (
            on("update", "coordination.k8s.io", "leases").namespace("kube-system").name("n1"),
            Some("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        (
            on("list", "coordination.k8s.io", "leases").namespace("kube-node-lease"),
            Some("can only get, create, update, patch, or delete a node lease"),
        ),
        (
            on("update", "storage.k8s.io", "csinodes").name("n2"),
            Some("can only access CSINode with the same name as the requesting node"),
        ),
        (on("list", "", "services"), None),
        (on("create", "certificates.k8s.io", "certificatesigningrequests"), None),
        (on("create", "", "events").namespace("default"), None),
        (on("list", "apps", "deployments"), Some("")),
        (Attributes::path(&own, "get", "/metrics"), Some("")),
    ] {
        let decision = authorizer.authorize(&asked);
        assert_eq!(
            (decision.is_allowed(), decision.reason()),
            (refusal.is_none(), refusal.unwrap_or_default()),
            "{asked:?}"
        );
    }
}

#[test]
fn only_a_kubelet_is_one() {
    let (_, authorizer) = setup();
    let impostor = User::new("system:node:n1", &[]);
    assert_eq!(
        authorizer.authorize(&Attributes::resource(&impostor, "list", "", "services")),
        Decision::no_opinion("")
    );
}

#[test]
fn a_pod_is_read_again_only_where_it_may_refer_to_more() {
    let graph = Graph::default();
    let pod = json!({"metadata": {"namespace": "shop", "name": "plain"}, "spec": {"nodeName": "n1", "containers": []}});
    let mut grown = pod.clone();
    grown["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    let (plain_text, grown_text) = (pod.to_string(), grown.to_string());
    let is_current = |node: &str, text: &str| graph.is_current("shop", "plain", node, text.as_bytes());
    assert!(is_current("", &plain_text), "it is on no node, and unknown");
    assert!(!is_current("n1", &plain_text), "it has just got a node");
    graph.upsert("pods", &pod);
    assert!(is_current("n1", &plain_text));
    assert!(!is_current("n2", &plain_text), "it is elsewhere");
    assert!(!is_current("", &plain_text), "it is on no node any more");
    assert!(!is_current("n1", &grown_text), "its debugger may use other secrets");
    graph.upsert("pods", &grown);
    assert!(!is_current("n1", &plain_text), "it may refer to less");
    graph.remove("pods", "shop", "plain");
    assert!(!is_current("n1", &plain_text));
}

#[test]
fn a_node_sees_the_certificate_requests_of_its_own_pods() {
    let (graph, authorizer) = setup();
    let resource = "podcertificaterequests";
    graph.upsert(resource, &json!({"metadata": {"namespace": "shop", "name": "req-1"}, "spec": {"nodeName": "n1"}}));
    let may = |node: &str, verb: &str, name: &str, subresource: &str, selector: &str| {
        let user = kubelet(node);
        let asked = Attributes::resource(&user, verb, "certificates.k8s.io", resource).namespace("shop").name(name);
        let asked = Attributes { subresource, field_selector: selector, ..asked };
        authorizer.authorize(&asked).is_allowed()
    };
    for (node, verb, name, subresource, selector, allowed) in [
        ("n1", "get", "req-1", "", "", true),
        ("n2", "get", "req-1", "", "", false),
        ("n1", "create", "", "", "", true),
        ("n1", "update", "req-1", "status", "", false),
        ("n1", "delete", "req-1", "", "", false),
        ("n1", "list", "", "", "", false),
        ("n1", "watch", "", "", "spec.nodeName=n1", true),
        ("n1", "watch", "", "", "spec.nodeName=n2", false),
    ] {
        assert_eq!(may(node, verb, name, subresource, selector), allowed, "{node} {verb} {name} {subresource}");
    }
    graph.remove(resource, "shop", "req-1");
    assert!(!may("n1", "get", "req-1", "", ""));
}
