//! Settings, users, sysctls, runtime classes, ephemeral containers, generations, gRPC probes.

use super::{ended, output};
use client::{Api as _, PatchType, Request, Response, Verb};
use cluster_tests::admin::{self, run};
use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};

pub fn environments_with_any_prefix(kutter: &Kutter) {
    let said = output(&kutter.kubectl(), "environment");
    let address = format!("HOST_IPS={}", kutter.address());
    for line in ["data-1=one", "p_data-1=one", "9 $-<{!data-1=one", "s.data-1=hush", "~#@ data-1=hush", &address] {
        assert!(said.lines().any(|found| found == line), "{line:?} is not in {said}");
    }
}

pub fn users_and_groups(kubectl: &Kubectl<'_>) {
    for pod in ["user-of-pod", "user-of-container"] {
        assert_eq!(output(kubectl, pod), "1001\n2002\n", "{pod}");
    }
}

pub fn sysctls(kubectl: &Kubectl<'_>) {
    assert_eq!(output(kubectl, "sysctls").split_whitespace().collect::<Vec<_>>(), ["1", "40000", "50000"]);
    let refused = ended(kubectl, "sysctls-unsafe", "Failed");
    assert_eq!(refused["status"]["reason"], "SysctlForbidden");
    let message = "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted";
    assert_eq!(refused["status"]["message"], message);
    let row = kubectl.ok("get pod sysctls-unsafe --no-headers");
    assert_eq!(row.split_whitespace().nth(2), Some("SysctlForbidden"), "{row}");
    let named = |name: &str| json!({"name": name, "value": "1"});
    let sysctls = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."].map(named);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "malformed"}, "spec": {
        "securityContext": {"sysctls": sysctls},
        "containers": [{"name": "c", "image": "busybox:1.28"}],
    }});
    let said = kubectl.run(&["create", "-f", "-"], &pod.to_string());
    for (name, is_wrong) in [("foo-", true), ("bar..", true), ("kernel.shmmax", false), ("safe-and-unsafe", false)] {
        let told = said.err.contains(&format!("Invalid value: \"{name}\": must have at most 253 characters"));
        assert_eq!(told, is_wrong, "{name}: {said:?}");
    }
    assert_ne!(said.code, 0);
}

fn of_class(name: &str, class: &str) -> String {
    let spec = json!({"runtimeClassName": class, "restartPolicy": "Never", "containers": [
        {"name": "c", "image": "busybox:1.28", "command": ["true"]},
    ]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

pub fn runtime_classes(kubectl: &Kubectl<'_>) {
    for (class, overhead) in [("plain", Value::Null), ("heavy", json!({"cpu": "10m", "memory": "1Mi"}))] {
        kubectl.apply(&of_class(class, class));
        assert_eq!(ended(kubectl, class, "Succeeded")["spec"]["overhead"], overhead, "{class}");
    }
    kubectl.ok("delete runtimeclass plain");
    for class in ["plain", "never-there"] {
        until("the class is not known", 20, || {
            let said = kubectl.run(&["create", "-f", "-"], &of_class("rejected", class));
            if said.code == 0 {
                kubectl.ok("delete pod rejected --grace-period=0 --force");
            }
            holds(said.err.contains(&format!("pod rejected: RuntimeClass \"{class}\" not found")), said)
        });
    }
}

pub fn unknown_runtimes(kubectl: &Kubectl<'_>) {
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "wasm"}, "handler": "wasm"});
    kubectl.apply(&class.to_string());
    until("the class is known", 20, || {
        let said = kubectl.run(&["create", "-f", "-"], &of_class("wasm", "wasm"));
        holds(said.code == 0, said)
    });
    until("it is told that nobody can run it", 30, || {
        let events = kubectl.json("get events --field-selector reason=FailedCreatePodSandBox");
        let told = events.to_string().contains("no runtime for \\\"wasm\\\" is configured");
        holds(told, events)
    });
    assert_eq!(kubectl.json("get pod wasm")["status"]["phase"], "Pending");
    kubectl.ok("delete pod wasm --wait=false");
}

