//! Registering the node and reporting its status: looked at every ten seconds, sent when something
//! changed, or every five minutes to show life.

use super::info;
use crate::agent::Agent;
use crate::events::Kind;
use client::{Error, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Quantity, Reason};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

const NODES: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const LOOK: Duration = Duration::from_secs(10);
/// Until the node has been Ready once, and after failures.
const LOOK_AT_START: Duration = Duration::from_millis(50);
const REPORT: Duration = Duration::from_secs(300);
/// The largest images that status lists.
const IMAGES: usize = 50;
/// What can run short: the condition, and its reason and message without and with pressure.
const PRESSURES: [(&str, [(&str, &str); 2]); 3] = [
    (
        "MemoryPressure",
        [
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ],
    ),
    (
        "DiskPressure",
        [
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ],
    ),
    (
        "PIDPressure",
        [
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ],
    ),
];

pub(super) async fn run(agent: Arc<Agent>) {
    let mut reporter = Reporter { agent, sent: None, sent_at: None, failures: 0 };
    while let Err(error) = reporter.register().await {
        reporter.failures += 1;
        if reporter.failures == 20 {
            warn!(%error, "cannot register the node; trying on");
        } else {
            debug!(%error, "cannot register the node; trying again");
        }
        let wait = LOOK_AT_START * reporter.failures.min(100);
        reporter.agent.env.clock.sleep(wait).await;
    }
    reporter.agent.events.node(Kind::Normal, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
    loop {
        let wait = reporter.look().await;
        let agent = &reporter.agent;
        tokio::select! {
            () = agent.env.clock.sleep(wait) => {}
            () = agent.pressure.changed.notified() => {}
        }
    }
}

struct Reporter {
    agent: Arc<Agent>,
    /// The status last sent, without times.
    sent: Option<Value>,
    sent_at: Option<tokio::time::Instant>,
    failures: u32,
}

impl Reporter {
    /// Makes the node, or brings the labels of an existing one up to date.
    async fn register(&mut self) -> Result<(), Error> {
        let options = &self.agent.options;
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": options.node_name, "labels": self.labels(),
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {},
            "status": self.with_times(&self.status().await, None),
        });
        if let Some(cidr) = &options.pod_cidr {
            node["spec"]["podCIDR"] = json!(cidr);
            node["spec"]["podCIDRs"] = json!([cidr]);
        }
        let taints: Vec<Value> = options.node_taints.iter().filter_map(|text| taint(text)).collect();
        if !taints.is_empty() {
            node["spec"]["taints"] = json!(taints);
        }
        let created = options.api.call(Request::new(Verb::Create, NODES).body(node.to_string())).await;
        match created {
            Ok(_) => {
                info!(node = options.node_name, "node registered");
                Ok(())
            }
            Err(error) if error.is(Reason::AlreadyExists) => {
                let patch = json!({"metadata": {"labels": self.labels()}});
                let request = Request::new(Verb::Patch(PatchType::Merge), NODES).name(&options.node_name);
                options.api.call(request.body(patch.to_string())).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.agent.options.node_labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", self.agent.options.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", info::architecture()),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", info::architecture()),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// Reports if it is time; returns when to look again.
    async fn look(&mut self) -> Duration {
        let status = self.status().await;
        let ready = condition(&status, "Ready").is_some_and(|ready| ready["status"] == "True");
        let due = self.sent_at.is_none_or(|at| at.elapsed() >= REPORT);
        if (due || self.sent.as_ref() != Some(&status) || self.is_doubted(&status).await)
            && let Err(error) = self.send(&status).await
        {
            self.failures += 1;
            debug!(%error, "cannot report the node's status; trying again");
            if error.is(Reason::NotFound) && self.register().await.is_ok() {
                self.sent = None;
            }
            return LOOK_AT_START * self.failures.min(100);
        }
        self.failures = 0;
        if ready { LOOK } else { LOOK_AT_START }
    }

    /// Whether the server believes otherwise: it marks a node that it has not heard of for a while.
    async fn is_doubted(&self, status: &Value) -> bool {
        let Ok(current) = self.current().await else { return false };
        if !foreign(&current["status"], status).is_empty() {
            return true;
        }
        let ours = status["conditions"].as_array().into_iter().flatten();
        ours.map(|ours| (ours["type"].as_str().unwrap_or_default(), &ours["status"]))
            .any(|(kind, ours)| condition(&current["status"], kind).is_none_or(|theirs| theirs["status"] != *ours))
    }

    /// The node as the server has it.
    async fn current(&self) -> Result<Value, Error> {
        let options = &self.agent.options;
        match options.api.call(Request::new(Verb::Get, NODES).name(&options.node_name)).await? {
            Response::Object { body, .. } => {
                serde_json::from_slice(&body).map_err(|error| Error::Decode(error.to_string()))
            }
            _ => Err(Error::Decode("a GET was not answered with an object".to_owned())),
        }
    }

    async fn send(&mut self, status: &Value) -> Result<(), Error> {
        let options = &self.agent.options;
        let current = self.current().await?;
        let mut full = self.with_times(status, Some(&current["status"]));
        for (name, amount) in foreign(&current["status"], status) {
            full["allocatable"][name] = amount;
        }
        self.tell_changes(&current["status"], &full);
        let patch = json!({"status": full});
        let request = Request::new(Verb::Patch(PatchType::Strategic), NODES).name(&options.node_name);
        options.api.call(request.subresource("status").body(patch.to_string())).await?;
        self.sent = Some(status.clone());
        self.sent_at = Some(self.agent.env.clock.instant());
        Ok(())
    }

    /// Everything but the times of the conditions.
    async fn status(&self) -> Value {
        let agent = &self.agent;
        let quantities = |amounts: &volumes::fields::Allocatable| -> Map<String, Value> {
            let text = |amount: &Quantity| json!(amount.to_string());
            amounts.0.iter().map(|(name, amount)| (name.clone(), text(amount))).collect()
        };
        let mut addresses: Vec<Value> =
            agent.options.node_ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        addresses.push(json!({"type": "Hostname", "address": agent.options.node_name}));
        let port = agent.options.server.as_ref().map_or(10250, |server| server.listen.port());
        json!({
            "addresses": addresses,
            "capacity": quantities(&agent.capacity),
            "allocatable": quantities(&agent.volumes.allocatable),
            "conditions": self.conditions(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": info::system_info(&agent.options.version),
            "images": self.images().await,
        })
    }

    fn conditions(&self) -> Vec<Value> {
        let found = |kind: &str, status: bool, reason: &str, message: &str| json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message});
        let short = self.agent.pressure.conditions();
        let pressure = |(kind, texts): (&str, [(&str, &str); 2])| {
            let is_short = short.contains(&kind);
            let (reason, message) = texts[usize::from(is_short)];
            found(kind, is_short, reason, message)
        };
        let ready = match self.agent.options.network.ready() {
            Ok(()) => found("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            Err(error) => {
                let text = format!(
                    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:{error}"
                );
                found("Ready", false, "KubeletNotReady", &text)
            }
        };
        PRESSURES.into_iter().map(pressure).chain([ready]).collect()
    }

    async fn images(&self) -> Vec<Value> {
        let mut images = self.agent.images.list().await.unwrap_or_default();
        images.sort_by_key(|image| std::cmp::Reverse(image.size));
        images.truncate(IMAGES);
        let entry = |image: &images::Image| {
            let names: Vec<&String> = image.repo_digests.iter().chain(&image.repo_tags).take(5).collect();
            json!({"names": names, "sizeBytes": image.size})
        };
        images.iter().map(entry).collect()
    }

    /// Adds the heartbeat, and since when each condition is as it is.
    fn with_times(&self, status: &Value, before: Option<&Value>) -> Value {
        let now = self.agent.env.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut status = status.clone();
        for entry in status["conditions"].as_array_mut().into_iter().flatten() {
            let kind = entry["type"].as_str().unwrap_or_default();
            let known =
                before.and_then(|before| condition(before, kind)).filter(|known| known["status"] == entry["status"]);
            let since = known.map_or_else(|| json!(now), |known| known["lastTransitionTime"].clone());
            entry["lastHeartbeatTime"] = json!(now);
            entry["lastTransitionTime"] = since;
        }
        status
    }

    fn tell_changes(&self, before: &Value, after: &Value) {
        let name = &self.agent.options.node_name;
        for entry in after["conditions"].as_array().into_iter().flatten() {
            let kind = entry["type"].as_str().unwrap_or_default();
            let same = condition(before, kind).is_some_and(|known| known["status"] == entry["status"]);
            if same && self.sent.is_some() {
                continue;
            }
            let reason = match (kind, entry["status"] == "True") {
                ("Ready", _) if same => continue,
                ("Ready", true) => "NodeReady",
                ("Ready", false) => "NodeNotReady",
                ("MemoryPressure", false) => "NodeHasSufficientMemory",
                ("MemoryPressure", true) => "NodeHasInsufficientMemory",
                ("DiskPressure", false) => "NodeHasNoDiskPressure",
                ("DiskPressure", true) => "NodeHasDiskPressure",
                ("PIDPressure", false) => "NodeHasSufficientPID",
                ("PIDPressure", true) => "NodeHasInsufficientPID",
                _ => continue,
            };
            self.agent.events.node(Kind::Normal, reason, format!("Node {name} status is now: {reason}"));
        }
    }
}

