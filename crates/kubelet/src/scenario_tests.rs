//! Whole lives of pods: a kubelet against an API server, a runtime and a clock that are all in
//! memory.

use crate::fakes::{FakeImages, FakeNetwork, FakeRuntime, FakeSignals, NoMounts};
use crate::{EvictionOptions, Handle, ImageGarbage, Kubelet, KubeletOptions, ManifestOptions, UnsafeSysctls};
use base::Env;
use client::fake::FakeApi;
use client::{Api, DeleteOptions, Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const EVENTS: GroupVersionResource = GroupVersionResource::of("", "v1", "events");

pub struct Node {
    pub env: Env,
    pub api: FakeApi,
    pub runtime: Arc<FakeRuntime>,
    pub signals: Arc<FakeSignals>,
    pub directory: tempfile::TempDir,
    eviction: EvictionOptions,
    kubelet: Option<Handle>,
}

impl Node {
    pub async fn new() -> Self {
        Self::with(EvictionOptions::none()).await
    }

    pub async fn with(eviction: EvictionOptions) -> Self {
        let env = Env::simulated(7, "2026-01-01T00:00:00Z".parse().unwrap());
        let runtime = FakeRuntime::new(&env);
        let directory = tempfile::tempdir().unwrap();
        let signals = Arc::default();
        let mut node = Node { env, api: FakeApi::new(), runtime, signals, directory, eviction, kubelet: None };
        node.start().await;
        node
    }

    pub async fn start(&mut self) {
        let options = KubeletOptions {
            node_name: "node".to_owned(),
            node_ips: vec![[127, 0, 0, 1].into()],
            root_dir: self.directory.path().join("kubelet"),
            log_dir: self.directory.path().join("logs"),
            api: Arc::new(self.api.clone()),
            runtime: self.runtime.clone(),
            images: Arc::new(FakeImages),
            network: Arc::new(FakeNetwork),
            mounts: Arc::new(NoMounts),
            server: None,
            cluster_dns: vec![],
            cluster_domain: "cluster.local".to_owned(),
            max_pods: 110,
            eviction: self.eviction.clone(),
            signals: Some(self.signals.clone()),
            image_garbage: ImageGarbage::default(),
            unsafe_sysctls: UnsafeSysctls::default(),
            manifests: Some(ManifestOptions { directory: self.directory.path().join("manifests"), read: parse }),
            pod_cidr: None,
            node_labels: BTreeMap::new(),
            node_taints: vec![],
            version: "test".to_owned(),
            feature_gates: BTreeMap::new(),
            parallel_pulls: 1,
        };
        self.env = Env { tasks: base::Tasks::new(), ..self.env.clone() };
        self.kubelet = Some(Kubelet::start(&self.env, options).await.unwrap());
    }

    /// Kutter ends; what runs goes on.
    pub async fn stop(&mut self) {
        self.env.tasks.stop().await;
        self.kubelet = None;
    }

    pub async fn wait(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }

    pub fn create(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("node");
        let meta = json!({"name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1});
        self.api.put(&PODS, json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}));
    }

    pub fn pod(&self, name: &str) -> Option<Value> {
        self.api.get(&PODS, "default", name)
    }

    pub fn status(&self, name: &str) -> Value {
        self.pod(name).unwrap()["status"].clone()
    }

    pub async fn delete(&self, name: &str, grace: i64) {
        let mut pod = self.pod(name).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.api.put(&PODS, pod);
    }

    pub fn events(&self, reason: &str) -> Vec<String> {
        let all = self.api.all(&EVENTS);
        let own = all.iter().filter(|event| event["reason"] == reason);
        own.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub fn one(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"containers": [container]})
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_is_gone_after_its_deletion() {
    let node = Node::new().await;
    node.create("a", one(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]})).clone());
    let mut spec = node.pod("a").unwrap();
    spec["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    node.api.put(&PODS, spec);
    node.wait(2).await;
    let status = node.status("a");
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("127.0.0.1")), "{status}");
    assert_eq!(status["containerStatuses"][0]["ready"], true);
    let volume = node.directory.path().join("kubelet/pods/uid-a/volumes/kubernetes.io~empty-dir/v");
    assert!(volume.exists());
    for reason in ["Pulled", "Created", "Started"] {
        assert_eq!(node.events(reason).len(), 1, "{reason}");
    }
    node.delete("a", 30).await;
    node.wait(2).await;
    assert_eq!(node.pod("a"), None, "its object goes when all is down");
    assert!(!node.directory.path().join("kubelet/pods/uid-a").exists());
    assert_eq!(node.events("Killing"), ["Stopping container c"]);
    let state = node.runtime.state.lock().unwrap();
    assert!(state.sandboxes.is_empty() && state.containers.is_empty());
    drop(state);
    assert_eq!(node.kubelet.as_ref().unwrap().pods(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_waits_longer_each_time() {
    let node = Node::new().await;
    node.runtime.state.lock().unwrap().dies.insert("c".to_owned(), 1);
    node.create("a", one(json!({})));
    let mut starts = Vec::new();
    for second in 0..160 {
        let started = node.runtime.take_log().iter().filter(|line| *line == "start c").count();
        starts.extend(std::iter::repeat_n(second, started));
        node.wait(1).await;
    }
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [0, 10, 20, 40, 80], "{starts:?}");
    let container = node.status("a")["containerStatuses"][0].clone();
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let message = container["state"]["waiting"]["message"].as_str().unwrap();
    assert_eq!(message, "back-off 2m40s restarting failed container=c pod=a_default(uid-a)");
    assert_eq!(container["restartCount"], 5);
    assert_eq!(node.runtime.state.lock().unwrap().containers.len(), 2, "only the newest and the one before stay");
}

#[tokio::test(start_paused = true)]
async fn nothing_takes_the_place_of_what_cannot_be_stopped() {
    let node = Node::new().await;
    node.create("a", one(json!({})));
    node.wait(5).await;
    node.runtime.state.lock().unwrap().stuck.insert("c".to_owned());
    node.runtime.lose("c");
    node.wait(5).await;
    let log = node.runtime.take_log();
    assert_eq!(log.iter().filter(|line| *line == "start c").count(), 1, "{log:?}");
    let tries = log.iter().filter(|line| *line == "stop c 30s").count();
    assert!((3..=6).contains(&tries), "it is tried every second: {log:?}");
    node.runtime.state.lock().unwrap().stuck.clear();
    node.wait(2).await;
    let log = node.runtime.take_log();
    assert_eq!(log.iter().filter(|line| *line == "start c").count(), 1, "{log:?}");
    assert_eq!(node.status("a")["containerStatuses"][0]["restartCount"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_kutter_touches_nothing() {
    let mut node = Node::new().await;
    node.create("a", one(json!({"readinessProbe": {"exec": {"command": ["ready"]}}})));
    node.create("b", one(json!({})));
    node.wait(5).await;
    node.stop().await;
    node.runtime.take_log();
    node.api.remove(&PODS, "default", "b");
    node.start().await;
    node.wait(1).await;
    let status = node.status("a");
    assert_eq!(status["containerStatuses"][0]["ready"], true, "readiness is kept until probed anew");
    node.wait(30).await;
    let log = node.runtime.take_log();
    let about_a: Vec<_> = log.iter().filter(|line| !line.starts_with("exec")).collect();
    assert_eq!(about_a, ["stop c 30s", "ended c", "stop sandbox"], "only the pod deleted meanwhile is ended");
    assert_eq!(node.runtime.state.lock().unwrap().containers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ending_runs_the_hook_then_signals_then_kills() {
    let node = Node::new().await;
    node.runtime.state.lock().unwrap().slow.insert("c".to_owned(), Duration::from_secs(1000));
    node.create("a", one(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 4}}}})));
    node.wait(2).await;
    node.runtime.take_log();
    node.delete("a", 10).await;
    node.wait(3).await;
    assert!(node.runtime.take_log().is_empty(), "the hook is still running");
    node.wait(2).await;
    assert_eq!(node.runtime.take_log(), ["stop c 6s"]);
    node.wait(7).await;
    assert_eq!(node.runtime.take_log(), ["ended c", "stop sandbox"]);
    assert_eq!(node.pod("a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_grace_period_counts_at_once() {
    let node = Node::new().await;
    node.runtime.state.lock().unwrap().slow.insert("c".to_owned(), Duration::from_secs(1000));
    node.create("a", one(json!({})));
    node.wait(2).await;
    node.delete("a", 600).await;
    node.wait(5).await;
    assert!(node.pod("a").is_some());
    node.delete("a", 1).await;
    node.wait(5).await;
    assert_eq!(node.pod("a"), None);
}

#[tokio::test(start_paused = true)]
async fn sidecars_end_after_the_containers_they_serve() {
    let node = Node::new().await;
    node.runtime.state.lock().unwrap().slow.insert("c".to_owned(), Duration::from_secs(5));
    let mut spec = one(json!({}));
    spec["initContainers"] = json!([
        {"name": "s1", "image": "i", "restartPolicy": "Always"}, {"name": "s2", "image": "i", "restartPolicy": "Always"},
    ]);
    node.create("a", spec);
    node.wait(2).await;
    let starts: Vec<_> = node.runtime.take_log().into_iter().filter(|line| line.starts_with("start")).collect();
    assert_eq!(starts, ["start s1", "start s2", "start c"]);
    node.delete("a", 30).await;
    node.wait(10).await;
    let ended: Vec<_> = node.runtime.take_log().into_iter().filter(|line| line.starts_with("ended")).collect();
    assert_eq!(ended, ["ended c", "ended s2", "ended s1"]);
}

#[tokio::test(start_paused = true)]
async fn liveness_restarts_and_readiness_only_reports() {
    let node = Node::new().await;
    node.create(
        "a",
        one(json!({
            "livenessProbe": {"exec": {"command": ["alive"]}, "periodSeconds": 1, "failureThreshold": 3},
            "readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 1},
        })),
    );
    node.wait(5).await;
    assert_eq!(node.status("a")["containerStatuses"][0]["ready"], true);
    node.runtime.state.lock().unwrap().commands.insert("ready".to_owned(), 1);
    node.wait(3).await;
    let container = node.status("a")["containerStatuses"][0].clone();
    assert_eq!((&container["ready"], &container["restartCount"]), (&json!(false), &json!(0)));
    node.runtime.state.lock().unwrap().commands.insert("alive".to_owned(), 1);
    node.wait(5).await;
    assert_eq!(node.status("a")["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(node.events("Killing"), ["Container c failed liveness probe, will be restarted"]);
    assert!(node.events("Unhealthy").contains(&"Readiness probe failed: out".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_told_and_tried_again() {
    let node = Node::new().await;
    let key = json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}});
    node.create("env", one(json!({"env": [key]})));
    node.create("image", json!({"containers": [{"name": "c", "image": "missing:1"}]}));
    node.wait(5).await;
    let waiting = |name: &str| node.status(name)["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting("env"), json!({"reason": "CreateContainerConfigError", "message": "configmap \"m\" not found"}));
    assert_eq!(waiting("image")["reason"], "ImagePullBackOff");
    for text in ["Error: ErrImagePull", "Error: ImagePullBackOff", "Error: configmap \"m\" not found"] {
        assert!(node.events("Failed").contains(&text.to_owned()), "{text}");
    }
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    node.api.put(&maps, json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"k": "v"}}));
    node.wait(15).await;
    assert_eq!(node.status("env")["phase"], "Running");
}

