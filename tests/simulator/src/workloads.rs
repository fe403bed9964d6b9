//! A DaemonSet, a StatefulSet and Jobs through crashes, dropped watches and lost nodes.
//!
//! At every moment a node has no more daemons than a surge allows, and a Job no more pods under way than
//! it may, but for those whose creation was not answered. In the end all is as wanted, no pod that
//! a Job ever made is counted twice, none that ended is left out, and nobody writes.

use crate::chaos::Victim;
use crate::deployment::{Failure, Summary};
use crate::player::{Player, TICK};
use crate::world::{World, supervise};
use client::{PatchType, Request, Verb};
use meta::{GroupVersionResource, conditions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "default";
const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const NODE: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const DAEMON_SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "daemonsets");
const STATEFUL_SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "statefulsets");
const JOB: GroupVersionResource = GroupVersionResource::of("batch", "v1", "jobs");
const PODS: &str = "/registry/pods/default/";
const NODES: &str = "/registry/nodes/";

/// Failed pods of Jobs are tried again after up to ten minutes.
const CONVERGES_WITHIN: Duration = Duration::from_secs(7200);
const SETTLES_WITHIN: Duration = Duration::from_secs(420);
const IDLE: Duration = Duration::from_secs(600);
const COMPLETIONS: i64 = 12;
const PARALLELISM: usize = 4;
/// Pods made twice over a whole run.
const SURPLUS: i64 = 12;
/// Creations that may be under way again because an answer was lost.
const UNSURE: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Step {
    RollDaemons,
    RollMembers,
    ScaleMembers,
    DeletePod,
    StopNode,
    StartNode,
    DeleteNode,
    Crash(Victim),
    Partition,
}

const STEPS: &[(u64, Step)] = &[
    (4, Step::RollDaemons),
    (4, Step::RollMembers),
    (4, Step::ScaleMembers),
    (6, Step::DeletePod),
    (2, Step::StopNode),
    (3, Step::StartNode),
    (1, Step::DeleteNode),
    (4, Step::Crash(Victim::Server)),
    (6, Step::Crash(Victim::Controllers)),
    (2, Step::Crash(Victim::Scheduler)),
    (3, Step::Partition),
];

struct Scenario {
    player: Player,
    nodes: Vec<String>,
    versions: u64,
    members: i64,
}

/// Runs the scenario in a world of its own; needs a current-thread runtime with paused time.
///
/// # Errors
/// A rule was broken.
pub async fn run(seed: u64, prints: bool) -> Result<Summary, Failure> {
    let (world, deaths) = match World::start(seed, prints).await {
        Ok(started) => started,
        Err(error) => return Err(Failure { seed, what: error.to_string(), tail: Vec::new() }),
    };
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

async fn play(world: &Arc<World>) -> Result<(), String> {
    let nodes = (1..=3).map(|number| format!("node-{number}")).collect();
    let mut scenario = Scenario { player: Player::new(world), nodes, versions: 1, members: 3 };
    scenario.set_up().await?;
    world.net.chaos.begin();
    for _ in 0..scenario.player.rng.u64(8..20) {
        scenario.wait(Duration::from_millis(scenario.player.rng.u64(500..30_000))).await?;
        scenario.step().await;
    }
    scenario.calm().await;
    scenario.converge().await?;
    scenario.idle().await
}

fn objects(world: &World, prefix: &str) -> Vec<Value> {
    world.net.ledger.values(prefix).iter().map(|value| serde_json::from_slice(value).unwrap_or_default()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The workload a pod belongs to, by the label that the scenario gives.
fn app(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["app"])
}

fn is_active(pod: &Value) -> bool {
    let over = matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded");
    !over && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    is_active(pod) && conditions::is_true(&pod["status"]["conditions"], "Ready")
}

/// The rules of every moment.
fn check(world: &World) -> Option<String> {
    let pods = objects(world, PODS);
    let mut daemons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut working: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        match app(pod) {
            "daemon" if !text(&pod["spec"]["nodeName"]).is_empty() => {
                *daemons.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
            }
            job @ ("count" | "index") => *working.entry(job).or_default() += 1,
            _ => {}
        }
    }
    if let Some((node, many)) = daemons.iter().find(|(_, many)| **many > 1 + UNSURE) {
        return Some(format!("{node} has {many} daemons"));
    }
    let (job, many) = working.iter().find(|(_, many)| **many > PARALLELISM + UNSURE)?;
    Some(format!("{many} pods of {job} are under way"))
}

fn workload(kind: &str, version: &str, name: &str, spec: Value, image: &str) -> Value {
    let mut object = json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    });
    object["spec"]["template"]["metadata"] = json!({"labels": {"app": name}});
    let pod = &mut object["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(5);
    pod["containers"] = json!([{"name": "c", "image": image, "resources": {"requests": {"cpu": "100m"}}}]);
    object
}

