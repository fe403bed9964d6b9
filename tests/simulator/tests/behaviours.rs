//! What version 1.37 tests for conformance of controllers and scheduler: the whole control plane in
//! fair weather, with kubelets that run no containers. Each test is named in
//! `tests/conformance/behaviours.tsv`; where a pod's end matters, the test tells it as a kubelet would.

#![allow(clippy::unwrap_used)]

use client::{Api, Error, Options, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use simulator::player::Player;
use simulator::world::{World, supervise};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const NAMESPACES: GroupVersionResource = GroupVersionResource::of("", "v1", "namespaces");
const CONFIG_MAPS: GroupVersionResource = GroupVersionResource::of("", "v1", "configmaps");
const QUOTAS: GroupVersionResource = GroupVersionResource::of("", "v1", "resourcequotas");
const SETS: GroupVersionResource = GroupVersionResource::of("apps", "v1", "replicasets");
const DAEMONS: GroupVersionResource = GroupVersionResource::of("apps", "v1", "daemonsets");
const REVISIONS: GroupVersionResource = GroupVersionResource::of("apps", "v1", "controllerrevisions");
const JOBS: GroupVersionResource = GroupVersionResource::of("batch", "v1", "jobs");
const BUDGETS: GroupVersionResource = GroupVersionResource::of("policy", "v1", "poddisruptionbudgets");
const CLASSES: GroupVersionResource = GroupVersionResource::of("scheduling.k8s.io", "v1", "priorityclasses");
const HOME: &str = "default";
/// Simulated, so it costs nothing.
const PATIENCE: usize = 1200;

struct Stage {
    world: Arc<World>,
    api: Arc<dyn Api>,
}

/// Plays a test in a world with so many nodes.
async fn play(nodes: usize, test: impl AsyncFn(&Stage)) {
    let (world, deaths) = World::start(1, false).await.unwrap();
    let stage = Stage { api: world.admin("user"), world: world.clone() };
    let playing = async {
        let player = Player::new(&world, nodes);
        player.start_nodes();
        player.nodes_known().await.unwrap();
        test(&stage).await;
    };
    tokio::select! {
        biased;
        () = playing => {}
        () = supervise(&world, deaths) => panic!("the supervisor ended"),
    }
    world.env.tasks.stop().await;
    assert_eq!(world.net.ledger.first_wrong(), None);
}

impl Stage {
    async fn send(&self, request: Request) -> Result<Value, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
            Response::List(list) => Ok(list.items.iter().map(|item| parse(item)).collect()),
            Response::Watch(_) => panic!("a watch"),
        }
    }

    async fn create(&self, resource: &GroupVersionResource, object: &Value) -> Value {
        self.send(at(Verb::Create, resource).body(object.to_string())).await.unwrap()
    }

    async fn get(&self, resource: &GroupVersionResource, name: &str) -> Option<Value> {
        match self.send(at(Verb::Get, resource).name(name)).await {
            Err(error) if error.is(Reason::NotFound) => None,
            answer => Some(answer.unwrap()),
        }
    }

    async fn list(&self, resource: &GroupVersionResource, labels: &str) -> Vec<Value> {
        let options = Options { label_selector: Some(labels.to_owned()), ..Options::default() };
        let found = self.send(at(Verb::List, resource).options(options)).await.unwrap();
        found.as_array().cloned().unwrap()
    }

    async fn patch(&self, resource: &GroupVersionResource, name: &str, patch: &Value) -> Value {
        let request = at(Verb::Patch(PatchType::Strategic), resource).name(name).body(patch.to_string());
        self.send(request).await.unwrap()
    }

    /// As the pod's kubelet.
    async fn tell(&self, pod: &str, status: &Value) -> Result<Value, Error> {
        let request = at(Verb::Patch(PatchType::Strategic), &PODS).name(pod).subresource("status");
        self.send(request.body(json!({"status": status}).to_string())).await
    }

    /// What `look` finds, once it finds something.
    async fn wait<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..PATIENCE {
            if let Some(found) = look().await {
                return found;
            }
            self.world.env.clock.sleep(Duration::from_millis(500)).await;
        }
        panic!("not reached: {what}");
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        self.wait(what, async || holds().await.then_some(())).await;
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn at(verb: Verb, resource: &GroupVersionResource) -> Request {
    let request = Request::new(verb, resource.clone());
    match *resource == NAMESPACES || *resource == CLASSES {
        true => request,
        false => request.namespace(HOME),
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let mut all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.find(|one| one["type"] == kind && one["status"] == "True")
}

fn set(replicas: i64) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", "good:1")}})
}

