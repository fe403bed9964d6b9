//! The plugins against small objects. One test a plugin; PodSecurity has a file of its own.

use crate::testing::{World, create, update};
use crate::{ALL, Chain, Operation, Setup};
use serde_json::{Value, json};

fn world(objects: Vec<(&'static str, Value)>) -> World {
    World { objects, ..World::default() }
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

#[test]
fn the_default_chain_holds_what_is_on_and_flags_change_it() {
    let setup = Setup { clock: base::Clock::real(), rng: base::Rng::seeded(1), gates: Default::default() };
    assert!(Chain::from_flags(&setup, &[], &["PodSecurity"]).is_ok());
    let error = Chain::from_flags(&setup, &["Nonsense"], &[]).err().unwrap().to_string();
    assert_eq!(error, "admission-control plugin \"Nonsense\" is unknown");
    for def in ALL {
        assert_eq!((def.build)(&setup).name(), def.name);
    }
}

#[test]
fn namespaces_that_go_take_nothing_new() {
    let world = world(vec![
        ("namespaces", named("shop")),
        ("namespaces", json!({"metadata": {"name": "going"}, "status": {"phase": "Terminating"}})),
    ]);
    let map = |namespace: &str| json!({"metadata": {"name": "a", "namespace": namespace}});
    let write = create("NamespaceLifecycle", "/configmaps");
    assert!(write.run(&world, map("shop")).is_ok());
    let missing = write.run(&world, map("none")).unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (404, "namespaces \"none\" not found"));
    let going = write.run(&world, map("going")).unwrap_err();
    assert_eq!(
        going.message,
        "configmaps \"a\" is forbidden: unable to create new content in namespace going because it is being terminated"
    );
    let cause = &going.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str()),
        ("NamespaceTerminating", "namespace going is being terminated")
    );
    assert!(update("NamespaceLifecycle", "/configmaps", map("going")).run(&world, map("going")).is_ok());
    let mut delete = create("NamespaceLifecycle", "/namespaces");
    delete.operation = Operation::Delete;
    delete.old = Some(named("kube-system"));
    assert_eq!(
        delete.refusal(&world, Value::Null),
        "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"
    );
    delete.old = Some(named("shop"));
    assert!(delete.run(&world, Value::Null).is_ok());
}

fn account(more: Value) -> World {
    let mut account = json!({"metadata": {"name": "default", "namespace": "shop"}});
    account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world(vec![("serviceaccounts", account)])
}