/// The node of this one allows `kernel.msg*`.
pub fn allowed_sysctls(kubectl: &Kubectl<'_>) {
    let sysctls = json!([{"name": "kernel.msgmax", "value": "10000"}]);
    let container = json!({"name": "c", "image": "busybox:1.28", "command": ["cat", "/proc/sys/kernel/msgmax"]});
    let spec = json!({"securityContext": {"sysctls": sysctls}, "restartPolicy": "Never", "containers": [container]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sysctls-allowed"}, "spec": spec});
    kubectl.apply(&pod.to_string());
    assert_eq!(output(kubectl, "sysctls-allowed"), "10000\n");
}

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

fn on(verb: Verb, pod: &str) -> Request {
    Request::new(verb, PODS).namespace("default").name(pod)
}

/// One request as the administrator; its object.
async fn call(https: &client::Https, request: Request) -> Result<Value, client::Error> {
    match https.call(request).await? {
        Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
        _ => Ok(Value::Null),
    }
}

pub fn ephemeral_containers(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.container("steady", "running", "");
    let debugger = |name: &str| {
        json!({"name": name, "image": "busybox:1.28", "stdin": true,
        "command": ["sh", "-c", format!("echo {name} sees $(hostname); exec sleep 7000")]})
    };
    run(kutter, async {
        let https = admin::https(kutter).await;
        let patch = json!({"spec": {"ephemeralContainers": [debugger("first")]}}).to_string();
        let verb = Verb::Patch(PatchType::Strategic);
        call(&https, on(verb, "steady").subresource("ephemeralcontainers").body(patch)).await.unwrap();
    });
    is_seen(&kubectl, "first");
    run(kutter, async {
        let https = admin::https(kutter).await;
        for _ in 0..20 {
            let mut pod = call(&https, on(Verb::Get, "steady")).await.unwrap();
            pod["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(debugger("second"));
            let put = on(Verb::Update, "steady").subresource("ephemeralcontainers").body(pod.to_string());
            match call(&https, put).await {
                Err(error) if error.is(Reason::Conflict) => {}
                made => {
                    let made = made.unwrap();
                    assert_eq!(made["spec"]["ephemeralContainers"].as_array().map(Vec::len), Some(2), "{made}");
                    return;
                }
            }
        }
        panic!("twenty conflicts in a row");
    });
    is_seen(&kubectl, "second");
}

fn is_seen(kubectl: &Kubectl<'_>, container: &str) {
    until(&format!("{container} runs"), 30, || {
        let said = kubectl.say(&format!("logs steady -c {container}"));
        holds(said.out == format!("{container} sees steady\n"), said)
    });
}

/// Each change of what is wanted counts; the node follows.
pub fn generations(kutter: &Kutter) {
    run(kutter, async {
        let https = admin::https(kutter).await;
        let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "counted", "generation": 100}, "spec": {
            "terminationGracePeriodSeconds": 10,
            "containers": [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "7000"]}],
        }});
        let create = Request::new(Verb::Create, PODS).namespace("default").body(body.to_string());
        let made = call(&https, create).await.unwrap();
        assert_eq!(made["metadata"]["generation"], 1, "what a client sets is not taken");
        let patch = |patch: Value| on(Verb::Patch(PatchType::Merge), "counted").body(patch.to_string());
        let steps = [
            (json!({"metadata": {"labels": {"a": "b"}}}), 1),
            (json!({"spec": {"activeDeadlineSeconds": 5000}}), 2),
            (json!({"spec": {"activeDeadlineSeconds": 5000}}), 2),
        ];
        let mut last = 1;
        for (change, expected) in steps {
            let changed = call(&https, patch(change.clone())).await.unwrap();
            assert_eq!(changed["metadata"]["generation"], expected, "{change}");
            last = expected;
        }
        while last < 500 {
            let next = call(&https, patch(json!({"spec": {"activeDeadlineSeconds": 5000 - last}}))).await.unwrap();
            assert_eq!(next["metadata"]["generation"], last + 1);
            last += 1;
        }
    });
    let kubectl = kutter.kubectl();
    until("the node has seen it all", 40, || {
        let pod = kubectl.json("get pod counted");
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let current = conditions.iter().filter(|one| one["type"] != "PodScheduled");
        let follows = current.clone().count() > 0 && current.clone().all(|one| one["observedGeneration"] == 500);
        holds(pod["status"]["observedGeneration"] == 500 && follows, &pod["status"])
    });
    kubectl.ok("delete pod counted --wait=false");
    let pod = kubectl.json("get pod counted");
    assert_eq!(pod["metadata"]["generation"], 501, "a graceful end is a change of what is wanted");
}

pub fn grpc_probes(kubectl: &Kubectl<'_>) {
    kubectl.ready_pods("app=grpc", 2);
    let removed = kubectl.shell("grpc-failing", "rm /tmp/serving");
    assert_eq!(removed.code, 0, "{removed:?}");
    until("the failing one is restarted", 60, || {
        let status = kubectl.json("get pod grpc-failing")["status"]["containerStatuses"][0].clone();
        holds(status["restartCount"].as_u64().is_some_and(|count| count >= 1), status)
    });
    let healthy = kubectl.json("get pod grpc-healthy")["status"]["containerStatuses"][0].clone();
    assert_eq!(healthy["restartCount"], 0, "{healthy}");
}
