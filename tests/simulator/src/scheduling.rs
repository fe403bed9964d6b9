//! Pods of many kinds on few nodes, through crashes and dropped watches: plain ones, pods that keep
//! apart or together, that spread, that evict others, and some that fit nowhere.
//!
//! At every moment no node holds more than it offers, and no two pods that keep apart share one. In
//! the end whoever fits has a place, and those that do not wait quietly.

use crate::chaos::Victim;
use crate::deployment::{Failure, Summary};
use crate::player::{Player, TICK};
use crate::world::{World, supervise};
use client::{PatchType, Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "default";
const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const NODE: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const PRIORITY_CLASS: GroupVersionResource = GroupVersionResource::of("scheduling.k8s.io", "v1", "priorityclasses");
const PODS: &str = "/registry/pods/";
const NODES: &str = "/registry/nodes/";

/// What a node offers (see [`crate::kubelet`]), in thousandths of a processor.
const OFFERED: i64 = 8000;
/// Shorter than the time after which pods are tried again without any news: a missed one shows.
const CONVERGES_WITHIN: Duration = Duration::from_secs(240);
/// Evictions for lost nodes come after five minutes, stale marks of disruption go after two.
const SETTLES_WITHIN: Duration = Duration::from_secs(420);
const IDLE: Duration = Duration::from_secs(900);
/// Events that a pod without a place may cause in that time.
const EVENTS_PER_POD: usize = 4;
/// More pods than this do not wait at once.
const MANY: usize = 40;

/// The kinds of pods, and how often each comes.
const KINDS: &[(u64, &str)] =
    &[(6, "plain"), (3, "apart"), (3, "spread"), (2, "together"), (3, "urgent"), (1, "impossible")];

#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Delete,
    Cordon,
    Uncordon,
    StopNode,
    StartNode,
    Crash(Victim),
    Partition,
}

const STEPS: &[(u64, Step)] = &[
    (10, Step::Create),
    (6, Step::Delete),
    (2, Step::Cordon),
    (2, Step::Uncordon),
    (1, Step::StopNode),
    (2, Step::StartNode),
    (3, Step::Crash(Victim::Server)),
    (4, Step::Crash(Victim::Scheduler)),
    (2, Step::Partition),
];

fn draw<T: Copy>(rng: &base::Rng, weighted: &[(u64, T)]) -> T {
    let total: u64 = weighted.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.u64(0..total);
    for (weight, one) in weighted {
        if left < *weight {
            return *one;
        }
        left -= weight;
    }
    weighted[0].1
}

struct Scenario {
    player: Player,
    nodes: Vec<String>,
    made: u64,
}

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
/// Nearly always, if the scenario is worth anything.
pub async fn run_sabotaged(seed: u64, prints: bool) -> Result<Summary, Failure> {
    run_in(seed, prints, true).await
}