#[test]
fn pods_get_an_account_and_its_token() {
    let write = create("ServiceAccount", "/pods");
    let plain = pod(json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [
        {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    ]}], "initContainers": [{"name": "i"}]}));
    let out = write.object(&account(json!({"imagePullSecrets": [{"name": "pull"}]})), plain.clone());
    let spec = &out["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("default"), &json!("default")));
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-") && volume.len() == 21, "{volume}");
    let projected = &spec["volumes"][0]["projected"];
    assert_eq!(projected["defaultMode"], 420);
    assert_eq!(projected["sources"][0], json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}));
    let mount =
        json!([{"name": volume, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    assert_eq!((&spec["containers"][0]["volumeMounts"], &spec["initContainers"][0]["volumeMounts"]), (&mount, &mount));
    assert_eq!(spec["containers"][1]["volumeMounts"][0]["name"], "own");

    let without = write.object(&account(json!({"automountServiceAccountToken": false})), plain.clone());
    assert!(without["spec"].get("volumes").is_none());
    let mut wants = plain.clone();
    wants["spec"]["automountServiceAccountToken"] = json!(true);
    assert!(
        write.object(&account(json!({"automountServiceAccountToken": false})), wants)["spec"]["volumes"].is_array()
    );
    assert_eq!(
        write.refusal(&World::default(), plain.clone()),
        "pods \"web\" is forbidden: error looking up service account shop/default: serviceaccount \"default\" not found"
    );
    let mut generated = plain;
    generated["metadata"] = json!({"generateName": "web-", "namespace": "shop"});
    assert!(write.refusal(&World::default(), generated).starts_with("pods \"web-\" is forbidden"));
}

#[test]
fn mirror_pods_and_strict_accounts_refer_to_nothing_unlisted() {
    let write = create("ServiceAccount", "/pods");
    let mirror = |spec: Value| {
        let mut pod = pod(spec);
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        pod
    };
    let untouched = mirror(json!({"containers": [{"name": "a"}]}));
    assert_eq!(write.object(&World::default(), untouched.clone()), untouched);
    for (spec, why) in [
        (json!({"serviceAccountName": "x"}), "a mirror pod may not reference service accounts"),
        (json!({"volumes": [{"secret": {"secretName": "s"}}]}), "a mirror pod may not reference secrets"),
    ] {
        assert_eq!(write.refusal(&World::default(), mirror(spec)), format!("pods \"web\" is forbidden: {why}"));
    }
    let mut strict = account(json!({"secrets": [{"name": "listed"}]}));
    strict.objects[0].1["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": "true"});
    let with = |name: &str| pod(json!({"volumes": [{"name": "v", "secret": {"secretName": name}}]}));
    assert!(write.run(&strict, with("listed")).is_ok());
    assert_eq!(
        write.refusal(&strict, with("other")),
        "pods \"web\" is forbidden: volume with secret.secretName=\"other\" is not allowed because service account default \
         does not reference that secret"
    );
}

#[test]
fn limit_ranges_fill_in_and_bound() {
    let range = json!({
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"limits": [
            {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"},
             "max": {"cpu": "1"}, "min": {"memory": "64Mi"}, "maxLimitRequestRatio": {"cpu": "5"}},
            {"type": "Pod", "max": {"cpu": "1500m"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}},
        ]},
    });
    let world = world(vec![("limitranges", range)]);
    let write = create("LimitRanger", "/pods");
    let container = |name: &str, requests: Value, limits: Value| json!({"name": name, "resources": {"requests": requests, "limits": limits}});
    let filled =
        write.object(&world, pod(json!({"containers": [container("a", json!({"memory": "1Gi"}), json!({}))]})));
    let resources = &filled["spec"]["containers"][0]["resources"];
    assert_eq!(
        *resources,
        json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
    );
    assert_eq!(
        filled["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a"
    );
    let memory = json!({"memory": "64Mi"});
    for (containers, why) in [
        (
            vec![container("a", json!({"cpu": "1", "memory": "32Mi"}), json!({"cpu": "2"}))],
            "[minimum memory usage per Container is 64Mi, but request is 32Mi, maximum cpu usage per Container is 1, but limit is \
             2, maximum cpu usage per Pod is 1500m, but limit is 2]",
        ),
        (
            vec![container("a", json!({"memory": "64Mi", "cpu": "100m"}), json!({"cpu": "600m"}))],
            "cpu max limit to request ratio per Container is 5, but provided ratio is 6.000000",
        ),
        (
            vec![container("a", json!({}), json!({}))],
            "minimum memory usage per Container is 64Mi.  No request is specified",
        ),
        (
            vec![
                container("a", json!({"memory": "64Mi", "cpu": "1"}), json!({"cpu": "1"})),
                container("b", json!({"memory": "64Mi", "cpu": "1"}), json!({"cpu": "1"})),
            ],
            "maximum cpu usage per Pod is 1500m, but limit is 2",
        ),
    ] {
        let refusal = write.refusal(&world, pod(json!({"containers": containers})));
        assert_eq!(refusal, format!("pods \"web\" is forbidden: {why}"));
    }
    let fine = container("a", memory, json!({}));
    assert!(write.run(&world, pod(json!({"containers": [fine]}))).is_ok());
    let claim = |size: &str| json!({"metadata": {"name": "c", "namespace": "shop"}, "spec": {"resources": {"requests": {"storage": size}}}});
    let claims = create("LimitRanger", "/persistentvolumeclaims");
    assert!(claims.run(&world, claim("1536Mi")).is_ok());
    assert_eq!(
        claims.refusal(&world, claim("3Gi")),
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    );
}

#[test]
fn nodes_start_tainted_and_pods_tolerate_failures_for_a_while() {
    let node = create("TaintNodesByCondition", "/nodes").object(&World::default(), named("n1"));
    assert_eq!(node["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    let write = create("DefaultTolerationSeconds", "/pods");
    let tolerations = |given: Value| {
        let out = write.object(&World::default(), pod(json!({"tolerations": given})));
        out["spec"]["tolerations"].as_array().unwrap().len()
    };
    assert_eq!(tolerations(Value::Null), 2);
    assert_eq!(tolerations(json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}])), 2);
    assert_eq!(tolerations(json!([{"operator": "Exists"}])), 1);
    assert_eq!(tolerations(json!([{"operator": "Exists", "effect": "NoSchedule"}])), 3);
}

