//! Pods with claims of devices, from templates and shared ones, while devices fall sick and get well,
//! through crashes, dropped watches and lost answers.
//!
//! At every moment a device is one claim's, and a pod that has a node has all its devices there. In the
//! end whoever can have devices has them, nobody has left any behind, and none that is tainted is used by
//! pods that do not bear it.

use super::beyond_events;
use crate::chaos::Victim;
use crate::ledger::{Ledger, Written};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{Fault, Scenario, draw};
use client::{PatchType, Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const CLASS: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "deviceclasses");
const SLICE: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceslices");
const CLAIM: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceclaims");
const TEMPLATE: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceclaimtemplates");

const PODS: &str = "/registry/pods/default/";
const CLAIMS: &str = "/registry/resource.k8s.io/resourceclaims/default/";

const DRIVER: &str = "dev.example.com";
/// Devices of each node.
const DEVICES: usize = 3;
/// More pods than this do not wait at once.
const MANY: usize = 15;

/// What pods ask for, and how often each comes: the devices of a template, or a claim that others use
/// as well.
const KINDS: &[(u64, &str)] = &[(5, "one"), (3, "two"), (2, "shared"), (2, "tough")];
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule"];

pub(super) struct Devices {
    made: u64,
    /// The effects of the taints, by `pool/device`.
    taints: BTreeMap<String, &'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Create,
    Delete,
    Taint,
    Heal,
}

fn request(count: usize, tolerations: &Value) -> Value {
    let exactly = json!({"deviceClassName": "dev", "count": count, "tolerations": tolerations});
    json!({"devices": {"requests": [{"name": "dev", "exactly": exactly}]}})
}

impl Scenario for Devices {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[(5, Step::Create), (4, Step::Delete), (4, Step::Taint), (2, Step::Heal)];
    const FAULTS: &'static [(u64, Fault)] = &[
        (3, Fault::Crash(Victim::Server)),
        (3, Fault::Crash(Victim::Controllers)),
        (4, Fault::Crash(Victim::Scheduler)),
        (3, Fault::Partition),
        (1, Fault::JumpClock),
    ];
    const ROUNDS: Range<u64> = 12..30;
    const PAUSE: Range<u64> = 100..10_000;

    async fn start(player: &Player) -> Result<Self, String> {
        let selectors = json!([{"cel": {"expression": format!("device.driver == {DRIVER:?}")}}]);
        let class = json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "dev"},
            "spec": {"selectors": selectors}});
        player.create(&CLASS, &class).await;
        for node in &player.nodes {
            let devices = offered(node, &BTreeMap::new());
            let slice = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": node},
                "spec": {"driver": DRIVER, "nodeName": node, "devices": devices,
                    "pool": {"name": node, "generation": 1, "resourceSliceCount": 1}}});
            player.create(&SLICE, &slice).await;
        }
        let tough = json!([{"key": "sick", "operator": "Exists"}]);
        for (name, count, tolerations) in [("one", 1, &Value::Null), ("two", 2, &Value::Null), ("tough", 1, &tough)] {
            let template = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"spec": request(count, tolerations)}});
            player.create(&TEMPLATE, &template).await;
        }
        let shared = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"name": "shared", "namespace": NAMESPACE}, "spec": request(1, &Value::Null)});
        player.create(&CLAIM, &shared).await;
        Ok(Devices { made: 0, taints: BTreeMap::new() })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let mut pods = player.world.net.ledger.values(PODS);
        match step {
            Step::Create if pods.iter().filter(|pod| waits(pod)).count() > MANY => {}
            Step::Create => {
                for _ in 0..player.rng.u64(1..5) {
                    self.create(player).await;
                }
            }
            Step::Delete => {
                player.rng.shuffle(&mut pods);
                for pod in pods.iter().take(player.rng.usize(1..5)) {
                    player.delete(&POD, text(&pod["metadata"]["name"])).await;
                }
            }
            Step::Taint => {
                let node = player.any_node();
                self.taints.insert(device(node, player.rng.usize(0..DEVICES)), player.any::<&str>(EFFECTS));
                self.offer(player, node).await;
            }
            Step::Heal => {
                let node = player.any_node();
                let own = format!("{node}/");
                self.taints.retain(|name, _| !name.starts_with(&own));
                self.offer(player, node).await;
            }
        }
    }

    fn check(&self, ledger: &Ledger) -> Option<String> {
        let claims = ledger.values(CLAIMS);
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for claim in &claims {
            let name = text(&claim["metadata"]["name"]);
            for device in devices(claim) {
                if let Some(other) = owners.insert(device.clone(), name) {
                    return Some(format!("{device} is {other}'s and {name}'s"));
                }
            }
        }
        let pods = ledger.values(PODS);
        pods.iter().filter(|pod| runs(pod)).find_map(|pod| lacks(pod, &claims))
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let (pods, claims) = (ledger.values(PODS), ledger.values(CLAIMS));
        let uids: BTreeSet<&str> = pods.iter().map(|pod| text(&pod["metadata"]["uid"])).collect();
        for claim in &claims {
            let name = text(&claim["metadata"]["name"]);
            let owner = text(&claim["metadata"]["ownerReferences"][0]["uid"]);
            if !owner.is_empty() && !uids.contains(owner) {
                return Ok(Some(format!("{name} is left behind")));
            }
            let users = claim["status"]["reservedFor"].as_array();
            if let Some(user) = users.into_iter().flatten().find(|user| !uids.contains(text(&user["uid"]))) {
                return Ok(Some(format!("{name} is still held for {user}")));
            }
        }
        if let Some(pod) = pods.iter().find(|pod| !pod["metadata"]["deletionTimestamp"].is_null()) {
            return Ok(Some(format!("{} is being deleted and never goes", pod["metadata"]["name"])));
        }
        if let Some(pod) = pods.iter().find(|pod| runs(pod) && self.is_poisoned(pod, &claims)) {
            return Ok(Some(format!("{} runs on a device that it does not bear", pod["metadata"]["name"])));
        }
        let taken: BTreeSet<String> = claims.iter().flat_map(|claim| devices(claim)).collect();
        let most_free = |bears: bool| {
            let is_free = |name: &String| !taken.contains(name) && (bears || !self.taints.contains_key(name));
            let free = |node: &String| (0..DEVICES).filter(|at| is_free(&device(node, *at))).count();
            player.nodes.iter().map(free).max().unwrap_or(0)
        };
        let is_shared_given =
            claims.iter().any(|claim| claim["metadata"]["name"] == "shared" && !devices(claim).is_empty());
        for pod in pods.iter().filter(|pod| waits(pod)) {
            let kind = text(&pod["metadata"]["labels"]["kind"]);
            let most = most_free(kind == "tough");
            let needs = match kind {
                "shared" if is_shared_given => 0,
                "two" => 2,
                _ => 1,
            };
            if needs <= most {
                return Ok(Some(format!("{} waits, and a node has {most} devices", pod["metadata"]["name"])));
            }
        }
        Ok(None)
    }

    fn disturbs(&self, ledger: &Ledger, written: &[Written]) -> Option<String> {
        beyond_events(ledger.values(PODS).iter().filter(|pod| waits(pod)).count(), written)
    }
}