#[tokio::test(start_paused = true)]
async fn finished_pods_keep_their_status_and_give_back_the_rest() {
    let node = Node::new().await;
    let mut spec = one(json!({}));
    spec["restartPolicy"] = json!("Never");
    node.create("a", spec);
    node.wait(1).await;
    node.runtime.finish("c", 3);
    node.wait(1).await;
    let status = node.status("a");
    assert_eq!(status["phase"], "Failed");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert!(node.runtime.state.lock().unwrap().sandboxes.values().all(|sandbox| !sandbox.ready));
    assert_eq!(node.runtime.state.lock().unwrap().containers.len(), 1, "its log can still be read");
    node.delete("a", 30).await;
    node.wait(1).await;
    assert_eq!(node.pod("a"), None);
}

#[tokio::test(start_paused = true)]
async fn the_node_and_its_lease_are_reported() {
    let node = Node::new().await;
    node.wait(1).await;
    let nodes = GroupVersionResource::of("", "v1", "nodes");
    let object = node.api.get(&nodes, "", "node").unwrap();
    assert_eq!(object["metadata"]["labels"]["kubernetes.io/hostname"], "node");
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("KubeletReady")));
    let leases = GroupVersionResource::of("coordination.k8s.io", "v1", "leases");
    let before = node.api.get(&leases, "kube-node-lease", "node").unwrap()["spec"]["renewTime"].clone();
    node.api.take_log();
    node.wait(60).await;
    let after = node.api.get(&leases, "kube-node-lease", "node").unwrap()["spec"]["renewTime"].clone();
    assert_ne!(before, after);
    let writes = node.api.take_log().into_iter().filter(|line| line.contains("nodes/status")).count();
    assert_eq!(writes, 0, "nothing changed, so nothing is sent");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_holds_up_no_restart() {
    let node = Node::new().await;
    node.create("a", one(json!({})));
    node.wait(2).await;
    node.api.fault(|_: &Request| Some(client::Error::Connection("cut".to_owned())));
    node.runtime.finish("c", 1);
    node.wait(2).await;
    assert_eq!(node.runtime.take_log().iter().filter(|line| *line == "start c").count(), 2);
    node.api.clear_faults();
    node.wait(20).await;
    assert_eq!(node.status("a")["containerStatuses"][0]["restartCount"], 1, "told once it can be");
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    let body = serde_json::to_vec(&options).unwrap();
    let request = Request::new(Verb::Delete, PODS).namespace("default").name("a").body(body);
    node.api.call(request).await.unwrap();
    node.wait(5).await;
    assert!(node.runtime.state.lock().unwrap().sandboxes.is_empty(), "a forced deletion ends it too");
}

