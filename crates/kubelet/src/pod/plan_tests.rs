//! Plans, row by row: what the spec says, what the runtime shows, what is to be done.

use super::*;
use crate::names;
use container::runtime::SandboxConfig;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec})).unwrap()
}

fn named(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "image": "i"})).collect()
}

fn sandbox(id: &str, attempt: u32, ready: bool) -> Arc<SandboxStatus> {
    Arc::new(SandboxStatus {
        id: id.to_owned(),
        config: SandboxConfig { uid: "u".to_owned(), attempt, ..SandboxConfig::default() },
        ready,
        created_at: i64::from(attempt),
        netns: None,
        addresses: vec!["10.0.0.1".parse().unwrap()],
    })
}

/// `c:running`, `c:exited:3`, `c:created`, `c:unknown`, with `@id` of another sandbox and `!` for a
/// changed definition.
fn container(index: usize, text: &str) -> Arc<ContainerStatus> {
    let (text, sandbox) = text.split_once('@').unwrap_or((text, "s"));
    let (text, changed) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
    let mut parts = text.split(':');
    let (name, state) = (parts.next().unwrap(), parts.next().unwrap());
    let spec = Container { name: name.to_owned(), image: Some("i".to_owned()), ..Container::default() };
    let hash = if changed { "other".to_owned() } else { spec::hash(&spec) };
    Arc::new(ContainerStatus {
        id: format!("{name}-{index}"),
        sandbox: sandbox.to_owned(),
        name: name.to_owned(),
        attempt: 0,
        image: "i".to_owned(),
        image_ref: "i".to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([(names::HASH.to_owned(), hash)]),
        state: match state {
            "running" => ContainerState::Running,
            "exited" => ContainerState::Exited,
            "created" => ContainerState::Created,
            _ => ContainerState::Unknown,
        },
        created_at: 1,
        started_at: 1,
        finished_at: 2,
        exit_code: parts.next().map_or(0, |code| code.parse().unwrap()),
        reason: String::new(),
        message: String::new(),
        log_path: Default::default(),
        mounts: Vec::new(),
        pid: None,
        resources: Default::default(),
        user: None,
    })
}

fn runtime(sandboxes: Vec<Arc<SandboxStatus>>, containers: &[&str]) -> PodRuntime {
    let containers = containers.iter().enumerate().map(|(index, text)| container(index, text)).collect();
    PodRuntime { sandboxes, containers }
}

fn no_verdicts() -> BTreeMap<(String, ProbeKind), Verdict> {
    BTreeMap::new()
}

/// The plan in short: `kill-pod sandbox:1 kill:c-0 start:init0 start:main1`.
fn short(plan: &Plan) -> String {
    let mut words = Vec::new();
    if plan.kill_pod {
        words.push("kill-pod".to_owned());
    }
    words.extend(plan.create_sandbox.map(|attempt| format!("sandbox:{attempt}")));
    words.extend(plan.kill.iter().map(|kill| format!("kill:{}", kill.id)));
    words.extend(plan.start.iter().map(|slot| match slot {
        Slot::Init(index) => format!("start:init{index}"),
        Slot::Main(index) => format!("start:main{index}"),
        Slot::Ephemeral(index) => format!("start:ephemeral{index}"),
    }));
    words.join(" ")
}

#[test]
fn main_containers_follow_the_restart_policy() {
    let ready = || vec![sandbox("s", 0, true)];
    for (policy, containers, expected) in [
        ("Always", &[][..], "start:main0 start:main1"),
        ("Always", &["a:running", "b:running"], ""),
        ("Always", &["a:running", "b:exited:0"], "start:main1"),
        ("OnFailure", &["a:running", "b:exited:0"], ""),
        ("OnFailure", &["a:running", "b:exited:1"], "start:main1"),
        ("Never", &["a:running", "b:exited:1"], ""),
        ("Never", &["a:exited:0", "b:exited:1"], "kill-pod"),
        ("OnFailure", &["a:exited:0", "b:exited:0"], "kill-pod"),
        ("Always", &["a:running", "b:created"], "start:main1"),
        ("Never", &["a:running", "b:unknown"], "kill:b-1 start:main1"),
        ("Always", &["a:running!", "b:running"], "kill:a-0 start:main0"),
    ] {
        let pod = pod(json!({"containers": named(&["a", "b"]), "restartPolicy": policy}));
        let plan = plan(&pod, &runtime(ready(), containers), &no_verdicts());
        assert_eq!(short(&plan), expected, "{policy} {containers:?}");
    }
}

#[test]
fn sandboxes_are_made_anew_when_they_must() {
    for (policy, sandboxes, containers, expected) in [
        ("Always", vec![], &[][..], "kill-pod sandbox:0 start:main0"),
        ("Always", vec![sandbox("s", 0, false)], &["a:exited:137"], "kill-pod sandbox:1 start:main0"),
        ("Never", vec![sandbox("s", 0, false)], &["a:exited:137"], "kill-pod"),
        ("Never", vec![sandbox("s", 0, false)], &[], "kill-pod sandbox:1 start:main0"),
        ("OnFailure", vec![sandbox("s", 2, false)], &["a:exited:0"], "kill-pod"),
        (
            "Always",
            vec![sandbox("t", 1, true), sandbox("s", 0, true)],
            &["a:running"],
            "kill-pod sandbox:2 start:main0",
        ),
        ("Always", vec![sandbox("t", 1, true), sandbox("s", 0, false)], &["a:exited:1@s"], "start:main0"),
    ] {
        let pod = pod(json!({"containers": named(&["a"]), "restartPolicy": policy}));
        let plan = plan(&pod, &runtime(sandboxes, containers), &no_verdicts());
        assert_eq!(short(&plan), expected, "{policy} {containers:?}");
    }
}

