//! Levels, versions and messages, on pods, workloads and namespaces.

use crate::testing::{World, create, update};
use serde_json::{Value, json};

fn world(labels: Value) -> World {
    let labels: serde_json::Map<String, Value> = labels
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), value.clone()))
        .collect();
    World { objects: vec![("namespaces", json!({"metadata": {"name": "shop", "labels": labels}}))], ..World::default() }
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
}

fn refusal(level: &str, spec: Value) -> Option<String> {
    let outcome = create("PodSecurity", "/pods").run(&world(json!({"enforce": level})), pod(spec));
    outcome.err().map(|status| status.message)
}

#[test]
fn a_plain_pod_meets_every_rule_of_the_restricted_level() {
    assert_eq!(refusal("privileged", json!({"hostNetwork": true, "containers": []})), None);
    assert_eq!(refusal("baseline", json!({"containers": [{"name": "nginx"}]})), None);
    assert_eq!(
        refusal("restricted", json!({"containers": [{"name": "nginx"}]})).unwrap(),
        "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \
         \"nginx\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"nginx\" must \
         set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"nginx\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"nginx\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "i", "image": {}}],
    });
    assert_eq!(refusal("restricted", good), None);
}

#[test]
fn each_rule_is_told_in_upstreams_words() {
    let containers = |context: Value| json!({"containers": [{"name": "a", "securityContext": context.clone()}, {"name": "b", "securityContext": context}]});
    for (spec, told) in [
        (json!({"hostNetwork": true, "hostPID": true}), "host namespaces (hostNetwork=true, hostPID=true)"),
        (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"v\")"),
        (
            json!({"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]}]}),
            "hostPorts (container \"a\" uses hostPorts 443, 80)",
        ),
        (
            containers(json!({"privileged": true})),
            "privileged (containers \"a\", \"b\" must not set securityContext.privileged=true)",
        ),
        (
            containers(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}})),
            "non-default capabilities (containers \"a\", \"b\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            containers(json!({"procMount": "Unmasked"})),
            "procMount (containers \"a\", \"b\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            containers(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (containers \"a\", \"b\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_syncookies"}]}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ] {
        let expected = format!("pods \"web\" is forbidden: violates PodSecurity \"baseline:latest\": {told}");
        assert_eq!(refusal("baseline", spec.clone()).as_deref(), Some(expected.as_str()), "{spec}");
    }
    let restricted = refusal(
        "restricted",
        json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": false}, "volumes": [{"name": "n", "nfs": {}}]}),
    );
    assert_eq!(
        restricted.unwrap(),
        "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": restricted volume types (volume \"n\" uses \
         restricted volume type \"nfs\"), runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 \
         (pod must not set runAsUser=0)"
    );
}

#[test]
fn older_versions_judge_as_they_did() {
    let outcome = |version: &str, spec: Value| {
        let world = world(json!({"enforce": "restricted", "enforce-version": version}));
        create("PodSecurity", "/pods").run(&world, pod(spec)).err().map(|status| status.message)
    };
    let root = json!({"securityContext": {"runAsUser": 0, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    assert_eq!(outcome("v1.22", root.clone()), None);
    assert!(outcome("v1.23", root).unwrap().contains("\"restricted:v1.23\": runAsUser=0"));
}

#[test]
fn workloads_are_warned_about_and_audited_never_refused() {
    let world = world(json!({"enforce": "restricted", "audit": "baseline", "warn": "baseline"}));
    let deployment =
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": {"spec": {"hostPID": true}}}});
    let out = create("PodSecurity", "apps/deployments").run(&world, deployment).unwrap();
    let told = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!(out.warnings, [told]);
    assert_eq!(out.audit["pod-security.kubernetes.io/audit-violations"], told);
    let fine = create("PodSecurity", "/pods")
        .run(&crate::pod_security::tests::world(json!({})), pod(json!({"hostPID": true})))
        .unwrap();
    assert_eq!(fine.audit["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    assert!(fine.warnings.is_empty());
}

#[test]
fn updates_count_only_where_they_change_what_is_judged() {
    let world = world(json!({"enforce": "baseline"}));
    let old = pod(json!({"hostPID": true, "containers": [{"name": "a", "image": "x"}]}));
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(update("PodSecurity", "/pods", old.clone()).run(&world, new.clone()).is_ok());
    new["spec"]["containers"][0]["image"] = json!("y");
    assert!(update("PodSecurity", "/pods", old).run(&world, new).is_err());
}

#[test]
fn raising_a_level_tells_which_pods_fail_and_bad_labels_are_refused() {
    let namespace =
        |level: &str| json!({"metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let mut world = World::default();
    for name in ["a", "b", "c"] {
        world
            .objects
            .push(("pods", json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"hostPID": true}})));
    }
    let raise = update("PodSecurity", "/namespaces", namespace("privileged"));
    assert_eq!(
        raise.run(&world, namespace("baseline")).unwrap().warnings,
        [
            "existing pods in namespace \"shop\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 2 other pods): host namespaces"
        ]
    );
    assert!(
        update("PodSecurity", "/namespaces", namespace("baseline"))
            .run(&world, namespace("privileged"))
            .unwrap()
            .warnings
            .is_empty()
    );
    let refused = raise.run(&world, namespace("strict")).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            422,
            "Namespace \"shop\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
        )
    );
}