#[tokio::test(start_paused = true)]
async fn a_pod_behind_a_service_is_taken_out_before_it_ends() {
    let node = Node::new().await;
    let services = GroupVersionResource::of("", "v1", "services");
    let service = json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "a"}}});
    node.api.put(&services, service);
    node.create("a", one(json!({})));
    node.create("b", one(json!({"name": "d"})));
    let mut labelled = node.pod("a").unwrap();
    labelled["metadata"]["labels"] = json!({"app": "a"});
    node.api.put(&PODS, labelled);
    node.wait(2).await;
    node.runtime.take_log();
    let stranger = millis_to_stop(&node, "b", "stop d").await;
    let served = millis_to_stop(&node, "a", "stop c").await;
    assert!(served >= stranger + 400, "{served} after {stranger}");
}

/// How long after its deletion a pod's container gets its stop signal.
async fn millis_to_stop(node: &Node, pod: &str, line: &str) -> u64 {
    node.delete(pod, 30).await;
    for millis in (0..5000).step_by(20) {
        if node.runtime.take_log().iter().any(|own| own.starts_with(line)) {
            return millis;
        }
        node.env.clock.sleep(Duration::from_millis(20)).await;
    }
    panic!("never stopped");
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_on_when_its_config_map_is_deleted() {
    let node = Node::new().await;
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    node.api.put(&maps, json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"k": "v"}}));
    let mut spec = one(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}]);
    node.create("a", spec);
    node.wait(2).await;
    node.api.remove(&maps, "default", "m");
    node.runtime.finish("c", 1);
    node.wait(2).await;
    let status = node.status("a")["containerStatuses"][0].clone();
    assert_eq!((&status["restartCount"], &status["ready"]), (&json!(1), &json!(true)), "{status}");
    let text = "MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found";
    assert!(node.events("FailedMount").contains(&text.to_owned()));
}