impl Devices {
    /// What a node's driver tells of its devices.
    async fn offer(&self, player: &Player, node: &str) {
        let spec = json!({"spec": {"devices": offered(node, &self.taints)}});
        player.insist(Request::new(Verb::Patch(PatchType::Merge), SLICE).name(node).body(spec.to_string())).await;
    }

    /// Whether a device of the pod should have driven it away.
    fn is_poisoned(&self, pod: &Value, claims: &[Arc<Value>]) -> bool {
        let claim = claims.iter().find(|claim| claim["metadata"]["name"] == *claim_of(pod));
        let ends = |name: &String| self.taints.get(name).is_some_and(|effect| *effect == "NoExecute");
        pod["metadata"]["labels"]["kind"] != "tough" && claim.is_some_and(|claim| devices(claim).iter().any(ends))
    }

    async fn create(&mut self, player: &Player) {
        self.made += 1;
        let kind = draw(&player.rng, KINDS);
        let claim = match kind {
            "shared" => json!({"name": "dev", "resourceClaimName": kind}),
            template => json!({"name": "dev", "resourceClaimTemplateName": template}),
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{kind}-{}", self.made), "namespace": NAMESPACE, "labels": {"kind": kind}},
            "spec": {
                "terminationGracePeriodSeconds": 5, "resourceClaims": [claim],
                "containers": [{"name": "c", "image": "good:1", "resources": {"claims": [{"name": "dev"}]}}],
            },
        });
        player.create(&POD, &pod).await;
    }
}

/// A device by its node and number; pools are called as their nodes.
fn device(node: &str, at: usize) -> String {
    format!("{node}/d{at}")
}

fn offered(node: &str, taints: &BTreeMap<String, &str>) -> Vec<Value> {
    let taint = |at| taints.get(&device(node, at)).map(|effect| json!([{"key": "sick", "effect": effect}]));
    (0..DEVICES).map(|at| json!({"name": format!("d{at}"), "taints": taint(at)})).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_over(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded")
}

fn waits(pod: &Value) -> bool {
    text(&pod["spec"]["nodeName"]).is_empty() && !is_over(pod)
}

fn runs(pod: &Value) -> bool {
    !text(&pod["spec"]["nodeName"]).is_empty() && !is_over(pod)
}

/// What a claim has, as `pool/device`.
fn devices(claim: &Value) -> Vec<String> {
    let results = claim["status"]["allocation"]["devices"]["results"].as_array();
    let name = |one: &Value| format!("{}/{}", text(&one["pool"]), text(&one["device"]));
    results.into_iter().flatten().map(name).collect()
}

fn claim_of(pod: &Value) -> &str {
    match &pod["spec"]["resourceClaims"][0]["resourceClaimName"] {
        Value::String(named) => named,
        _ => text(&pod["status"]["resourceClaimStatuses"][0]["resourceClaimName"]),
    }
}

/// What is wrong with the claim of a pod that has a node.
fn lacks(pod: &Value, claims: &[Arc<Value>]) -> Option<String> {
    let (name, node) = (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"]));
    let wanted = claim_of(pod);
    let Some(claim) = claims.iter().find(|claim| claim["metadata"]["name"] == *wanted) else {
        return Some(format!("{name} has a node, and its claim {wanted:?} is not there"));
    };
    let users = claim["status"]["reservedFor"].as_array();
    if !users.into_iter().flatten().any(|user| user["uid"] == pod["metadata"]["uid"]) {
        return Some(format!("{name} has a node, and {wanted} is not held for it"));
    }
    let here = format!("{node}/");
    let devices = devices(claim);
    if devices.is_empty() || !devices.iter().all(|device| device.starts_with(&here)) {
        return Some(format!("{name} is on {node}, and {wanted} has {devices:?}"));
    }
    None
}
