//! Statuses, row by row.

use super::*;
use container::runtime::{SandboxConfig, SandboxStatus};
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: i64 = 1_800_000_000;

struct Case {
    pod: Value,
    containers: Vec<RunStatus>,
    waiting: BTreeMap<String, Waiting>,
    verdicts: BTreeMap<(String, ProbeKind), Verdict>,
    terminal: bool,
    failure: Option<(&'static str, &'static str)>,
}

fn case(spec: Value, containers: Vec<RunStatus>) -> Case {
    let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec});
    Case { pod, containers, waiting: BTreeMap::new(), verdicts: BTreeMap::new(), terminal: false, failure: None }
}

impl Case {
    fn status(&self) -> Value {
        let pod: Pod = serde_json::from_value(self.pod.clone()).unwrap();
        let sandbox = SandboxStatus {
            id: "s".to_owned(),
            config: SandboxConfig::default(),
            ready: !self.terminal,
            created_at: 1,
            netns: None,
            addresses: vec!["10.0.0.5".parse().unwrap()],
        };
        let runtime = PodRuntime {
            sandboxes: vec![Arc::new(sandbox)],
            containers: self.containers.iter().cloned().map(Arc::new).collect(),
        };
        let status = generate(&Inputs {
            pod: &pod,
            reported: None,
            runtime: &runtime,
            verdicts: &self.verdicts,
            waiting: &self.waiting,
            messages: &BTreeMap::from([("id".to_owned(), "last words".to_owned())]),
            applied: &BTreeMap::new(),
            resize: None,
            node_ips: &["192.168.0.1".parse().unwrap()],
            now: Timestamp::from_second(NOW).unwrap(),
            terminal: self.terminal,
            failure: self.failure,
            disrupted: self.failure.is_some_and(|(reason, _)| reason == "Evicted"),
        });
        serde_json::to_value(status).unwrap()
    }
}

fn run(name: &str, state: RunState, exit_code: i32, attempt: u32) -> RunStatus {
    RunStatus {
        id: "id".to_owned(),
        sandbox: "s".to_owned(),
        name: name.to_owned(),
        attempt,
        image: "i".to_owned(),
        image_ref: "i@sha256:1".to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        state,
        created_at: NOW * 1_000_000_000,
        started_at: NOW * 1_000_000_000,
        finished_at: (NOW + 1) * 1_000_000_000,
        exit_code,
        reason: String::new(),
        message: String::new(),
        log_path: Default::default(),
        mounts: Vec::new(),
        pid: None,
        resources: Default::default(),
        user: None,
    }
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

#[test]
fn phases_follow_upstreams_table() {
    use RunState::{Exited, Running};
    let two = json!([{"name": "a"}, {"name": "b"}]);
    for (policy, containers, terminal, phase) in [
        ("Always", vec![], false, "Pending"),
        ("Always", vec![run("a", Running, 0, 0)], false, "Pending"),
        ("Always", vec![run("a", Running, 0, 0), run("b", Running, 0, 0)], false, "Running"),
        ("Always", vec![run("a", Exited, 1, 0), run("b", Exited, 1, 0)], false, "Running"),
        ("Never", vec![run("a", Exited, 0, 0), run("b", Exited, 0, 0)], false, "Succeeded"),
        ("Never", vec![run("a", Exited, 0, 0), run("b", Exited, 1, 0)], false, "Failed"),
        ("Never", vec![run("a", Exited, 0, 0), run("b", Running, 0, 0)], false, "Running"),
        ("OnFailure", vec![run("a", Exited, 0, 0), run("b", Exited, 1, 0)], false, "Running"),
        ("OnFailure", vec![run("a", Exited, 0, 0), run("b", Exited, 0, 0)], false, "Succeeded"),
        ("Always", vec![run("a", Exited, 0, 0), run("b", Exited, 0, 0)], true, "Succeeded"),
        ("Always", vec![run("a", Exited, 0, 0), run("b", Exited, 137, 0)], true, "Failed"),
    ] {
        let mut case = case(json!({"containers": two, "restartPolicy": policy}), containers);
        case.terminal = terminal;
        assert_eq!(case.status()["phase"], phase, "{policy} {terminal}");
    }
}

#[test]
fn what_is_not_running_says_why() {
    let one = json!({"containers": [{"name": "a", "image": "i"}]});
    let with_init = json!({"containers": [{"name": "a", "image": "i"}], "initContainers": [{"name": "i"}]});
    assert_eq!(
        case(one.clone(), vec![]).status()["containerStatuses"][0]["state"],
        json!({"waiting": {"reason": "ContainerCreating"}})
    );
    let status = case(with_init, vec![]).status();
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&status, "Initialized")["message"], "containers with incomplete status: [i]");
    let mut crashed = case(one, vec![run("a", RunState::Exited, 7, 3)]);
    crashed.waiting.insert("a".to_owned(), Waiting::new("CrashLoopBackOff", "back-off"));
    let status = crashed.status();
    let container = &status["containerStatuses"][0];
    assert_eq!(container["state"]["waiting"], json!({"reason": "CrashLoopBackOff", "message": "back-off"}));
    assert_eq!(container["restartCount"], 3);
    let last = &container["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"], &last["message"]),
        (&json!(7), &json!("Error"), &json!("last words"))
    );
    assert_eq!(status["phase"], "Running", "a crash loop is a running pod");
}

