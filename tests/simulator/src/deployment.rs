//! A Deployment through crashes and dropped watches: rolled, scaled, paused, rolled back, its pods
//! and nodes taken away, by seed. Then quiet: it must converge, and then nobody may write.

use crate::chaos::Victim;
use crate::judge::{DEPLOYMENTS, PODS, SETS};
use crate::recorder::Recorder;
use crate::world::{BuildError, World, supervise};
use base::Rng;
use client::{Api, Error, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "default";
const NAME: &str = "web";
const DEPLOYMENT: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "replicasets");
const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const NODE: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");

/// After the last fault the Deployment must be as wanted within this.
const CONVERGES_WITHIN: Duration = Duration::from_secs(900);
/// Then late events may still come.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(300);
/// Lines of trace in that time: heartbeats of three nodes, and watches that are renewed.
const IDLE_LINES: u64 = 800;
const TICK: Duration = Duration::from_secs(1);

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub seed: u64,
    /// Of the trace: the same seed has the same.
    pub hash: u64,
    pub writes: u64,
}

/// What was wrong, and what happened just before.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    pub what: String,
    pub tail: Vec<String>,
}

struct Scenario {
    world: Arc<World>,
    rng: Rng,
    user: Arc<dyn Api>,
    nodes: Vec<String>,
    versions: u64,
}

/// One step of the user, or of fate.
#[derive(Debug, Clone, Copy)]
enum Step {
    Roll,
    RollBad,
    RollBack,
    Scale,
    Strategy,
    Pause,
    Resume,
    DeletePod,
    StopNode,
    StartNode,
    DeleteNode,
    Crash(Victim),
    Partition(&'static str),
}

/// All steps and how often each comes.
const STEPS: &[(u64, Step)] = &[
    (6, Step::Roll),
    (2, Step::RollBad),
    (2, Step::RollBack),
    (4, Step::Scale),
    (2, Step::Strategy),
    (1, Step::Pause),
    (3, Step::Resume),
    (4, Step::DeletePod),
    (2, Step::StopNode),
    (3, Step::StartNode),
    (1, Step::DeleteNode),
    (4, Step::Crash(Victim::Server)),
    (4, Step::Crash(Victim::Controllers)),
    (3, Step::Crash(Victim::Scheduler)),
    (2, Step::Partition("controllers")),
    (1, Step::Partition("scheduler")),
];

/// Runs the scenario in a world of its own; needs a current-thread runtime with paused time.
///
/// # Errors
/// A rule was broken.
pub async fn run(seed: u64, prints: bool) -> Result<Summary, Failure> {
    run_in(seed, prints, false).await
}

/// The same where watches lose events, which no client can make up for.
///
/// # Errors
/// Always, if the simulator is worth anything.
pub async fn run_sabotaged(seed: u64, prints: bool) -> Result<Summary, Failure> {
    run_in(seed, prints, true).await
}

async fn run_in(seed: u64, prints: bool, sabotaged: bool) -> Result<Summary, Failure> {
    let (world, deaths) = match World::start(seed, prints).await {
        Ok(started) => started,
        Err(error) => return Err(failed_build(seed, &error)),
    };
    if sabotaged {
        world.net.chaos.sabotage();
    }
    let outcome = tokio::select! {
        biased;
        outcome = play(&world) => outcome,
        () = supervise(&world, deaths) => Err("the supervisor ended".to_owned()),
    };
    world.env.tasks.stop().await;
    let ledger = &world.net.ledger;
    match outcome.err().or_else(|| ledger.first_wrong()) {
        Some(what) => Err(Failure { seed, what, tail: ledger.tail() }),
        None => Ok(Summary { seed, hash: ledger.hash(), writes: ledger.seen() }),
    }
}

fn failed_build(seed: u64, error: &BuildError) -> Failure {
    Failure { seed, what: error.to_string(), tail: Vec::new() }
}

async fn play(world: &Arc<World>) -> Result<(), String> {
    let mut scenario = Scenario {
        rng: world.env.rng.fork(),
        user: world.admin("user"),
        nodes: (1..=3).map(|number| format!("node-{number}")).collect(),
        versions: 1,
        world: world.clone(),
    };
    scenario.nodes.iter().for_each(|name| world.start_node(name));
    let recorders =
        [(POD, PODS), (SET, SETS), (DEPLOYMENT, DEPLOYMENTS)].map(|(of, prefix)| Recorder::start(world, of, prefix));
    scenario.create().await;
    world.net.chaos.begin();
    for _ in 0..scenario.rng.u64(8..16) {
        scenario.wait(Duration::from_millis(scenario.rng.u64(500..40_000))).await?;
        scenario.step().await;
    }
    scenario.calm().await;
    scenario.converge().await?;
    scenario.idle().await?;
    match recorders.iter().find_map(|recorder| recorder.verdict(world)) {
        Some(wrong) => Err(wrong),
        None => scenario.compare().await,
    }
}

impl Scenario {
    /// Lets time pass, unless something is wrong already.
    async fn wait(&self, mut how_long: Duration) -> Result<(), String> {
        while !how_long.is_zero() {
            let tick = how_long.min(TICK);
            self.world.env.clock.sleep(tick).await;
            how_long -= tick;
            if let Some(wrong) = self.world.net.ledger.first_wrong() {
                return Err(wrong);
            }
            let panicked = self.world.env.tasks.failed();
            if self.world.env.clock.timeout(Duration::ZERO, panicked).await.is_ok() {
                return Err("a task panicked".to_owned());
            }
        }
        Ok(())
    }