/// Nobody can make devices ready: the pod must not run as if it had asked for none.
#[tokio::test(start_paused = true)]
async fn a_pod_with_devices_waits_for_their_driver() {
    const CLAIMS: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceclaims");
    let node = Node::new().await;
    let claim = |devices: Value| {
        json!({"metadata": {"name": "gpu", "namespace": "default", "uid": "uid-gpu"}, "status": {
            "reservedFor": [{"resource": "pods", "name": "a", "uid": "uid-a"}],
            "allocation": {"devices": {"results": devices}}}})
    };
    let driver = json!([{"request": "r", "driver": "gpu.example.com", "pool": "p", "device": "d"}]);
    node.api.put(&CLAIMS, claim(driver));
    let mut spec = one(json!({}));
    spec["resourceClaims"] = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
    node.create("a", spec);
    node.wait(5).await;
    let wanted = "Failed to prepare dynamic resources: prepare dynamic resources: DRA driver gpu.example.com is not \
                  registered";
    assert!(node.events("FailedPrepareDynamicResources").iter().any(|text| text == wanted));
    assert!(node.runtime.state.lock().unwrap().sandboxes.is_empty());
    assert_eq!(node.status("a")["phase"], "Pending");
    // A claim without devices needs no driver.
    node.api.put(&CLAIMS, claim(json!([])));
    node.wait(60).await;
    assert_eq!(node.status("a")["phase"], "Running");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_not_here_is_not_replaced_by_another() {
    const CLASSES: GroupVersionResource = GroupVersionResource::of("node.k8s.io", "v1", "runtimeclasses");
    let node = Node::new().await;
    let class = |name: &str, handler: &str| json!({"metadata": {"name": name}, "handler": handler});
    node.api.put(&CLASSES, class("plain", "runc"));
    node.api.put(&CLASSES, class("other", "wasm"));
    for name in ["plain", "other", "unknown"] {
        let mut spec = one(json!({}));
        spec["runtimeClassName"] = json!(name);
        node.create(name, spec);
    }
    node.wait(5).await;
    for (name, phase) in [("plain", "Running"), ("other", "Pending"), ("unknown", "Pending")] {
        assert_eq!(node.status(name)["phase"], phase, "{name}");
    }
    let told = node.events("FailedCreatePodSandBox");
    let text = "Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"wasm\" is configured";
    assert!(told.iter().any(|line| line == text), "{told:?}");
}
