//! Node lifecycle: says of nodes that have gone silent that nobody knows how they are, and taints
//! nodes by their conditions. Evicting their pods is the taint evictor's business.

mod plan;
#[cfg(test)]
mod tests;
mod zones;

use crate::action::Plan;
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{NodeView, PodView, Taint};
use base::{Env, Timestamp};
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, Projection, Selection, WorkQueue};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub const DEF: Def = Def {
    name: "node-lifecycle-controller",
    identity: "node-controller",
    component: "node-controller",
    workers: 8,
    retry: RETRY,
    build,
};

/// How often each node is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// Where nodes renew their leases.
const LEASES_NAMESPACE: &str = "kube-node-lease";

/// When a node's kubelet last renewed its lease.
struct LeaseView {
    renewed: Option<String>,
}

impl Projection for LeaseView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Lease {
            #[serde(default)]
            spec: Spec,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Spec {
            renew_time: Option<String>,
        }
        serde_json::from_slice::<Lease>(object).map(|lease| LeaseView { renewed: lease.spec.renew_time })
    }
}

/// What was last seen of a node. Times are monotonic: a jump of the wall clock must not bury all
/// nodes at once.
#[derive(Debug, Clone)]
struct Health {
    lease: Option<String>,
    heartbeat: Option<String>,
    /// When either last changed.
    heard: Instant,
    was_ready: bool,
    announced: bool,
}

struct Observed {
    node: Arc<Item<NodeView>>,
    about: ObjectRef,
    /// For how long nothing was heard of it.
    silence: Duration,
    lease: Option<String>,
    /// It was ready when last looked at.
    was_ready: bool,
    /// It was not seen before.
    is_new: bool,
    pods: Vec<Arc<Item<PodView>>>,
    zone: zones::Verdict,
}

struct Nodes {
    env: Env,
    nodes: Arc<Cache<NodeView>>,
    pods: Arc<Cache<PodView>>,
    leases: Arc<Cache<LeaseView>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    health: BTreeMap<String, Health>,
    /// Nodes known by their uid, to tell of those removed.
    uids: BTreeMap<String, String>,
    zones: zones::Limits,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let leases = rig.cache_of::<LeaseView>(Selection::all(resource::LEASES).namespace(LEASES_NAMESPACE));
    rig.on(&nodes, node_changed);
    let state = Mutex::default();
    Box::new(Nodes { env: rig.env.clone(), nodes, pods, leases, state })
}

/// Heartbeats alone change nothing that the next look would not see.
fn node_changed(change: &Change<NodeView>, queue: &WorkQueue<Key>) {
    let told = |node: &NodeView| {
        let statuses: Vec<_> = node.conditions.iter().map(|it| (it.kind.clone(), it.status.clone())).collect();
        (statuses, node.taints.clone(), node.unschedulable)
    };
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && told(&old.view) == told(&new.view)
    {
        return;
    }
    change.latest().into_iter().for_each(|node| queue.add(node.key.clone()));
}

impl Nodes {
    fn observe(&self, node: Arc<Item<NodeView>>) -> Observed {
        let name = node.meta.name.clone();
        let now = self.env.clock.instant();
        let lease = self.leases.get(LEASES_NAMESPACE, &name).and_then(|lease| lease.view.renewed.clone());
        let ready = node.view.conditions.iter().find(|condition| condition.kind == "Ready");
        let heartbeat = ready.and_then(|condition| condition.last_heartbeat_time.clone());
        let is_ready = node.view.is_ready();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.uids.insert(name.clone(), node.meta.uid.clone());
        let fresh = Health { lease: None, heartbeat: None, heard: now, was_ready: true, announced: false };
        let health = state.health.entry(name.clone()).or_insert(fresh);
        // Our own marks change no heartbeat, so that this is the kubelet's voice alone.
        if health.lease != lease || health.heartbeat != heartbeat {
            (health.lease, health.heartbeat, health.heard) = (lease.clone(), heartbeat, now);
        }
        let (was_ready, is_new, heard) = (health.was_ready, !health.announced, health.heard);
        (health.was_ready, health.announced) = (is_ready, true);
        let zone = state.zones.judge(&self.nodes, &node, now);
        let about = about(&name, &node.meta.uid);
        let pods = if was_ready && !is_ready { self.pods.by_index(crate::views::NODE, &name) } else { Vec::new() };
        Observed { node, about, silence: now.duration_since(heard), lease, was_ready, is_new, pods, zone }
    }

    /// Forgets a node that is gone; its uid, if it was known.
    fn forget(&self, name: &str) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.health.remove(name);
        state.uids.remove(name)
    }
}

fn about(name: &str, uid: &str) -> ObjectRef {
    ObjectRef {
        kind: "Node".to_owned(),
        api_version: "v1".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..ObjectRef::default()
    }
}

impl Room for Nodes {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let name = key.name();
        match self.nodes.get_key(key) {
            Some(node) => {
                plan::plan(&self.observe(node), now).map_err(|why| RoomError::Decode { key: key.clone(), why })
            }
            None => Ok(self.forget(name).map(|uid| plan::removed(&about(name, &uid))).unwrap_or_default()),
        }
    }
}

/// A taint of this controller, as of now.
fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    let time_added = Some(meta::time::format(now));
    Taint { key: key.to_owned(), value: String::new(), effect: effect.to_owned(), time_added }
}