async fn run_in(seed: u64, prints: bool, sabotaged: bool) -> Result<Summary, Failure> {
    let (world, deaths) = match World::start(seed, prints).await {
        Ok(started) => started,
        Err(error) => return Err(Failure { seed, what: error.to_string(), tail: Vec::new() }),
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

async fn play(world: &Arc<World>) -> Result<(), String> {
    let nodes = (1..=4).map(|number| format!("node-{number}")).collect();
    let mut scenario = Scenario { player: Player::new(world), nodes, made: 0 };
    scenario.set_up().await?;
    world.net.chaos.begin();
    for _ in 0..scenario.player.rng.u64(15..40) {
        scenario.wait(Duration::from_millis(scenario.player.rng.u64(100..15_000))).await?;
        scenario.step().await;
    }
    scenario.calm().await;
    scenario.converge().await?;
    scenario.idle().await
}

/// A pod as it was last written.
#[derive(Debug)]
struct Pod {
    name: String,
    kind: String,
    node: String,
    cpu: i64,
    is_over: bool,
    is_deleting: bool,
    is_told: bool,
}

fn read(value: &[u8]) -> Pod {
    let object: Value = serde_json::from_slice(value).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cpu = text(&object["spec"]["containers"][0]["resources"]["requests"]["cpu"]);
    let milli = match cpu.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => cpu.parse::<i64>().unwrap_or(0) * 1000,
    };
    let conditions = object["status"]["conditions"].as_array();
    let is_told = |one: &Value| one["type"] == "PodScheduled" && one["reason"] == "Unschedulable";
    Pod {
        name: text(&object["metadata"]["name"]),
        kind: text(&object["metadata"]["labels"]["kind"]),
        node: text(&object["spec"]["nodeName"]),
        cpu: milli,
        is_over: matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded")),
        is_deleting: !object["metadata"]["deletionTimestamp"].is_null(),
        is_told: conditions.into_iter().flatten().any(is_told),
    }
}

fn pods(world: &World) -> Vec<Pod> {
    world.net.ledger.values(&format!("{PODS}{NAMESPACE}/")).iter().map(|value| read(value)).collect()
}

/// What each node has left.
fn room(pods: &[Pod], nodes: &[String]) -> BTreeMap<String, i64> {
    let mut room: BTreeMap<String, i64> = nodes.iter().map(|name| (name.clone(), OFFERED)).collect();
    for pod in pods.iter().filter(|pod| !pod.is_over && !pod.node.is_empty()) {
        *room.entry(pod.node.clone()).or_insert(OFFERED) -= pod.cpu;
    }
    room
}

/// The rules of every moment.
fn check(world: &World) -> Option<String> {
    let pods = pods(world);
    if let Some((node, left)) = room(&pods, &[]).iter().find(|(_, left)| **left < 0) {
        return Some(format!("{node} is overcommitted by {}m", -left));
    }
    let mut apart: BTreeMap<&str, &str> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.kind == "apart" && !pod.is_over && !pod.node.is_empty()) {
        if let Some(other) = apart.insert(&pod.node, &pod.name) {
            return Some(format!("{} and {other}, which keep apart, are both on {}", pod.name, pod.node));
        }
    }
    None
}

impl Scenario {
    async fn wait(&self, how_long: Duration) -> Result<(), String> {
        let world = self.player.world.clone();
        self.player.wait(how_long, &move || check(&world)).await
    }