impl Scenario {
    async fn wait(&self, how_long: Duration) -> Result<(), String> {
        let world = self.player.world.clone();
        self.player.wait(how_long, &move || check(&world)).await
    }

    async fn create(&self, resource: &GroupVersionResource, object: Value) {
        let create = Request::new(Verb::Create, resource.clone()).namespace(NAMESPACE);
        self.player.insist(create.body(object.to_string())).await;
    }

    async fn set_up(&self) -> Result<(), String> {
        let world = &self.player.world;
        self.nodes.iter().for_each(|name| world.start_node(name));
        while world.net.ledger.values(NODES).len() < self.nodes.len() {
            self.wait(TICK).await?;
        }
        let surges = self.player.rng.chance(0.5);
        let rolling = json!({"maxSurge": i64::from(surges), "maxUnavailable": i64::from(!surges)});
        let select = |name: &str| json!({"matchLabels": {"app": name}});
        let spec = json!({
            "selector": select("daemon"), "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        });
        self.create(&DAEMON_SET, workload("DaemonSet", "apps/v1", "daemon", spec, "good:1")).await;
        let policy = if self.player.rng.chance(0.5) { "OrderedReady" } else { "Parallel" };
        let spec = json!({
            "selector": select("member"), "serviceName": "member", "replicas": self.members,
            "podManagementPolicy": policy,
        });
        self.create(&STATEFUL_SET, workload("StatefulSet", "apps/v1", "member", spec, "good:1")).await;
        for (name, mode) in [("count", "NonIndexed"), ("index", "Indexed")] {
            let mut spec = json!({
                "completions": COMPLETIONS, "parallelism": PARALLELISM, "backoffLimit": 100_000, "completionMode": mode,
            });
            spec["template"]["spec"]["restartPolicy"] = json!("Never");
            self.create(&JOB, workload("Job", "batch/v1", name, spec, "done:1")).await;
        }
        Ok(())
    }

    async fn patch(&self, resource: &GroupVersionResource, name: &str, spec: Value) {
        let patch = Request::new(Verb::Patch(PatchType::Strategic), resource.clone()).namespace(NAMESPACE).name(name);
        self.player.insist(patch.body(json!({"spec": spec}).to_string())).await;
    }

    async fn roll(&mut self, resource: &GroupVersionResource, name: &str) {
        self.versions += 1;
        let image = format!("good:{}", self.versions);
        self.patch(resource, name, json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}))
            .await;
    }

    async fn step(&mut self) {
        let total: u64 = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.player.rng.u64(0..total);
        for (weight, step) in STEPS {
            if left < *weight {
                self.player.world.net.ledger.note(&format!("step {step:?}"));
                return self.take(*step).await;
            }
            left -= weight;
        }
    }

    async fn take(&mut self, step: Step) {
        let world = self.player.world.clone();
        let node = self.nodes[self.player.rng.usize(0..self.nodes.len())].clone();
        match step {
            Step::RollDaemons => self.roll(&DAEMON_SET, "daemon").await,
            Step::RollMembers => self.roll(&STATEFUL_SET, "member").await,
            Step::ScaleMembers => {
                self.members = i64::try_from(self.player.rng.u64(0..6)).unwrap_or(0);
                self.patch(&STATEFUL_SET, "member", json!({"replicas": self.members})).await;
            }
            Step::DeletePod => {
                let pods = objects(&world, PODS);
                if !pods.is_empty() {
                    let pod = &pods[self.player.rng.usize(0..pods.len())];
                    let delete = Request::new(Verb::Delete, POD).namespace(NAMESPACE);
                    self.player.insist(delete.name(text(&pod["metadata"]["name"]))).await;
                }
            }
            Step::StopNode => world.stop(&node).await,
            Step::StartNode => self.start_nodes(),
            Step::DeleteNode => {
                world.stop(&node).await;
                self.player.insist(Request::new(Verb::Delete, NODE).name(node)).await;
            }
            Step::Crash(victim) => world.net.chaos.arm(victim),
            Step::Partition => {
                let how_long = Duration::from_millis(self.player.rng.u64(500..20_000));
                world.net.chaos.partition("controllers", how_long);
            }
        }
    }