#[test]
fn priorities_come_from_classes() {
    let class = |name: &str, value: i64, default: bool| {
        ("priorityclasses", json!({"metadata": {"name": name}, "value": value, "globalDefault": default}))
    };
    let world = world(vec![class("high", 100, false), class("usual", 7, true)]);
    let write = create("Priority", "/pods");
    let out = write.object(&world, pod(json!({"priorityClassName": "high"})));
    assert_eq!(
        (&out["spec"]["priority"], &out["spec"]["preemptionPolicy"]),
        (&json!(100), &json!("PreemptLowerPriority"))
    );
    let out = write.object(&world, pod(json!({})));
    assert_eq!((&out["spec"]["priority"], &out["spec"]["priorityClassName"]), (&json!(7), &json!("usual")));
    let out = write.object(&World::default(), pod(json!({})));
    assert_eq!((&out["spec"]["priority"], out["spec"].get("priorityClassName")), (&json!(0), None));
    assert_eq!(
        write.refusal(&world, pod(json!({"priorityClassName": "none"}))),
        "pods \"web\" is forbidden: no PriorityClass with name none was found"
    );
    assert_eq!(
        write.refusal(&world, pod(json!({"priorityClassName": "high", "priority": 1}))),
        "pods \"web\" is forbidden: the integer value of priority (1) must not be provided in pod spec; priority admission \
         controller computed 100 from the given PriorityClass name"
    );
    let classes = create("Priority", "scheduling.k8s.io/priorityclasses");
    assert_eq!(
        classes.refusal(&world, class("second", 1, true).1),
        "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass usual is already marked as default. Only one \
         default can exist"
    );
    assert!(classes.run(&world, class("usual", 7, true).1).is_ok());
}

