//! A node without containers: keeps its Node and Lease, and plays the life of each pod that is
//! bound to it through the API.
//!
//! Pods whose image begins with `bad` start but never become ready, those with `done` succeed after a
//! while; in foul weather any running pod may fail.

use crate::wire::Net;
use base::Env;
use client::cache::{Cache, Caches, Item, Key, Projection, Selection};
use client::{Api, Client, DeleteOptions, Error, PatchType, Preconditions, Request, Verb};
use meta::{GroupVersionResource, Reason, time};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const NODES: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const LEASES: GroupVersionResource = GroupVersionResource::of("coordination.k8s.io", "v1", "leases");
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A node says that it is well this often, even if nothing changed.
const REPORT: Duration = Duration::from_secs(300);

/// What of a pod its node looks at.
struct Seen {
    phase: String,
    is_ready: bool,
    is_bad: bool,
    /// It comes to a good end by itself.
    is_task: bool,
}

impl Projection for Seen {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let pod: Value = serde_json::from_slice(object)?;
        let conditions = pod["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        Ok(Seen {
            phase: pod["status"]["phase"].as_str().unwrap_or_default().to_owned(),
            is_ready: conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
            is_bad: image.starts_with("bad"),
            is_task: image.starts_with("done"),
        })
    }
}

/// Where a pod is in its life here.
enum Stage {
    Starting,
    Running {
        /// It fails when its time comes.
        fails: bool,
    },
    /// Its containers ended by themselves, which is to be told as this phase.
    Ended(&'static str),
    Ending,
    Over,
}

struct Life {
    stage: Stage,
    /// When the next thing happens.
    due: Option<Instant>,
}

struct Kubelet {
    env: Env,
    net: Arc<Net>,
    client: Client,
    name: String,
    pods: Arc<Cache<Seen>>,
    lives: BTreeMap<String, Life>,
    heartbeat: Instant,
    report: Instant,
}

pub async fn run(env: Env, net: Arc<Net>, api: Arc<dyn Api>, name: String) {
    let selection = Selection::all(PODS).fields(format!("spec.nodeName={name}"));
    let pods = Caches::new(api.clone(), &env).watch::<Seen>(selection);
    let now = env.clock.instant();
    let client = Client::new(api);
    let mut kubelet = Kubelet { env, net, client, name, pods, lives: BTreeMap::new(), heartbeat: now, report: now };
    let mut seen = 0;
    loop {
        let mut wake = kubelet.beat().await;
        if kubelet.pods.is_synced() {
            wake = wake.min(kubelet.turn().await);
        }
        let pods = kubelet.pods.clone();
        tokio::select! {
            biased;
            changes = pods.changed(seen) => seen = changes,
            () = kubelet.env.clock.sleep_until(wake) => {}
        }
    }
}

impl Kubelet {
    fn now(&self) -> Instant {
        self.env.clock.instant()
    }

    fn soon(&self, millis: std::ops::Range<u64>) -> Option<Instant> {
        Some(self.now() + Duration::from_millis(self.env.rng.u64(millis)))
    }

    /// Renews the lease and the node's status when it is time; says when it is time again.
    async fn beat(&mut self) -> Instant {
        if self.now() >= self.heartbeat {
            let outcome = match self.renew().await {
                Ok(()) => self.report().await,
                failed => failed,
            };
            let pause = if outcome.is_ok() { HEARTBEAT } else { Duration::from_secs(1) };
            self.heartbeat = self.now() + pause;
        }
        self.heartbeat
    }