    async fn set_up(&self) -> Result<(), String> {
        let world = &self.player.world;
        self.nodes.iter().for_each(|name| world.start_node(name));
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"},
            "value": 1000,
        });
        self.player.insist(Request::new(Verb::Create, PRIORITY_CLASS).body(class.to_string())).await;
        while world.net.ledger.values(NODES).len() < self.nodes.len() {
            self.wait(TICK).await?;
        }
        for (number, name) in self.nodes.iter().enumerate() {
            let zone = if number % 2 == 0 { "even" } else { "odd" };
            self.patch_node(name, json!({"metadata": {"labels": {"zone": zone}}})).await;
        }
        Ok(())
    }

    async fn patch_node(&self, name: &str, patch: Value) {
        let request = Request::new(Verb::Patch(PatchType::Merge), NODE).name(name).body(patch.to_string());
        self.player.insist(request).await;
    }

    async fn step(&mut self) {
        let step = draw(&self.player.rng, STEPS);
        let world = self.player.world.clone();
        world.net.ledger.note(&format!("step {step:?}"));
        let node = self.nodes[self.player.rng.usize(0..self.nodes.len())].clone();
        match step {
            Step::Create => {
                for _ in 0..self.player.rng.u64(1..8) {
                    self.create().await;
                }
            }
            Step::Delete => self.delete_some().await,
            Step::Cordon => self.patch_node(&node, json!({"spec": {"unschedulable": true}})).await,
            Step::Uncordon => self.patch_node(&node, json!({"spec": {"unschedulable": null}})).await,
            Step::StopNode => world.stop(&node).await,
            Step::StartNode => self.start_nodes(),
            Step::Crash(victim) => world.net.chaos.arm(victim),
            Step::Partition => {
                let how_long = Duration::from_millis(self.player.rng.u64(500..20_000));
                world.net.chaos.partition("scheduler", how_long);
            }
        }
    }

    fn start_nodes(&self) {
        let world = &self.player.world;
        self.nodes.iter().filter(|name| !world.is_running(name)).for_each(|name| world.start_node(name));
    }

    async fn create(&mut self) {
        if pods(&self.player.world).iter().filter(|pod| pod.node.is_empty()).count() > MANY {
            return;
        }
        self.made += 1;
        let kind = draw(&self.player.rng, KINDS);
        let cpu = match kind {
            "impossible" => "20".to_owned(),
            "urgent" => "4".to_owned(),
            _ => format!("{}m", self.player.rng.u64(1..7) * 500),
        };
        let same = json!({"matchLabels": {"kind": kind}});
        let near = |selector: &Value| {
            json!({"requiredDuringSchedulingIgnoredDuringExecution":
                [{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]})
        };
        let mut spec = json!({
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "c", "image": "good:1", "resources": {"requests": {"cpu": cpu}}}],
        });
        match kind {
            "apart" => spec["affinity"] = json!({"podAntiAffinity": near(&same)}),
            "together" => spec["affinity"] = json!({"podAffinity": near(&same)}),
            "spread" => {
                spec["topologySpreadConstraints"] = json!([{
                    "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": same,
                }]);
            }
            "urgent" => spec["priorityClassName"] = json!("urgent"),
            _ => {}
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{kind}-{}", self.made), "namespace": NAMESPACE, "labels": {"kind": kind}},
            "spec": spec,
        });
        self.player.insist(Request::new(Verb::Create, POD).namespace(NAMESPACE).body(pod.to_string())).await;
    }

    async fn delete_some(&self) {
        let mut pods = pods(&self.player.world);
        self.player.rng.shuffle(&mut pods);
        for pod in pods.iter().take(self.player.rng.usize(1..6)) {
            self.player.insist(Request::new(Verb::Delete, POD).namespace(NAMESPACE).name(&pod.name)).await;
        }
    }

    /// No more faults, and every node may be used.
    async fn calm(&self) {
        let world = &self.player.world;
        world.net.ledger.note("calm");
        world.net.chaos.calm();
        self.start_nodes();
        for name in &self.nodes {
            self.patch_node(name, json!({"spec": {"unschedulable": null}})).await;
        }
    }

    async fn converge(&self) -> Result<(), String> {
        let mut missing = None;
        for _ in 0..CONVERGES_WITHIN.as_secs() {
            self.wait(TICK).await?;
            missing = self.unfinished();
            if missing.is_none() {
                return Ok(());
            }
        }
        Err(format!("no end within {CONVERGES_WITHIN:?}: {}", missing.unwrap_or_default()))
    }

    /// Who could have a place and has none, or was not told why.
    fn unfinished(&self) -> Option<String> {
        let pods = pods(&self.player.world);
        let room = room(&pods, &self.nodes);
        let most = room.values().copied().max().unwrap_or(0);
        if let Some(pod) = pods.iter().find(|pod| pod.is_deleting) {
            return Some(format!("{} is being deleted and never goes", pod.name));
        }
        for pod in pods.iter().filter(|pod| pod.node.is_empty() && !pod.is_over) {
            if matches!(pod.kind.as_str(), "plain" | "urgent") && pod.cpu <= most {
                return Some(format!("{} waits, and {most}m are free: {room:?}", pod.name));
            }
            if !pod.is_told {
                return Some(format!("{} waits and was not told why", pod.name));
            }
        }
        None
    }

    /// Nothing changes: pods that wait may be tried again now and then, no more.
    async fn idle(&self) -> Result<(), String> {
        self.wait(SETTLES_WITHIN).await?;
        let ledger = &self.player.world.net.ledger;
        ledger.note("idle");
        let before = ledger.seen();
        self.wait(IDLE).await?;
        let waiting = pods(&self.player.world).iter().filter(|pod| pod.node.is_empty() && !pod.is_over).count();
        let mut events = 0;
        for written in ledger.since(before) {
            let key = &written.key;
            let is_sign_of_life = key.starts_with("/registry/coordination.k8s.io/leases/") || key.starts_with(NODES);
            if key.starts_with("/registry/events/") {
                events += 1;
            } else if !is_sign_of_life {
                return Err(format!("{key} was written while nothing happened"));
            }
        }
        match events <= waiting * EVENTS_PER_POD {
            true => Ok(()),
            false => Err(format!("{events} events about {waiting} waiting pods while nothing happened")),
        }
    }
}