#[test]
fn readiness_needs_probes_and_gates() {
    let spec = json!({
        "containers": [{"name": "a", "image": "i", "readinessProbe": {}, "startupProbe": {}}],
        "readinessGates": [{"conditionType": "lb"}],
    });
    let mut case = case(spec, vec![run("a", RunState::Running, 0, 0)]);
    let status = case.status();
    assert_eq!(status["containerStatuses"][0]["started"], false);
    assert_eq!(condition(&status, "Ready")["message"], "containers with unready status: [a]");
    case.verdicts.insert(("id".to_owned(), ProbeKind::Startup), Verdict::Success);
    case.verdicts.insert(("id".to_owned(), ProbeKind::Readiness), Verdict::Success);
    let status = case.status();
    assert_eq!(status["containerStatuses"][0]["ready"], true);
    assert_eq!(condition(&status, "ContainersReady")["status"], "True");
    assert_eq!(condition(&status, "Ready")["reason"], "ReadinessGatesNotReady");
    case.pod["status"] = json!({"conditions": [
        {"type": "lb", "status": "True"},
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
    ]});
    let status = case.status();
    assert_eq!(condition(&status, "Ready")["status"], "True");
    assert_eq!(condition(&status, "ContainersReady")["lastTransitionTime"], "2020-01-01T00:00:00Z");
}

#[test]
fn the_end_stays_the_end() {
    let one = json!({"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Never"});
    let mut ended = case(one.clone(), vec![]);
    ended.pod["status"] = json!({"phase": "Succeeded"});
    assert_eq!(ended.status()["phase"], "Succeeded");
    let mut refused = case(one.clone(), vec![]);
    refused.failure = Some(("OutOfcpu", "Pod was rejected"));
    let status = refused.status();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert_eq!((&status["containerStatuses"], &status["hostIP"]), (&Value::Null, &Value::Null));
    // Nor after a restart of the node's agent.
    (refused.pod["status"], refused.failure, refused.terminal) = (status.clone(), None, true);
    assert_eq!(refused.status(), status);
    // Of one that was on its way, the containers are told to be lost.
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    refused.pod["status"] = json!({"containerStatuses": [
        {"name": "a", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": waiting},
    ]});
    refused.failure = Some(("Evicted", "The node was low on resource: memory. "));
    let status = refused.status();
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "ContainerStatusUnknown");
    let done = case(one, vec![run("a", RunState::Exited, 0, 0)]).status();
    assert_eq!(condition(&done, "Ready")["reason"], "PodCompleted");
    assert_eq!(done["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!((&done["podIP"], &done["hostIP"]), (&json!("10.0.0.5"), &json!("192.168.0.1")));
}

#[test]
fn a_container_whose_turn_never_came_goes_on_waiting() {
    let spec = json!({
        "restartPolicy": "Never", "initContainers": [{"name": "i", "image": "i"}, {"name": "j", "image": "i"}],
        "containers": [{"name": "a", "image": "i"}],
    });
    let states = |runs: Vec<RunStatus>| {
        let mut over = case(spec.clone(), runs);
        over.terminal = true;
        let status = over.status();
        let reason = |list: &str, index: usize| {
            let state = &status[list][index]["state"];
            let reason = |kind: &str| state[kind]["reason"].as_str().map(str::to_owned);
            reason("waiting").or_else(|| reason("terminated")).unwrap()
        };
        [reason("initContainerStatuses", 0), reason("initContainerStatuses", 1), reason("containerStatuses", 0)]
    };
    let failed = run("i", RunState::Exited, 1, 0);
    assert_eq!(states(vec![failed]), ["Error", "PodInitializing", "PodInitializing"]);
    let later = vec![run("j", RunState::Exited, 0, 0), run("a", RunState::Exited, 0, 0)];
    assert_eq!(states(later), ["ContainerStatusUnknown", "Completed", "Completed"]);
    let before = vec![run("i", RunState::Exited, 0, 0), run("j", RunState::Exited, 0, 0)];
    assert_eq!(states(before), ["Completed", "Completed", "ContainerStatusUnknown"]);
}

#[test]
fn a_lost_container_is_told() {
    let mut lost = case(json!({"containers": [{"name": "a", "image": "i"}]}), vec![]);
    lost.pod["status"] = json!({"containerStatuses": [
        {"name": "a", "image": "i", "imageID": "", "ready": true, "restartCount": 4, "containerID": "kutter://x",
         "state": {"running": {}}},
    ]});
    let status = lost.status();
    let container = &status["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["reason"], "ContainerStatusUnknown");
    assert_eq!(
        (&container["restartCount"], &container["state"]["waiting"]["reason"]),
        (&json!(5), &json!("ContainerCreating"))
    );
}

#[test]
fn what_a_finished_pod_was_stays_when_the_runtime_has_forgotten_it() {
    let mut over = case(json!({"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Never"}), vec![]);
    let ended = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    over.pod["status"] = json!({"phase": "Failed", "containerStatuses": [
        {"name": "a", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "containerID": "kutter://x",
         "state": ended},
    ]});
    for terminal in [false, true] {
        over.terminal = terminal;
        assert_eq!(over.status()["containerStatuses"][0]["state"], ended);
    }
}