    async fn renew(&self) -> Result<(), Error> {
        let spec = json!({
            "holderIdentity": self.name,
            "leaseDurationSeconds": 40,
            "renewTime": time::format_micro(self.env.clock.now()),
        });
        let renew = Request::new(Verb::Patch(PatchType::Merge), LEASES).namespace("kube-node-lease").name(&self.name);
        match self.client.object(renew.body(json!({"spec": spec}).to_string())).await {
            Err(error) if error.is(Reason::NotFound) => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": "kube-node-lease"}, "spec": spec,
                });
                let create = Request::new(Verb::Create, LEASES).namespace("kube-node-lease");
                self.client.object(create.body(lease.to_string())).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// Makes the node known, and says that it is well when it is not known to be.
    async fn report(&mut self) -> Result<(), Error> {
        let node = match self.client.object(Request::new(Verb::Get, NODES).name(&self.name)).await {
            Err(error) if error.is(Reason::NotFound) => {
                let node = json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
                });
                self.client.object(Request::new(Verb::Create, NODES).body(node.to_string())).await?
            }
            answer => answer?,
        };
        let node: Value = serde_json::from_slice(&node).map_err(|error| Error::Decode(error.to_string()))?;
        let conditions = node["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True");
        if ready && self.now() < self.report {
            return Ok(());
        }
        let now = time::format(self.env.clock.now());
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now})
        };
        let resources = json!({"cpu": "8", "memory": "16Gi", "pods": "110"});
        let status = json!({"status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                condition("Ready", "True", "KubeletReady"),
            ],
        }});
        let patch = Request::new(Verb::Patch(PatchType::Strategic), NODES).name(&self.name).subresource("status");
        self.client.object(patch.body(status.to_string())).await?;
        self.report = self.now() + REPORT;
        Ok(())
    }

    /// Moves every pod on that is due; says when the next one is.
    async fn turn(&mut self) -> Instant {
        let items = self.pods.list();
        let here: Vec<&str> = items.iter().map(|item| item.meta.uid.as_str()).collect();
        self.lives.retain(|uid, _| {
            let stays = here.contains(&uid.as_str());
            if !stays {
                self.net.machines.end(uid);
            }
            stays
        });
        for item in &items {
            self.move_on(item).await;
        }
        let far = self.now() + HEARTBEAT;
        self.lives.values().filter_map(|life| life.due).min().unwrap_or(far)
    }

    async fn move_on(&mut self, item: &Item<Seen>) {
        let uid = item.meta.uid.clone();
        let mut life = match self.lives.remove(&uid) {
            Some(life) => life,
            // Of a kubelet that was started again: the pod has been running on.
            None if item.view.phase == "Running" => self.running(item),
            None if matches!(item.view.phase.as_str(), "Failed" | "Succeeded") => {
                Life { stage: Stage::Over, due: None }
            }
            None => Life { stage: Stage::Starting, due: self.soon(100..4000) },
        };
        if item.meta.is_deleting() && !matches!(life.stage, Stage::Ending) {
            life = Life { stage: Stage::Ending, due: self.soon(50..3000) };
        }
        let was_forgotten = matches!(life.stage, Stage::Running { .. }) && !item.view.is_ready && !item.view.is_bad;
        if life.due.is_some_and(|due| due <= self.now()) || (was_forgotten && life.due.is_none()) {
            life = self.act(item, life).await;
        }
        self.lives.insert(uid, life);
    }

    /// Its containers run from now on, if they do not already.
    fn starts(&self, item: &Item<Seen>) {
        if let Some(wrong) = self.net.machines.start(&self.name, &item.key.to_string(), &item.meta.uid) {
            self.net.ledger.wrong(wrong);
        }
    }

    fn running(&self, item: &Item<Seen>) -> Life {
        self.starts(item);
        let fails = self.net.chaos.is_on() && self.env.rng.chance(0.1);
        let due = if fails || item.view.is_task { self.soon(1000..90_000) } else { None };
        let is_settled = item.view.is_ready || item.view.is_bad;
        // One that others took for dead says so at once that it is not.
        Life { stage: Stage::Running { fails }, due: if is_settled { due } else { self.soon(0..1000) } }
    }

    async fn act(&mut self, item: &Item<Seen>, life: Life) -> Life {
        let again = Life { due: self.soon(500..1500), ..life };
        match again.stage {
            Stage::Starting => {
                self.starts(item);
                match self.tell(item, "Running", !item.view.is_bad).await {
                    Ok(()) => {
                        let fails = self.net.chaos.is_on() && self.env.rng.chance(0.1);
                        let due = if fails || item.view.is_task { self.soon(1000..90_000) } else { None };
                        Life { stage: Stage::Running { fails }, due }
                    }
                    Err(_) => again,
                }
            }
            Stage::Running { fails } if fails && self.net.chaos.is_on() => self.end(item, "Failed").await,
            Stage::Running { .. } if item.view.is_task && item.view.is_ready => self.end(item, "Succeeded").await,
            Stage::Ended(phase) => self.tell_end(item, phase).await,
            Stage::Running { .. } => {
                let stage = Stage::Running { fails: false };
                let told = item.view.is_ready || self.tell(item, "Running", !item.view.is_bad).await.is_ok();
                let over = if item.view.is_task { self.soon(1000..30_000) } else { None };
                Life { stage, due: if told { over } else { again.due } }
            }
            Stage::Ending => match self.remove(&item.key, &item.meta.uid).await {
                Ok(()) => Life { stage: Stage::Ending, due: None },
                Err(_) => again,
            },
            Stage::Over => Life { stage: Stage::Over, due: None },
        }
    }

    /// Its containers end by themselves, whether that can be told or not.
    async fn end(&self, item: &Item<Seen>, phase: &'static str) -> Life {
        self.net.machines.end(&item.meta.uid);
        self.tell_end(item, phase).await
    }

    async fn tell_end(&self, item: &Item<Seen>, phase: &'static str) -> Life {
        // It may have been told, and the answer been lost.
        if item.view.phase == phase || self.tell(item, phase, false).await.is_ok() {
            return Life { stage: Stage::Over, due: None };
        }
        Life { stage: Stage::Ended(phase), due: self.soon(500..1500) }
    }

    async fn tell(&self, item: &Item<Seen>, phase: &str, ready: bool) -> Result<(), Error> {
        let now = time::format(self.env.clock.now());
        let status = if ready { "True" } else { "False" };
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": now});
        let address = self.net.machines.address(&item.meta.uid);
        let body = json!({
            "metadata": {"uid": item.meta.uid},
            "status": {
                "phase": phase,
                "podIP": address,
                "podIPs": [{"ip": address}],
                "startTime": now,
                "conditions": [
                    condition("Initialized", "True"),
                    condition("ContainersReady", status),
                    condition("Ready", status),
                ],
            },
        });
        let patch = Request::new(Verb::Patch(PatchType::Strategic), PODS)
            .namespace(item.key.namespace())
            .name(item.key.name())
            .subresource("status");
        self.client.object(patch.body(body.to_string())).await.map(drop)
    }

    /// The pod has ended here: its object may go.
    async fn remove(&self, key: &Key, uid: &str) -> Result<(), Error> {
        self.net.machines.end(uid);
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteOptions::default()
        };
        let body = serde_json::to_vec(&options).unwrap_or_default();
        let delete = Request::new(Verb::Delete, PODS).namespace(key.namespace()).name(key.name());
        match self.client.object(delete.body(body)).await {
            Err(error) if error.is(Reason::NotFound) || error.is(Reason::Conflict) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
