//! Pods of many kinds on few nodes, through crashes and dropped watches: plain ones, pods that keep
//! apart or together, that spread, that evict others, and some that fit nowhere.
//!
//! At every moment no node holds more than it offers, and no two pods that keep apart share one. In
//! the end whoever fits has a place, and those that do not wait quietly.

use super::beyond_events;
use crate::chaos::Victim;
use crate::ledger::{Ledger, Written};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{Fault, Scenario, draw};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const PRIORITY_CLASS: GroupVersionResource = GroupVersionResource::of("scheduling.k8s.io", "v1", "priorityclasses");
const PODS: &str = "/registry/pods/default/";

/// What a node offers (see [`crate::kubelet`]), in thousandths of a processor.
const OFFERED: i64 = 8000;
/// More pods than this do not wait at once.
const MANY: usize = 40;

/// The kinds of pods, and how often each comes.
const KINDS: &[(u64, &str)] =
    &[(6, "plain"), (3, "apart"), (3, "spread"), (2, "together"), (3, "urgent"), (1, "impossible")];

pub(super) struct Scheduling {
    made: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Create,
    Delete,
    Cordon,
    Uncordon,
}

impl Scenario for Scheduling {
    type Step = Step;

    const NODES: usize = 4;
    const STEPS: &'static [(u64, Step)] =
        &[(10, Step::Create), (6, Step::Delete), (2, Step::Cordon), (2, Step::Uncordon)];
    const FAULTS: &'static [(u64, Fault)] = &[
        (3, Fault::Crash(Victim::Server)),
        (4, Fault::Crash(Victim::Scheduler)),
        (3, Fault::Partition),
        (1, Fault::StopNode),
        (2, Fault::StartNodes),
        (1, Fault::JumpClock),
    ];
    const ROUNDS: Range<u64> = 15..40;
    const PAUSE: Range<u64> = 100..15_000;
    /// Shorter than the time after which pods are tried again without any news: a missed one shows.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(240);
    const IDLE: Duration = Duration::from_secs(900);

    async fn start(player: &Player) -> Result<Self, String> {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"},
            "value": 1000,
        });
        player.create(&PRIORITY_CLASS, &class).await;
        for (number, name) in player.nodes.iter().enumerate() {
            let zone = if number % 2 == 0 { "even" } else { "odd" };
            player.patch_node(name, json!({"metadata": {"labels": {"zone": zone}}})).await;
        }
        Ok(Scheduling { made: 0 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let node = player.any_node();
        match step {
            Step::Create => {
                for _ in 0..player.rng.u64(1..8) {
                    self.create(player).await;
                }
            }
            Step::Delete => {
                let mut pods = pods(&player.world.net.ledger);
                player.rng.shuffle(&mut pods);
                for pod in pods.iter().take(player.rng.usize(1..6)) {
                    player.delete(&POD, &pod.name).await;
                }
            }
            Step::Cordon => player.patch_node(node, json!({"spec": {"unschedulable": true}})).await,
            Step::Uncordon => player.patch_node(node, json!({"spec": {"unschedulable": null}})).await,
        }
    }

    fn check(&self, ledger: &Ledger) -> Option<String> {
        check(ledger)
    }

    async fn calm(&mut self, player: &Player) {
        for name in &player.nodes {
            player.patch_node(name, json!({"spec": {"unschedulable": null}})).await;
        }
    }

    /// Who could have a place and has none.
    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let pods = pods(&player.world.net.ledger);
        let room = room(&pods, &player.nodes);
        let most = room.values().copied().max().unwrap_or(0);
        if let Some(pod) = pods.iter().find(|pod| pod.is_deleting) {
            return Ok(Some(format!("{} is being deleted and never goes", pod.name)));
        }
        for pod in pods.iter().filter(|pod| pod.node.is_empty() && !pod.is_over) {
            if matches!(pod.kind.as_str(), "plain" | "urgent") && pod.cpu <= most {
                return Ok(Some(format!("{} waits, and {most}m are free: {room:?}", pod.name)));
            }
        }
        Ok(None)
    }

    /// By now each pod that waits was told why, even if that got lost the first time.
    fn disturbs(&self, ledger: &Ledger, written: &[Written]) -> Option<String> {
        let pods = pods(ledger);
        let waiting: Vec<&Pod> = pods.iter().filter(|pod| pod.node.is_empty() && !pod.is_over).collect();
        if let Some(pod) = waiting.iter().find(|pod| !pod.is_told) {
            return Some(format!("{} waits and was not told why", pod.name));
        }
        beyond_events(waiting.len(), written)
    }
}

impl Scheduling {
    async fn create(&mut self, player: &Player) {
        if pods(&player.world.net.ledger).iter().filter(|pod| pod.node.is_empty()).count() > MANY {
            return;
        }
        self.made += 1;
        let kind = draw(&player.rng, KINDS);
        let cpu = match kind {
            "impossible" => "20".to_owned(),
            "urgent" => "4".to_owned(),
            _ => format!("{}m", player.rng.u64(1..7) * 500),
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
        player.create(&POD, &pod).await;
    }
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

fn read(object: &Value) -> Pod {
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

fn pods(ledger: &Ledger) -> Vec<Pod> {
    ledger.values(PODS).iter().map(|value| read(value)).collect()
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
fn check(ledger: &Ledger) -> Option<String> {
    let pods = pods(ledger);
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
