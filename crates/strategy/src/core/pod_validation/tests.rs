//! What is put into a good pod, and what upstream says of it.

use super::*;
use crate::core::pod_defaults;
use serde_json::json;

/// A good pod, changed at one place.
fn pod(pointer: &str, value: Value) -> Value {
    let mut pod = json!({"spec": {
        "containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "b"}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}], "resources": {"limits": {"cpu": "1"}},
            "livenessProbe": {"httpGet": {"port": 80}}, "securityContext": {"runAsUser": 0}}],
        "initContainers": [{"name": "i", "image": "b"}],
        "volumes": [{"name": "v"}, {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}, {"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]}},
    }});
    if let Some((parent, last)) = pointer.rsplit_once('/') {
        match pod.pointer_mut(parent).expect("a parent") {
            Value::Array(list) => list.push(value),
            other => other[last] = value,
        }
    }
    pod_defaults::pod_spec(&mut pod["spec"]);
    pod_defaults::pod(&mut pod);
    pod
}

/// Where the good pod is changed, to what, and what is said of it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("", "null", ""),
    ("/spec/containers", r#"[]"#, "spec.containers: Required value"),
    ("/spec/containers/0/name", r#""""#, "spec.containers[0].name: Required value"),
    ("/spec/containers/0/image", r#""""#, "spec.containers[0].image: Required value"),
    (
        "/spec/containers/0/image",
        r#"" b""#,
        "spec.containers[0].image: Invalid value: \" b\": must not have leading or trailing whitespace",
    ),
    ("/spec/containers/-", r#"{"name": "a", "image": "c"}"#, "spec.containers[1].name: Duplicate value: \"a\""),
    ("/spec/initContainers/-", r#"{"name": "a", "image": "c"}"#, "spec.initContainers[1].name: Duplicate value: \"a\""),
    (
        "/spec/initContainers/0/livenessProbe",
        r#"{"exec": {"command": ["a"]}}"#,
        "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    (
        "/spec/containers/0/imagePullPolicy",
        r#""Often""#,
        "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
    ),
    ("/spec/containers/0/ports/-", r#"{"hostPort": 1}"#, "spec.containers[0].ports[1].containerPort: Required value"),
    (
        "/spec/containers/0/ports/-",
        r#"{"containerPort": 70000}"#,
        "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        "/spec/containers/0/ports",
        r#"[{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]"#,
        "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\"",
    ),
    (
        "/spec/containers/0/env/-",
        r#"{"name": "X", "value": "y", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}"#,
        "spec.containers[0].env[1].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
    ),
    (
        "/spec/containers/0/env/-",
        r#"{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.x"}}}"#,
        "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.x\": \
             error converting fieldPath: field label not supported: metadata.x",
    ),
    (
        "/spec/containers/0/env/-",
        r#"{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}}"#,
        "",
    ),
    (
        "/spec/containers/0/volumeMounts/-",
        r#"{"name": "w", "mountPath": "/w"}"#,
        "spec.containers[0].volumeMounts[1].name: Not found: \"w\"",
    ),
    (
        "/spec/containers/0/volumeMounts/-",
        r#"{"name": "v", "mountPath": "/v"}"#,
        "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique",
    ),
    (
        "/spec/containers/0/volumeMounts/-",
        r#"{"name": "v", "mountPath": "/w", "subPath": "../x"}"#,
        "spec.containers[0].volumeMounts[1].subPath: Invalid value: \"../x\": must not contain '..'",
    ),
    (
        "/spec/containers/0/resources",
        r#"{"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}"#,
        "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
    ),
    (
        "/spec/containers/0/resources",
        r#"{"limits": {"disk": "1"}}"#,
        "spec.containers[0].resources.limits[disk]: Invalid value: \"disk\": must be a standard resource for containers; \
             spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a standard resource for containers",
    ),
    (
        "/spec/containers/0/livenessProbe",
        r#"{}"#,
        "spec.containers[0].livenessProbe: Required value: must specify a handler type",
    ),
    (
        "/spec/containers/0/livenessProbe/successThreshold",
        r#"2"#,
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (
        "/spec/containers/0/securityContext/runAsUser",
        r#"-1"#,
        "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    ("/spec/volumes/-", r#"{"name": "v"}"#, "spec.volumes[2].name: Duplicate value: \"v\""),
    (
        "/spec/volumes/-",
        r#"{"name": "w", "emptyDir": {}, "hostPath": {"path": "/"}}"#,
        "spec.volumes[2].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    (
        "/spec/volumes/-",
        r#"{"name": "w", "secret": {"secretName": "s", "defaultMode": 512}}"#,
        "spec.volumes[2].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
    ),
    (
        "/spec/restartPolicy",
        r#""Often""#,
        "spec.restartPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"OnFailure\", \"Never\"",
    ),
    (
        "/spec/dnsPolicy",
        r#""None""#,
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    (
        "/spec/tolerations/-",
        r#"{"key": "a", "operator": "Exists", "value": "b"}"#,
        "spec.tolerations[2].operator: Invalid value: {\"key\":\"a\",\"operator\":\"Exists\",\"value\":\"b\"}: \
             value must be empty when `operator` is 'Exists'",
    ),
    (
        "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        r#"[{}]"#,
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: \
             Required value: can not be empty",
    ),
    (
        "/spec/topologySpreadConstraints",
        r#"[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]"#,
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    ),
    (
        "/spec/ephemeralContainers",
        r#"[{"name": "e", "image": "f"}]"#,
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ),
    ("/spec/hostNetwork", r#"true"#, ""),
];

#[test]
fn a_good_pod_passes_and_each_fault_is_named() {
    for (pointer, value, expected) in FAULTS {
        let mut errors = ErrorList::new();
        validate_create(&pod(pointer, serde_json::from_str(value).expect("JSON")), &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told.join("; "), *expected, "{pointer} {value}");
    }
}

#[test]
fn little_may_change() {
    let old = pod("", Value::Null);
    for (pointer, value, expected) in [
        ("", Value::Null, ""),
        ("/spec/containers/0/image", json!("c"), ""),
        ("/spec/tolerations/-", json!({"key": "more", "operator": "Exists"}), ""),
        ("/spec/activeDeadlineSeconds", json!(5), ""),
        (
            "/spec/containers/0/command",
            json!(["x"]),
            "spec: Forbidden: pod updates may not change fields other than `spec.c",
        ),
        ("/spec/nodeName", json!("n"), "spec: Forbidden: pod updates may not change fields other than"),
        (
            "/spec/containers/-",
            json!({"name": "x", "image": "y"}),
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            "/spec/tolerations",
            json!([]),
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
    ] {
        let mut errors = ErrorList::new();
        // The pull policy is set when a pod is made, whatever its image becomes.
        let mut new = pod(pointer, value.clone());
        new["spec"]["containers"][0]["imagePullPolicy"] = old["spec"]["containers"][0]["imagePullPolicy"].clone();
        validate_update(&new, &old, &mut errors);
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let told = told.join("; ");
        assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{pointer} {value}: {told}");
    }
}