/// Resources that others put into the node's capacity can be had in full, and what they took out of
/// it no longer: what has to change in `allocatable` for that. Null removes.
fn foreign(theirs: &Value, ours: &Value) -> Map<String, Value> {
    let amount = |field: &str, name: &str| theirs[field].get(name).cloned().unwrap_or_default();
    let names = ["capacity", "allocatable"].into_iter().filter_map(|field| theirs[field].as_object());
    let names = names.flat_map(Map::keys).filter(|name| ours["capacity"].get(name.as_str()).is_none());
    let changed = names.filter(|name| amount("capacity", name) != amount("allocatable", name));
    changed.map(|name| (name.clone(), amount("capacity", name))).collect()
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// `key=value:effect` or `key:effect`.
fn taint(text: &str) -> Option<Value> {
    let (left, effect) = text.rsplit_once(':')?;
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    let mut taint = json!({"key": key, "effect": effect});
    if !value.is_empty() {
        taint["value"] = json!(value);
    }
    Some(taint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_add_to_the_capacity_can_be_had() {
        let ours = json!({"capacity": {"cpu": "2"}, "allocatable": {"cpu": "1900m"}});
        let cases = [
            (json!({"capacity": {"cpu": "2", "x/y": "3"}, "allocatable": {"cpu": "1900m"}}), json!({"x/y": "3"})),
            (json!({"capacity": {"x/y": "3"}, "allocatable": {"x/y": "3"}}), json!({})),
            (json!({"capacity": {"cpu": "2"}, "allocatable": {"x/y": "3"}}), json!({"x/y": null})),
            (json!({}), json!({})),
        ];
        for (theirs, expected) in cases {
            assert_eq!(Value::Object(foreign(&theirs, &ours)), expected, "{theirs}");
        }
    }
}
