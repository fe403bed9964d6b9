//! Pods of a Deployment under a disruption budget, evicted by many at once, through crashes and
//! lost answers.
//!
//! No eviction leaves fewer pods than the budget asks for, but for what failed by itself lately. In
//! the end the Deployment is whole and the budget says so.

use crate::ledger::{Change, under};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{FAULTS_OF_SERVERS, Fault, Scenario};
use client::{Api, Request, Verb};
use futures_util::future::join_all;
use meta::{GroupVersionResource, conditions};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const DEPLOYMENT: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const BUDGET: GroupVersionResource = GroupVersionResource::of("policy", "v1", "poddisruptionbudgets");
const PODS: &str = "/registry/pods/default/";
const THE_BUDGET: &str = "/registry/policy/poddisruptionbudgets/default/web";

const REPLICAS: i64 = 6;
const EVICTORS: usize = 4;
/// A budget may have been reckoned this long ago: its controller can be cut off.
const WINDOW: Duration = Duration::from_secs(90);

pub(super) struct Eviction {
    evictors: Vec<Arc<dyn Api>>,
    /// The budget reckons with the pods that are there, failed ones too, not with what is to be there.
    counts_pods: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Evict,
    Drain,
    Uncordon,
}

impl Scenario for Eviction {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[(12, Step::Evict), (3, Step::Drain), (3, Step::Uncordon)];
    const FAULTS: &'static [(u64, Fault)] = FAULTS_OF_SERVERS;
    const ROUNDS: Range<u64> = 15..30;
    const PAUSE: Range<u64> = 100..15_000;
    /// A clock that was set back lets a mark of an eviction stay so much longer.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(7200);

    async fn start(player: &Player) -> Result<Self, String> {
        let mode = player.rng.u64(0..3);
        let asks = match mode {
            0 => ("minAvailable", json!(REPLICAS - 2), REPLICAS - 2),
            1 => ("maxUnavailable", json!(1), REPLICAS - 1),
            _ => ("minAvailable", json!("50%"), REPLICAS / 2),
        };
        player.world.net.ledger.keep(Box::new(rule(asks.2)));
        let selector = json!({"matchLabels": {"app": "web"}});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"replicas": REPLICAS, "selector": selector, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "web", "image": "good:1"}]},
            }},
        });
        player.create(&DEPLOYMENT, &deployment).await;
        let mut budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"selector": selector},
        });
        budget["spec"][asks.0] = asks.1;
        player.create(&BUDGET, &budget).await;
        Ok(Eviction { evictors: player.strangers(EVICTORS), counts_pods: mode == 0 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let pods = player.world.net.ledger.values(PODS);
        match step {
            Step::Evict if pods.is_empty() => {}
            Step::Evict => {
                let chosen = (0..player.rng.u64(1..6)).map(|_| player.any(&pods).clone()).collect();
                self.evict(player, chosen).await;
            }
            Step::Drain => {
                let node = player.any_node();
                player.patch_node(node, json!({"spec": {"unschedulable": true}})).await;
                self.evict(player, pods.into_iter().filter(|pod| pod["spec"]["nodeName"] == *node).collect()).await;
            }
            Step::Uncordon => uncordon(player).await,
        }
    }

    async fn calm(&mut self, player: &Player) {
        uncordon(player).await;
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let pods = ledger.values(PODS);
        let live = pods.iter().filter(|pod| !matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded"));
        let live: Vec<_> = live.collect();
        let healthy = live.iter().filter(|pod| is_healthy(pod)).count();
        if healthy != live.len() || i64::try_from(healthy) != Ok(REPLICAS) {
            return Ok(Some(format!("{healthy} of {} pods are healthy", live.len())));
        }
        let is_marked = |pod: &&&Arc<Value>| conditions::is_true(&pod["status"]["conditions"], "DisruptionTarget");
        if let Some(pod) = live.iter().find(is_marked) {
            return Ok(Some(format!("{} is marked as one to be evicted, and was not", pod["metadata"]["name"])));
        }
        let budget = ledger.value(THE_BUDGET).unwrap_or_default();
        let status = &budget["status"];
        let there = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        let expected = if self.counts_pods { there } else { REPLICAS };
        let disrupted = status["disruptedPods"].as_object().is_some_and(|pods| !pods.is_empty());
        let current = status["currentHealthy"] == REPLICAS && status["expectedPods"] == expected;
        Ok((disrupted || !current).then(|| format!("the budget says {status}")))
    }
}

impl Eviction {
    /// Everybody at once, and no is an answer.
    async fn evict(&self, player: &Player, pods: Vec<Arc<Value>>) {
        let evictions = pods.iter().map(|pod| {
            let name = text(&pod["metadata"]["name"]);
            // The budget guards it now, not the rules of Deployments.
            player.world.net.ledger.judge(|judge, _| judge.doom(text(&pod["metadata"]["uid"])));
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE},
            });
            let create = Request::new(Verb::Create, POD).namespace(NAMESPACE).name(name).subresource("eviction");
            player.any(&self.evictors).call(create.body(eviction.to_string()))
        });
        join_all(evictions).await;
    }
}

async fn uncordon(player: &Player) {
    for node in &player.nodes {
        player.patch_node(node, json!({"spec": {"unschedulable": null}})).await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_healthy(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded")
        && conditions::is_true(&pod["status"]["conditions"], "Ready")
}

/// Nobody but evictions and failures takes healthy pods here.
fn rule(floor: i64) -> impl FnMut(&Change<'_>) -> Option<String> {
    let mut injuries: VecDeque<Instant> = VecDeque::new();
    move |change| {
        if !change.key.starts_with(PODS)
            || !change.before.is_some_and(is_healthy)
            || change.after.is_some_and(is_healthy)
        {
            return None;
        }
        if change.after.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            injuries.push_back(change.now);
            return None;
        }
        while injuries.front().is_some_and(|at| change.now - *at > WINDOW) {
            injuries.pop_front();
        }
        let stay = under(change.objects, PODS).filter(|(_, (_, pod))| is_healthy(pod)).count();
        let (stay, failed) = (i64::try_from(stay).unwrap_or(0), i64::try_from(injuries.len()).unwrap_or(0));
        (stay + failed < floor)
            .then(|| format!("{} was evicted: {stay} stay healthy ({failed} failed lately), not {floor}", change.key))
    }
}