    async fn create(&mut self) {
        let replicas = self.rng.u64(3..9);
        let rolling = self.rolling();
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": NAME}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {
                        "terminationGracePeriodSeconds": 5,
                        "containers": [{
                            "name": "web", "image": "good:1",
                            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                        }],
                    },
                },
            },
        });
        let create = Request::new(Verb::Create, DEPLOYMENT).namespace(NAMESPACE).body(deployment.to_string());
        self.insist(create).await;
    }

    fn rolling(&self) -> Value {
        let surge = self.rng.u64(0..4);
        let unavailable = self.rng.u64(u64::from(surge == 0)..3);
        match self.rng.u64(0..4) {
            0 => json!({"maxSurge": "25%", "maxUnavailable": "25%"}),
            1 => json!({"maxSurge": format!("{}%", surge * 20), "maxUnavailable": unavailable}),
            _ => json!({"maxSurge": surge, "maxUnavailable": unavailable}),
        }
    }

    /// Sends a request until it is done; what is done already is as good.
    async fn insist(&self, request: Request) -> Option<Response> {
        for _ in 0..10_000 {
            match self.user.call(request.clone()).await {
                Ok(response) => return Some(response),
                Err(error) if is_settled(&error) => return None,
                Err(_) => self.world.env.clock.sleep(Duration::from_millis(200)).await,
            }
        }
        self.world.net.ledger.wrong("the user got no answer in half an hour".to_owned());
        None
    }

    async fn patch(&self, spec: Value) {
        let patch = Request::new(Verb::Patch(PatchType::Strategic), DEPLOYMENT).namespace(NAMESPACE).name(NAME);
        self.insist(patch.body(json!({"spec": spec}).to_string())).await;
    }

    async fn set_image(&self, image: String) {
        self.patch(json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}})).await;
    }

    async fn step(&mut self) {
        let total: u64 = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut draw = self.rng.u64(0..total);
        for (weight, step) in STEPS {
            if draw < *weight {
                self.world.net.ledger.note(&format!("step {step:?}"));
                return self.take(*step).await;
            }
            draw -= weight;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Roll => {
                self.versions += 1;
                self.set_image(format!("good:{}", self.versions)).await;
            }
            Step::RollBad => self.set_image(format!("bad:{}", self.versions)).await,
            Step::RollBack => self.set_image(format!("good:{}", self.rng.u64(1..=self.versions))).await,
            Step::Scale => self.patch(json!({"replicas": self.rng.u64(3..9)})).await,
            Step::Strategy => self.patch(json!({"strategy": {"rollingUpdate": self.rolling()}})).await,
            Step::Pause => self.patch(json!({"paused": true})).await,
            Step::Resume => self.patch(json!({"paused": false})).await,
            Step::DeletePod => self.delete_pod().await,
            Step::StopNode => self.stop_node(&self.any_node()).await,
            Step::StartNode => self.start_nodes(),
            Step::DeleteNode => {
                let node = self.any_node();
                self.stop_node(&node).await;
                self.insist(Request::new(Verb::Delete, NODE).name(node)).await;
            }
            Step::Crash(victim) => self.world.net.chaos.arm(victim),
            Step::Partition(component) => {
                let how_long = Duration::from_millis(self.rng.u64(500..20_000));
                self.world.net.chaos.partition(component, how_long);
            }
        }
    }

    fn any_node(&self) -> String {
        self.nodes[self.rng.usize(0..self.nodes.len())].clone()
    }

    async fn delete_pod(&self) {
        let pods =
            self.world.net.ledger.judge(|judge, _| {
                judge.pods.iter().map(|(key, pod)| (key.clone(), pod.uid.clone())).collect::<Vec<_>>()
            });
        if pods.is_empty() {
            return;
        }
        let (key, uid) = &pods[self.rng.usize(0..pods.len())];
        self.world.net.ledger.judge(|judge, _| judge.doom(uid));
        let name = key.rsplit('/').next().unwrap_or_default();
        let body = json!({"preconditions": {"uid": uid}}).to_string();
        self.insist(Request::new(Verb::Delete, POD).namespace(NAMESPACE).name(name).body(body)).await;
    }

    async fn stop_node(&self, name: &str) {
        self.world.net.ledger.judge(|judge, _| judge.lose_node(name, true));
        self.world.stop(name).await;
    }

    fn start_nodes(&self) {
        for name in self.nodes.iter().filter(|name| !self.world.is_running(name)) {
            self.world.start_node(name);
        }
    }

    /// No more faults: everything runs, and the user wants something that can be had.
    async fn calm(&self) {
        self.world.net.ledger.note("calm");
        self.world.net.chaos.calm();
        self.start_nodes();
        self.patch(json!({"paused": false})).await;
        self.set_image(format!("good:{}", self.versions)).await;
    }

    async fn converge(&self) -> Result<(), String> {
        let mut missing = None;
        for _ in 0..CONVERGES_WITHIN.as_secs() {
            self.wait(TICK).await?;
            missing = self.world.net.ledger.judge(|judge, now| judge.unfinished(now));
            if missing.is_none() {
                return Ok(());
            }
        }
        Err(format!("no end within {CONVERGES_WITHIN:?}: {}", missing.unwrap_or_default()))
    }

    /// Nothing changes, so nothing may be written but signs of life.
    async fn idle(&self) -> Result<(), String> {
        self.wait(SETTLES_WITHIN).await?;
        self.world.net.ledger.note("idle");
        let (before, lines) = (self.world.net.ledger.seen(), self.world.net.ledger.lines());
        self.wait(IDLE).await?;
        let allowed = ["/registry/coordination.k8s.io/leases/", "/registry/nodes/"];
        let written = self.world.net.ledger.since(before);
        let mut others = written.iter().filter(|one| !allowed.iter().any(|prefix| one.key.starts_with(prefix)));
        match others.next() {
            None => match self.world.net.ledger.lines() - lines {
                few if few <= IDLE_LINES => Ok(()),
                many => Err(format!("{many} requests and writes while nothing happened")),
            },
            Some(first) => Err(format!("{} was written while nothing happened", first.key)),
        }
    }

    /// What the server shows is what was written.
    async fn compare(&self) -> Result<(), String> {
        for (resource, prefix) in [(POD, PODS), (SET, SETS), (DEPLOYMENT, DEPLOYMENTS)] {
            let request = Request::new(Verb::List, resource.clone()).namespace(NAMESPACE);
            let Some(Response::List(list)) = self.insist(request).await else {
                return Err(format!("cannot list {}", resource.resource));
            };
            let shown: Vec<u64> = list.items.iter().map(|item| version(item)).collect();
            let written: Vec<u64> = self.world.net.ledger.under(prefix).into_values().collect();
            if shown != written {
                return Err(format!("{} at {shown:?} are shown, at {written:?} were written", resource.resource));
            }
        }
        Ok(())
    }
}

fn version(object: &[u8]) -> u64 {
    let object: Value = serde_json::from_slice(object).unwrap_or_default();
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Trying again would not change the answer.
fn is_settled(error: &Error) -> bool {
    [Reason::AlreadyExists, Reason::NotFound, Reason::Conflict, Reason::Invalid, Reason::BadRequest]
        .into_iter()
        .any(|reason| error.is(reason))
}