#[tokio::test(start_paused = true)]
async fn there_are_two_nodes_for_anybody() {
    play(2, async |stage| {
        let nodes = GroupVersionResource::of("", "v1", "nodes");
        let is_free = |node: &Value| {
            let taints = node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
            taints && node["spec"]["unschedulable"] != true && condition(node, "Ready").is_some()
        };
        stage
            .until("two untainted nodes", async || {
                let found = stage.send(Request::new(Verb::List, nodes.clone())).await.unwrap();
                found.as_array().unwrap().iter().filter(|node| is_free(node)).count() >= 2
            })
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_is_replaced_and_patched() {
    play(2, async |stage| {
        stage.create(&SETS, &set(1)).await;
        let ready = async |many: i64| {
            let ready = async || stage.get(&SETS, "web").await.unwrap()["status"]["readyReplicas"] == many;
            stage.until("its pods are ready", ready).await;
        };
        ready(1).await;
        let scale = at(Verb::Update, &SETS).name("web").subresource("scale");
        let mut found = stage.send(at(Verb::Get, &SETS).name("web").subresource("scale")).await.unwrap();
        found["spec"]["replicas"] = json!(2);
        assert_eq!(stage.send(scale.body(found.to_string())).await.unwrap()["spec"]["replicas"], 2);
        ready(2).await;
        let patch = json!({
            "metadata": {"labels": {"test-rs": "patched"}},
            "spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "good:2"}]}}},
        });
        let patched = stage.patch(&SETS, "web", &patch).await;
        assert_eq!(patched["metadata"]["labels"]["test-rs"], "patched");
        let containers = patched["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        assert_eq!((containers.len(), &containers[0]["image"]), (1, &json!("good:2")));
        ready(3).await;
        let images: Vec<_> = stage.list(&PODS, "app=web").await;
        let new = images.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "good:2").count();
        assert_eq!(new, 1, "a set leaves the pods that it has");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_quotas_status_is_brought_back() {
    play(0, async |stage| {
        let hard = json!({"cpu": "500m", "memory": "500Mi"});
        stage.create(&QUOTAS, &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await;
        let is_right = async || stage.get(&QUOTAS, "q").await.unwrap()["status"]["hard"] == hard;
        stage.until("the status has the spec's limits", &is_right).await;
        let used =
            async || stage.get(&QUOTAS, "q").await.unwrap()["status"]["used"] == json!({"cpu": "0", "memory": "0"});
        stage.until("what is used is counted", used).await;
        for verb in [Verb::Update, Verb::Patch(PatchType::Merge)] {
            // Whoever meets a write of the controller's tries again.
            let wrong = stage
                .wait("the wrong status is written", async || {
                    let mut quota = stage.get(&QUOTAS, "q").await.unwrap();
                    quota["status"]["hard"] = json!({"cpu": "1", "memory": "1Gi"});
                    let body = match verb {
                        Verb::Update => quota,
                        _ => json!({"status": quota["status"]}),
                    };
                    let request = at(verb, &QUOTAS).name("q").subresource("status").body(body.to_string());
                    stage.send(request).await.ok()
                })
                .await;
            assert_eq!(wrong["status"]["hard"], json!({"cpu": "1", "memory": "1Gi"}));
            assert_eq!(wrong["spec"]["hard"], hard);
            stage.until("the status is brought back", &is_right).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn revisions_of_a_daemon_set_live_as_any_object() {
    play(2, async |stage| {
        let daemons = |image: &str| {
            json!({"metadata": {"name": "d"}, "spec": {
                "selector": {"matchLabels": {"app": "d"}}, "template": template("d", image)}})
        };
        stage.create(&DAEMONS, &daemons("good:1")).await;
        let revisions = async || stage.list(&REVISIONS, "app=d").await;
        let first = stage.wait("the first revision", async || revisions().await.pop()).await;
        assert_eq!((revisions().await.len(), &first["revision"]), (1, &json!(1)));
        assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "DaemonSet");

        let patched =
            stage.patch(&REVISIONS, &name(&first), &json!({"metadata": {"labels": {"patched": "yes"}}})).await;
        assert_eq!(patched["metadata"]["labels"]["patched"], "yes");
        // Another, made by hand as the next one.
        let mut second = json!({
            "metadata": {"name": "d-by-hand", "labels": first["metadata"]["labels"],
                "ownerReferences": first["metadata"]["ownerReferences"]},
            "data": first["data"], "revision": first["revision"].as_i64().unwrap() + 1,
        });
        second = stage.create(&REVISIONS, &second).await;
        assert_eq!(second["revision"], 2);
        // The set itself may have found that there are two of a kind.
        let gone = stage.send(at(Verb::Delete, &REVISIONS).name(name(&first))).await;
        assert!(gone.is_ok() || gone.is_err_and(|error| error.is(Reason::NotFound)));
        stage
            .until("the first is gone or new", async || {
                stage
                    .get(&REVISIONS, &name(&first))
                    .await
                    .is_none_or(|now| now["metadata"]["uid"] != first["metadata"]["uid"])
            })
            .await;
        let updated = stage
            .wait("the second is updated", async || {
                let mut second = stage.get(&REVISIONS, "d-by-hand").await?;
                second["metadata"]["labels"]["d-by-hand"] = json!("updated");
                stage.send(at(Verb::Update, &REVISIONS).name("d-by-hand").body(second.to_string())).await.ok()
            })
            .await;
        assert_eq!(updated["metadata"]["labels"]["d-by-hand"], "updated");
        // A new template makes a revision with the next number.
        stage.patch(&DAEMONS, "d", &json!({"spec": {"template": template("d", "good:2")}})).await;
        let third = async || revisions().await.into_iter().find(|one| one["revision"] == 3);
        let third = stage.wait("a third revision", third).await;
        assert_eq!(third["data"]["spec"]["template"]["spec"]["containers"][0]["image"], "good:2");
        let options = Options { label_selector: Some("d-by-hand=updated".to_owned()), ..Options::default() };
        stage.send(at(Verb::DeleteCollection, &REVISIONS).options(options)).await.unwrap();
        stage.until("the collection is gone", async || stage.get(&REVISIONS, "d-by-hand").await.is_none()).await;
        assert!(stage.get(&REVISIONS, &name(&third)).await.is_some());
    })
    .await;
}

/// A namespace whose pod will not end keeps everything else until it does.
#[tokio::test(start_paused = true)]
async fn a_namespaces_pods_go_before_the_rest() {
    play(1, async |stage| {
        stage.create(&NAMESPACES, &json!({"metadata": {"name": "ending"}})).await;
        let within = |verb, resource: &GroupVersionResource| Request::new(verb, resource.clone()).namespace("ending");
        let map = json!({"metadata": {"name": "needed"}, "data": {"key": "value"}}).to_string();
        stage.send(within(Verb::Create, &CONFIG_MAPS).body(map)).await.unwrap();
        let mut pod = template("held", "good:1");
        pod["metadata"]["name"] = json!("held");
        pod["metadata"]["finalizers"] = json!(["e2e.example.com/finalizer"]);
        stage
            .wait("the namespace has its account", async || {
                stage.send(within(Verb::Create, &PODS).body(pod.to_string())).await.ok()
            })
            .await;
        stage.send(at(Verb::Delete, &NAMESPACES).name("ending")).await.unwrap();
        let pod = async || stage.send(within(Verb::Get, &PODS).name("held")).await.ok();
        let is_ending = async || pod().await.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string());
        stage.until("the pod is to go", is_ending).await;
        let told = async || {
            let namespace = stage.get(&NAMESPACES, "ending").await?;
            condition(&namespace, "NamespaceContentRemaining").cloned()
        };
        let remaining = stage.wait("the namespace says what remains", told).await;
        assert!(remaining["message"].as_str().unwrap().contains("pods. has 1 resource instances"), "{remaining}");
        stage.world.env.clock.sleep(Duration::from_secs(60)).await;
        let map = async || stage.send(within(Verb::Get, &CONFIG_MAPS).name("needed")).await.ok();
        let kept = map().await.unwrap();
        assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept}");
        assert!(pod().await.is_some());
        let patch = json!({"metadata": {"finalizers": null}}).to_string();
        stage.send(within(Verb::Patch(PatchType::Merge), &PODS).name("held").body(patch)).await.unwrap();
        stage.until("all is gone", async || stage.get(&NAMESPACES, "ending").await.is_none()).await;
        assert!(map().await.is_none() && pod().await.is_none());
    })
    .await;
}

async fn ready_set(stage: &Stage, replicas: i64) {
    stage.create(&SETS, &set(replicas)).await;
    let is_ready = async || stage.get(&SETS, "web").await.unwrap()["status"]["readyReplicas"] == replicas;
    stage.until("all pods are ready", is_ready).await;
}

fn budget(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    json!({"metadata": {"name": "b"}, "spec": spec})
}

async fn evict(stage: &Stage, pod: &str) -> Result<Value, Error> {
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": HOME}});
    let request = at(Verb::Create, &PODS).name(pod).subresource("eviction");
    stage.send(request.body(body.to_string())).await
}

#[tokio::test(start_paused = true)]
async fn a_budgets_status_is_filled_in_and_follows_its_pods() {
    play(2, async |stage| {
        stage.create(&BUDGETS, &budget(&json!({"minAvailable": 1}))).await;
        let status = async || stage.get(&BUDGETS, "b").await.unwrap()["status"].clone();
        let is = async |healthy: i64, allowed: i64| {
            let status = status().await;
            status["currentHealthy"] == healthy
                && status["disruptionsAllowed"] == allowed
                && status["observedGeneration"] == 1
        };
        stage.until("nothing is allowed", async || is(0, 0).await).await;
        ready_set(stage, 2).await;
        stage.until("one is allowed", async || is(2, 1).await).await;
        let budget = stage.get(&BUDGETS, "b").await.unwrap();
        assert_eq!((&budget["status"]["desiredHealthy"], &budget["status"]["expectedPods"]), (&json!(1), &json!(2)));
        assert_eq!(condition(&budget, "DisruptionAllowed").unwrap()["reason"], "SufficientPods");
        let patch = json!({"metadata": {"annotations": {"patched": "true"}}, "status": {"disruptionsAllowed": 0}});
        let request = at(Verb::Patch(PatchType::Merge), &BUDGETS).name("b").subresource("status");
        let patched = stage.send(request.body(patch.to_string())).await.unwrap();
        assert_eq!(patched["status"]["disruptionsAllowed"], 0);
        stage.until("the controller knows better", async || is(2, 1).await).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_eviction_waits_until_its_budget_allows_it() {
    play(2, async |stage| {
        ready_set(stage, 3).await;
        stage.create(&BUDGETS, &budget(&json!({"minAvailable": 3}))).await;
        let allowed = async |many: i64| {
            let budget = stage.get(&BUDGETS, "b").await.unwrap();
            budget["status"]["disruptionsAllowed"] == many && budget["status"]["currentHealthy"] == 3
        };
        stage.until("the budget is known", async || allowed(0).await).await;
        let pod = name(&stage.list(&PODS, "app=web").await[0]);
        let refusal = evict(stage, &pod).await.unwrap_err();
        let status = refusal.status().unwrap();
        assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"), "{refusal}");
        let causes = &status.details.as_ref().unwrap().causes;
        assert_eq!(causes[0].reason, "DisruptionBudget");
        assert!(stage.get(&PODS, &pod).await.unwrap()["metadata"]["deletionTimestamp"].is_null());

        stage.patch(&BUDGETS, "b", &json!({"spec": {"minAvailable": 2}})).await;
        stage.until("the budget allows one", async || allowed(1).await).await;
        evict(stage, &pod).await.unwrap();
        stage.until("the pod is gone", async || stage.get(&PODS, &pod).await.is_none()).await;
        stage.until("another has come", async || allowed(1).await).await;
        // Once the budget is gone, so are its limits.
        stage.patch(&BUDGETS, "b", &json!({"spec": {"minAvailable": 3}})).await;
        stage.until("the budget is tight again", async || allowed(0).await).await;
        let pod = name(&stage.list(&PODS, "app=web").await[0]);
        assert!(evict(stage, &pod).await.is_err());
        stage.send(at(Verb::Delete, &BUDGETS).name("b")).await.unwrap();
        evict(stage, &pod).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_preempted_pod_says_who_took_its_place() {
    play(1, async |stage| {
        for (class, value) in [("low", 1), ("high", 1000)] {
            stage.create(&CLASSES, &json!({"metadata": {"name": class}, "value": value})).await;
        }
        let pod = |name: &str, class: &str| {
            let mut pod = template("x", "good:1");
            pod["metadata"]["name"] = json!(name);
            pod["spec"]["priorityClassName"] = json!(class);
            pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "6"}, "limits": {"cpu": "6"}});
            pod
        };
        let mut victim = pod("victim", "low");
        victim["metadata"]["finalizers"] = json!(["example.com/test-finalizer"]);
        stage
            .wait("pods can be created", async || {
                stage.send(at(Verb::Create, &PODS).body(victim.to_string())).await.ok()
            })
            .await;
        let runs =
            async |name: &str| stage.get(&PODS, name).await.is_some_and(|pod| pod["status"]["phase"] == "Running");
        stage.until("the victim runs", async || runs("victim").await).await;
        stage.create(&PODS, &pod("preemptor", "high")).await;
        let found = async || {
            let victim = stage.get(&PODS, "victim").await.unwrap();
            condition(&victim, "DisruptionTarget").cloned()
        };
        let target = stage.wait("the victim is told", found).await;
        assert_eq!(target["reason"], "PreemptionByScheduler");
        let message = target["message"].as_str().unwrap();
        assert_eq!(message, "default-scheduler: preempting to accommodate a higher priority pod");
        let is_going = async || stage.get(&PODS, "victim").await.unwrap()["metadata"]["deletionTimestamp"].is_string();
        stage.until("the victim is to go", is_going).await;
        stage
            .patch(
                &PODS,
                "victim",
                &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/test-finalizer"]}}),
            )
            .await;
        stage.until("the preemptor runs", async || runs("preemptor").await).await;
    })
    .await;
}

fn job(spec: &Value) -> Value {
    let mut job = json!({"metadata": {"name": "j"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "good:1"}]}}}});
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

async fn pods_of_job(stage: &Stage) -> Vec<Value> {
    stage.list(&PODS, "batch.kubernetes.io/job-name=j").await
}

/// The pod of an index that has not ended.
async fn living(stage: &Stage, index: &str) -> Option<Value> {
    let is_over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let is_index = |pod: &Value| pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == index;
    pods_of_job(stage).await.into_iter().find(|pod| !is_over(pod) && (index.is_empty() || is_index(pod)))
}

async fn end(stage: &Stage, pod: &Value, code: i64) -> Result<Value, Error> {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let state = json!({"terminated": {"exitCode": code, "reason": "x", "startedAt": null,
        "finishedAt": meta::time::format(stage.world.env.clock.now())}});
    let status = json!({"name": "c", "state": state, "ready": false, "restartCount": 0, "image": "x", "imageID": "x"});
    stage.tell(&name(pod), &json!({"phase": phase, "containerStatuses": [status]})).await
}

async fn ended_job(stage: &Stage) -> Value {
    let ended = async || {
        let job = stage.get(&JOBS, "j").await.unwrap();
        (condition(&job, "Complete").is_some() || condition(&job, "Failed").is_some()).then_some(job)
    };
    stage.wait("the job ends", ended).await
}

/// Nobody runs these pods but the test: there are no nodes.
#[tokio::test(start_paused = true)]
async fn disruptions_are_no_failures_where_the_policy_says_so() {
    play(0, async |stage| {
        let rule = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
        let spec = json!({"backoffLimit": 0, "completions": 1, "podFailurePolicy": {"rules": [rule]}});
        stage.create(&JOBS, &job(&spec)).await;
        let first = stage.wait("a pod", async || living(stage, "").await).await;
        evict(stage, &name(&first)).await.unwrap();
        let evicted = stage.get(&PODS, &name(&first)).await.unwrap();
        assert_eq!(condition(&evicted, "DisruptionTarget").unwrap()["reason"], "EvictionByEvictionAPI");
        end(stage, &evicted, 137).await.unwrap();
        let again = async || living(stage, "").await.filter(|pod| name(pod) != name(&first));
        let second = stage.wait("another pod", again).await;
        end(stage, &second, 0).await.unwrap();
        let job = ended_job(stage).await;
        assert!(condition(&job, "Complete").is_some(), "{job}");
        assert_eq!((&job["status"]["succeeded"], &job["status"]["failed"]), (&json!(1), &Value::Null));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_index_fails_at_once_where_the_policy_says_so() {
    play(0, async |stage| {
        let rule = json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}});
        let spec = json!({"backoffLimitPerIndex": 1, "completions": 2, "parallelism": 2,
            "completionMode": "Indexed", "podFailurePolicy": {"rules": [rule]}});
        stage.create(&JOBS, &job(&spec)).await;
        for (index, code) in [("0", 42), ("1", 0)] {
            let pod = stage.wait("the index's pod", async || living(stage, index).await).await;
            end(stage, &pod, code).await.unwrap();
        }
        let job = ended_job(stage).await;
        assert_eq!(condition(&job, "Failed").unwrap()["reason"], "FailedIndexes");
        let status = &job["status"];
        assert_eq!((&status["failedIndexes"], &status["completedIndexes"]), (&json!("0"), &json!("1")));
        assert_eq!((&status["failed"], &status["succeeded"]), (&json!(1), &json!(1)), "it was not tried again");
        assert_eq!(pods_of_job(stage).await.len(), 2);
    })
    .await;
}

/// A job that ends as soon as a rule of its success policy holds; gives what it came to.
async fn succeed(stage: &Stage, rule: &Value, succeeding: &[&str]) -> Value {
    let policy = json!({"rules": [rule]});
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": policy});
    stage.create(&JOBS, &job(&spec)).await;
    for index in succeeding {
        let pod = stage.wait("the index's pod", async || living(stage, index).await).await;
        end(stage, &pod, 0).await.unwrap();
    }
    // What the job gives up ends by its kubelet.
    stage
        .until("the rest is given up", async || {
            for pod in pods_of_job(stage).await {
                let is_over = pod["status"]["phase"] == "Succeeded";
                if !is_over && pod["metadata"]["deletionTimestamp"].is_string() {
                    // It may be gone by now.
                    let _ = end(stage, &pod, 137).await;
                }
            }
            let job = stage.get(&JOBS, "j").await.unwrap();
            condition(&job, "Complete").is_some()
        })
        .await;
    ended_job(stage).await
}

#[tokio::test(start_paused = true)]
async fn a_job_succeeds_when_all_indexes_have() {
    play(0, async |stage| {
        let rule = json!({"succeededIndexes": "0-2", "succeededCount": 3});
        let job = succeed(stage, &rule, &["2", "0", "1"]).await;
        assert_eq!(job["status"]["completedIndexes"], "0-2");
        assert!(condition(&job, "SuccessCriteriaMet").is_some());
        assert_eq!((&job["status"]["succeeded"], &job["status"]["ready"]), (&json!(3), &json!(0)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_job_succeeds_when_enough_indexes_have() {
    play(0, async |stage| {
        let job = succeed(stage, &json!({"succeededCount": 1}), &["1"]).await;
        assert_eq!(job["status"]["completedIndexes"], "1");
        assert_eq!(job["status"]["succeeded"], 1);
        for kind in ["SuccessCriteriaMet", "Complete"] {
            assert_eq!(condition(&job, kind).unwrap()["reason"], "SuccessPolicy");
        }
    })
    .await;
}