#[test]
fn init_containers_run_one_after_the_other() {
    for (policy, containers, expected) in [
        ("Always", &[][..], "start:init0"),
        ("Always", &["i:running"], ""),
        ("Always", &["i:exited:0"], "start:init1"),
        ("Always", &["i:exited:1"], "start:init0"),
        ("Never", &["i:exited:1"], "kill-pod"),
        ("Always", &["j:running", "i:exited:0"], ""),
        ("Always", &["j:exited:0", "i:exited:0"], "start:main0"),
        ("Always", &["a:running", "j:exited:0", "i:exited:0"], ""),
        ("Always", &["a:exited:1", "j:exited:0", "i:exited:0"], "start:main0"),
        // After a new sandbox they all run again.
        ("Always", &["a:exited:1@old", "j:exited:0@old", "i:exited:0@old"], "start:init0"),
    ] {
        let pod = pod(json!({
            "initContainers": named(&["i", "j"]), "containers": named(&["a"]), "restartPolicy": policy,
        }));
        let plan = plan(&pod, &runtime(vec![sandbox("s", 0, true)], containers), &no_verdicts());
        assert_eq!(short(&plan), expected, "{policy} {containers:?}");
    }
}

#[test]
fn sidecars_start_in_order_and_stay() {
    let sidecar = |probe: bool| {
        let mut container = json!({"name": "s", "image": "i", "restartPolicy": "Always"});
        if probe {
            container["startupProbe"] = json!({"exec": {"command": ["x"]}});
        }
        pod(json!({
            "initContainers": [container, {"name": "i", "image": "i"}], "containers": named(&["a"]),
            "restartPolicy": "Never",
        }))
    };
    let started = BTreeMap::from([(("s-0".to_owned(), ProbeKind::Startup), Verdict::Success)]);
    for (probe, containers, verdicts, expected) in [
        (false, &["s:running"][..], no_verdicts(), "start:init1"),
        (true, &["s:running"], no_verdicts(), ""),
        (true, &["s:running"], started, "start:init1"),
        (false, &["s:exited:1"], no_verdicts(), "start:init0"),
        (false, &["s:exited:0", "i:running"], no_verdicts(), "start:init0"),
        (false, &["s:running", "i:exited:0"], no_verdicts(), "start:main0"),
        (false, &["s:exited:0", "i:exited:0", "a:running"], no_verdicts(), "start:init0"),
        (false, &["s:running", "i:exited:0", "a:exited:0"], no_verdicts(), "kill-pod"),
    ] {
        let plan = plan(&sidecar(probe), &runtime(vec![sandbox("s", 0, true)], containers), &verdicts);
        assert_eq!(short(&plan), expected, "{containers:?}");
    }
}

#[test]
fn failed_probes_kill_and_restart() {
    for (policy, kind, message, expected) in [
        ("Always", ProbeKind::Liveness, "Container a failed liveness probe, will be restarted", "kill:a-0 start:main0"),
        ("Always", ProbeKind::Startup, "Container a failed startup probe, will be restarted", "kill:a-0 start:main0"),
        ("Never", ProbeKind::Liveness, "Container a failed liveness probe", "kill:a-0"),
        ("Always", ProbeKind::Readiness, "", ""),
    ] {
        let pod = pod(json!({"containers": named(&["a", "b"]), "restartPolicy": policy}));
        let verdicts = BTreeMap::from([(("a-0".to_owned(), kind), Verdict::Failure)]);
        let runtime = runtime(vec![sandbox("s", 0, true)], &["a:running", "b:running"]);
        let plan = plan(&pod, &runtime, &verdicts);
        assert_eq!(short(&plan), expected, "{policy} {kind:?}");
        assert_eq!(plan.kill.first().map_or("", |kill| kill.message.as_str()), message);
    }
}

#[test]
fn ephemeral_containers_start_once() {
    let pod = pod(json!({"containers": named(&["a"]), "ephemeralContainers": named(&["debug"])}));
    for (containers, expected) in [(&["a:running"][..], "start:ephemeral0"), (&["a:running", "debug:exited:0"], "")] {
        let plan = plan(&pod, &runtime(vec![sandbox("s", 0, true)], containers), &no_verdicts());
        assert_eq!(short(&plan), expected);
    }
}

#[test]
fn rules_of_the_container_overrule_the_pod() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let pod = pod(json!({"restartPolicy": "Never", "containers": [
        {"name": "a", "image": "i", "restartPolicy": "Never", "restartPolicyRules": rules}, {"name": "b", "image": "i"},
    ]}));
    for (code, expected) in [("42", "start:main0"), ("1", "")] {
        let exited = format!("a:exited:{code}");
        let runtime = runtime(vec![sandbox("s", 0, true)], &[&exited, "b:running"]);
        assert_eq!(short(&plan(&pod, &runtime, &no_verdicts())), expected);
    }
}