#[test]
fn storage_is_protected_defaulted_and_grows_by_leave() {
    let protect = |on| create("StorageObjectInUseProtection", on).object(&World::default(), named("a"));
    assert_eq!(protect("/persistentvolumeclaims")["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    assert_eq!(protect("/persistentvolumes")["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
    assert!(protect("/pods")["metadata"].get("finalizers").is_none());

    let class = |name: &str, created: &str, grows: bool| {
        (
            "storageclasses",
            json!({"metadata": {"name": name, "creationTimestamp": created,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "allowVolumeExpansion": grows}),
        )
    };
    let world = world(vec![class("old", "2026-01-01T00:00:00Z", true), class("new", "2026-02-01T00:00:00Z", false)]);
    let write = create("DefaultStorageClass", "/persistentvolumeclaims");
    assert_eq!(write.object(&world, pod(json!({})))["spec"]["storageClassName"], "new");
    assert_eq!(write.object(&world, pod(json!({"storageClassName": ""})))["spec"]["storageClassName"], "");

    let claim = |class: &str, size: &str, phase: &str| {
        json!({"metadata": {"name": "c", "namespace": "shop"}, "status": {"phase": phase},
            "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})
    };
    let resize = |class: &str, phase: &str, to: &str| {
        let write = update("PersistentVolumeClaimResize", "/persistentvolumeclaims", claim(class, "1Gi", phase));
        write.run(&world, claim(class, to, phase)).map(drop).map_err(|status| status.message)
    };
    assert!(resize("old", "Bound", "2Gi").is_ok() && resize("new", "Bound", "1024Mi").is_ok());
    assert!(resize("new", "Bound", "2Gi").unwrap_err().ends_with("must support resize"));
    assert!(
        resize("old", "Pending", "2Gi").unwrap_err().ends_with("Only bound persistent volume claims can be expanded")
    );

    let ingress = world_with_ingress_class();
    let write = create("DefaultIngressClass", "networking.k8s.io/ingresses");
    assert_eq!(write.object(&ingress, pod(json!({})))["spec"]["ingressClassName"], "web");
    assert_eq!(write.object(&ingress, pod(json!({"ingressClassName": "x"})))["spec"]["ingressClassName"], "x");
}

fn world_with_ingress_class() -> World {
    world(vec![(
        "ingressclasses",
        json!({"metadata": {"name": "web",
        "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}}),
    )])
}

#[test]
fn runtime_classes_shape_their_pods() {
    let world = world(vec![(
        "runtimeclasses",
        json!({
            "metadata": {"name": "vm"},
            "overhead": {"podFixed": {"memory": "100Mi"}},
            "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
        }),
    )]);
    let write = create("RuntimeClass", "/pods");
    let out = write.object(&world, pod(json!({"runtimeClassName": "vm", "overhead": {"memory": "102400Ki"}})));
    assert_eq!(out["spec"]["overhead"]["memory"], "100Mi");
    assert_eq!(out["spec"]["nodeSelector"], json!({"vm": "yes"}));
    assert_eq!(out["spec"]["tolerations"], json!([{"key": "vm", "operator": "Exists"}]));
    for (spec, why) in [
        (json!({"runtimeClassName": "none"}), "pod rejected: RuntimeClass \"none\" not found"),
        (
            json!({"runtimeClassName": "vm", "overhead": {"memory": "1Mi"}}),
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            json!({"overhead": {"memory": "1Mi"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}),
            "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
        ),
    ] {
        assert_eq!(write.refusal(&world, pod(spec)), format!("pods \"web\" is forbidden: {why}"));
    }
}

#[test]
fn acting_for_a_signer_needs_leave() {
    let world = World {
        allowed: vec![
            "jane approve signers example.com/a",
            "bob sign signers example.com/*",
            "jane attest signers example.com/a",
        ],
        ..World::default()
    };
    let request = |certificate: &str| json!({"metadata": {"name": "r"}, "spec": {"signerName": "example.com/a"}, "status": {"certificate": certificate}});
    let csr = "certificates.k8s.io/certificatesigningrequests";
    let approve = format!("{csr}/approval");
    let status = format!("{csr}/status");
    assert!(update("CertificateApproval", &approve, request("")).run(&world, request("")).is_ok());
    assert_eq!(
        update("CertificateApproval", &approve, request("")).by("bob", &[]).refusal(&world, request("")),
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with \
         signerName \"example.com/a\""
    );
    assert!(update("CertificateSigning", &status, request("")).by("bob", &[]).run(&world, request("c")).is_ok());
    assert!(update("CertificateSigning", &status, request("")).run(&world, request("")).is_ok());
    assert!(update("CertificateSigning", &status, request("")).run(&world, request("c")).is_err());
    let bundle = |signer: &str| json!({"metadata": {"name": "b"}, "spec": {"signerName": signer}});
    let write = create("ClusterTrustBundleAttest", "certificates.k8s.io/clustertrustbundles");
    assert!(write.run(&world, bundle("example.com/a")).is_ok() && write.run(&world, bundle("")).is_ok());
    assert!(write.run(&world, bundle("example.com/b")).is_err());
}

/// A request of `/O=system:masters/CN=evil`, made by openssl.
fn masters_request() -> String {
    use base64::Engine as _;
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("openssl")
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "k"])
        .args(["-subj", "/O=system:masters/CN=system:node:n2"])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    base64::engine::general_purpose::STANDARD.encode(output.stdout)
}

#[test]
fn certificates_make_nobody_almighty_nor_another_node() {
    let on = "certificates.k8s.io/certificatesigningrequests";
    let request =
        |signer: &str, pem: &str| json!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": pem}});
    let pem = masters_request();
    let write = create("CertificateSubjectRestriction", on);
    let head = "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: ";
    assert_eq!(
        write.refusal(&World::default(), request("kubernetes.io/kube-apiserver-client", &pem)),
        format!("{head}use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
    );
    assert!(write.run(&World::default(), request("example.com/a", &pem)).is_ok());
    assert!(
        write
            .refusal(&World::default(), request("kubernetes.io/kube-apiserver-client", "x"))
            .contains("failed to parse CSR: ")
    );
    let node = create("NodeRestriction", on).by("system:node:n1", &["system:nodes"]);
    assert_eq!(
        node.refusal(&World::default(), request("kubernetes.io/kubelet-serving", &pem)),
        format!("{head}can only create a node CSR with CN=system:node:n1")
    );
}

fn node(labels: Value) -> Value {
    json!({"metadata": {"name": "n1", "uid": "u1", "labels": labels}})
}

/// A mirror pod of node n1.
fn mirror_of(uid: &str, spec: Value) -> Value {
    let mut pod = pod(json!({"nodeName": "n1"}));
    pod["metadata"]["uid"] = json!("p1");
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn node_world() -> World {
    world(vec![("nodes", node(json!({}))), ("pods", mirror_of("u1", json!({})))])
}

fn as_node(write: crate::testing::Write<'static>) -> crate::testing::Write<'static> {
    write.by("system:node:n1", &["system:nodes"])
}

#[test]
fn kubelets_make_and_report_on_their_own_pods_only() {
    let world = node_world();
    let creates = as_node(create("NodeRestriction", "/pods"));
    assert!(creates.run(&world, mirror_of("u1", json!({}))).is_ok());
    for (object, why) in [
        (
            pod(json!({})),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
        (mirror_of("u2", json!({})), "node n1 UID mismatch: expected u1 got u2"),
        (
            mirror_of("u1", json!({"nodeName": "n2"})),
            "node \"n1\" can only create pods with spec.nodeName set to itself",
        ),
        (
            mirror_of("u1", json!({"serviceAccountName": "a"})),
            "node \"n1\" can not create pods that reference a service account",
        ),
        (
            mirror_of("u1", json!({"volumes": [{"name": "v", "secret": {}}]})),
            "node \"n1\" can not create pods that reference secrets",
        ),
        (
            mirror_of("u1", json!({"containers": [{"envFrom": [{"configMapRef": {}}]}]})),
            "node \"n1\" can not create pods that reference configmaps",
        ),
    ] {
        assert_eq!(creates.refusal(&world, object), format!("pods \"web\" is forbidden: {why}"));
    }
    assert!(create("NodeRestriction", "/pods").run(&world, pod(json!({}))).is_ok());
    let status = |old: Value, new: Value| as_node(update("NodeRestriction", "/pods/status", old)).run(&world, new);
    assert!(status(mirror_of("u1", json!({})), mirror_of("u1", json!({}))).is_ok());
    assert!(status(pod(json!({"nodeName": "n2"})), pod(json!({"nodeName": "n2"}))).is_err());
    let mut labelled = mirror_of("u1", json!({}));
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(
        status(mirror_of("u1", json!({})), labelled)
            .unwrap_err()
            .message
            .ends_with("cannot update labels through pod status")
    );
}

#[test]
fn kubelets_label_their_own_node_within_limits() {
    let world = node_world();
    let nodes = as_node(create("NodeRestriction", "/nodes"));
    assert!(
        nodes
            .run(&world, node(json!({"kubernetes.io/hostname": "n1", "mine": "x", "node.kubernetes.io/any": "y"})))
            .is_ok()
    );
    assert_eq!(
        nodes.refusal(
            &world,
            node(json!({"node-restriction.kubernetes.io/a": "", "kubernetes.io/z": "", "x.k8s.io/q": ""}))
        ),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: kubernetes.io/z, \
         node-restriction.kubernetes.io/a, x.k8s.io/q"
    );
    let other = json!({"metadata": {"name": "n2"}});
    assert_eq!(
        nodes.refusal(&world, other),
        "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\""
    );
    let mut tainted = node(json!({}));
    tainted["spec"] = json!({"taints": [{"key": "a"}]});
    let updates = as_node(update("NodeRestriction", "/nodes", tainted));
    assert!(updates.refusal(&world, node(json!({}))).ends_with("is not allowed to modify taints"));
}

#[test]
fn kubelets_get_tokens_of_their_own_pods() {
    let world = node_world();
    let token = |kind: &str, uid: &str, audiences: Value| {
        json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": {"audiences": audiences,
            "boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "web", "uid": uid}}})
    };
    let tokens = as_node(create("NodeRestriction", "/serviceaccounts/token"));
    assert!(tokens.run(&world, token("Pod", "p1", json!([]))).is_ok());
    assert!(
        tokens.refusal(&world, token("Secret", "p1", json!([]))).ends_with("node requested token not bound to a pod")
    );
    assert!(tokens.refusal(&world, token("Pod", "", json!([]))).ends_with("pod binding without a uid"));
    assert!(tokens.refusal(&world, token("Pod", "p2", json!([]))).contains("does not match the UID in record"));
    assert!(
        tokens
            .refusal(&world, token("Pod", "p1", json!(["vault"])))
            .ends_with("audience \"vault\" not found in pod spec volume")
    );
    let leases = as_node(create("NodeRestriction", "coordination.k8s.io/leases"));
    assert!(leases.run(&world, named("n1")).is_ok() && leases.run(&world, named("n2")).is_err());
}

#[test]
fn bound_pods_learn_their_topology() {
    let world = world(vec![(
        "nodes",
        json!({"metadata": {"name": "n1", "labels": {
        "topology.kubernetes.io/zone": "z1", "other": "x"}}}),
    )]);
    let binding = json!({"metadata": {"name": "web", "namespace": "shop"}, "target": {"kind": "Node", "name": "n1"}});
    let out = create("PodTopologyLabels", "/pods/binding").object(&world, binding);
    assert_eq!(out["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "z1"}));
}

#[test]
fn kubelets_ask_for_certificates_of_their_own_pods() {
    let asks =
        |signer: &str| json!([{"name": "v", "projected": {"sources": [{"podCertificate": {"signerName": signer}}]}}]);
    let mut bound = pod(json!({"nodeName": "n1", "serviceAccountName": "a", "volumes": asks("x.io/y")}));
    bound["metadata"]["uid"] = json!("p1");
    let account = json!({"metadata": {"name": "a", "namespace": "shop", "uid": "s1"}});
    let world = world(vec![("nodes", node(json!({}))), ("pods", bound), ("serviceaccounts", account)]);
    let request = |field: &str, value: &str| {
        let mut request = json!({"metadata": {"name": "req", "namespace": "shop"}, "spec": {
            "signerName": "x.io/y", "podName": "web", "podUID": "p1", "serviceAccountName": "a",
            "serviceAccountUID": "s1", "nodeName": "n1", "nodeUID": "u1"}});
        request["spec"][field] = json!(value);
        request
    };
    let on = "certificates.k8s.io/podcertificaterequests";
    let creates = as_node(create("NodeRestriction", on));
    assert!(creates.run(&world, request("podName", "web")).is_ok());
    for (field, value, why) in [
        ("nodeName", "n2", "which is not the requesting node \"n1\""),
        ("podName", "none", "\"none\" not found"),
        ("podUID", "p2", "podUID \"p2\" does not match the one in record (\"p1\")"),
        ("serviceAccountUID", "s2", "serviceAccountUID \"s2\" does not match the one in record (\"s1\")"),
        ("nodeUID", "u2", "nodeUID \"u2\" does not match the one in record (\"u1\")"),
        ("serviceAccountName", "b", "runs as service account \"a\""),
        ("signerName", "x.io/z", "signer \"x.io/z\" not found in pod spec volume"),
    ] {
        let told = creates.refusal(&world, request(field, value));
        assert!(told.ends_with(why), "{field}: {told}");
    }
    let status = as_node(update(
        "NodeRestriction",
        "certificates.k8s.io/podcertificaterequests/status",
        request("podName", "web"),
    ));
    assert!(status.run(&world, request("podName", "web")).is_err());
    assert!(create("NodeRestriction", on).run(&world, request("nodeName", "n2")).is_ok(), "others are not held to it");
}