    fn start_nodes(&self) {
        let world = &self.player.world;
        self.nodes.iter().filter(|name| !world.is_running(name)).for_each(|name| world.start_node(name));
    }

    async fn calm(&self) {
        self.player.world.net.ledger.note("calm");
        self.player.world.net.chaos.calm();
        self.start_nodes();
    }

    async fn converge(&self) -> Result<(), String> {
        let mut missing = None;
        for _ in 0..CONVERGES_WITHIN.as_secs() {
            self.wait(TICK).await?;
            missing = self.unfinished()?;
            if missing.is_none() {
                return Ok(());
            }
        }
        Err(format!("no end within {CONVERGES_WITHIN:?}: {}", missing.unwrap_or_default()))
    }

    /// What is still missing; an error if it will never be right.
    fn unfinished(&self) -> Result<Option<String>, String> {
        let pods = objects(&self.player.world, PODS);
        let world = &self.player.world;
        for (prefix, name, wanted) in [
            ("/registry/apps/daemonsets/default/daemon", "daemon", i64::try_from(self.nodes.len()).unwrap_or(0)),
            ("/registry/apps/statefulsets/default/member", "member", self.members),
        ] {
            let object = objects(world, prefix).pop().unwrap_or_default();
            let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
            let own: Vec<&Value> = pods.iter().filter(|pod| app(pod) == name).collect();
            let newest =
                own.iter().filter(|pod| is_ready(pod) && pod["spec"]["containers"][0]["image"] == *image).count();
            if i64::try_from(newest) != Ok(wanted) || own.len() != newest {
                return Ok(Some(format!(
                    "{newest} of {} pods of {name} are new and ready, {wanted} wanted",
                    own.len()
                )));
            }
            let fields: &[&str] = match name {
                "daemon" => &["numberAvailable", "updatedNumberScheduled", "desiredNumberScheduled"],
                _ => &["readyReplicas", "updatedReplicas", "currentReplicas", "availableReplicas"],
            };
            let status = |field: &str| object["status"][field].as_i64().unwrap_or(0);
            if let Some(field) = fields.iter().find(|field| status(field) != wanted) {
                return Ok(Some(format!("status.{field} of {name} is {} of {wanted}", status(field))));
            }
        }
        for name in ["count", "index"] {
            let job = objects(world, &format!("/registry/batch/jobs/default/{name}")).pop().unwrap_or_default();
            if !conditions::is_true(&job["status"]["conditions"], "Complete") {
                return Ok(Some(format!("{name} is not complete: {}", job["status"])));
            }
            self.check_counts(name, &job["status"])?;
        }
        Ok(None)
    }

    /// Every pod that was ever made is counted, none twice, but for those that were too many.
    fn check_counts(&self, name: &str, status: &Value) -> Result<(), String> {
        let prefix = format!("{PODS}{name}-");
        let history = self.player.world.net.ledger.since(0);
        let made: BTreeSet<&str> =
            history.iter().map(|written| written.key.as_ref()).filter(|key| key.starts_with(&prefix)).collect();
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let counted = number("succeeded") + number("failed");
        if status["uncountedTerminatedPods"].as_object().is_some_and(|lists| !lists.is_empty()) {
            return Err(format!("{name} is complete, and not all is counted: {status}"));
        }
        match name {
            "index" if status["completedIndexes"] != format!("0-{}", COMPLETIONS - 1) => {
                Err(format!("{name} is complete without all its indexes: {status}"))
            }
            // Those that were one too many are ended without being counted.
            "count" if !(0..=SURPLUS).contains(&(i64::try_from(made.len()).unwrap_or(i64::MAX) - counted)) => {
                Err(format!("{name} made {} pods and counted {counted}: {status}", made.len()))
            }
            _ => Ok(()),
        }
    }

    /// Nothing changes, so nothing may be written but signs of life.
    async fn idle(&self) -> Result<(), String> {
        self.wait(SETTLES_WITHIN).await?;
        let ledger = &self.player.world.net.ledger;
        ledger.note("idle");
        let before = ledger.seen();
        self.wait(IDLE).await?;
        let signs = ["/registry/coordination.k8s.io/leases/", NODES, "/registry/events/"];
        let written = ledger.since(before);
        let mut others = written.iter().filter(|one| !signs.iter().any(|prefix| one.key.starts_with(prefix)));
        others.next().map_or(Ok(()), |first| Err(format!("{} was written while nothing happened", first.key)))
    }
}
