//! The rules a Deployment must keep at every moment, judged from the store's writes alone.
//!
//! - its ReplicaSets together never ask for more than replicas + maxSurge;
//! - a ReplicaSet never has more pods than it asks for, but for creations whose answer was lost;
//! - controllers never take an available pod away when fewer than replicas − maxUnavailable stay,
//!   but for what injected failures took.
//!
//! It looks at the namespace `default` only.
//!
//! Components act on what they saw a moment ago, so a limit counts for [`WINDOW`] after it changed.
//! As upstream counts, pods that are being deleted are gone.

use base::collections::HashSet;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long somebody may act on what is no longer so.
const WINDOW: Duration = Duration::from_secs(60);

pub const PODS: &str = "/registry/pods/";
pub const SETS: &str = "/registry/apps/replicasets/";
pub const DEPLOYMENTS: &str = "/registry/apps/deployments/";

/// A value over time: what it is now, and what it was within the window.
#[derive(Debug, Clone)]
struct Lately<T>(VecDeque<(Option<Instant>, T)>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Lately(VecDeque::new())
    }
}

impl<T: Copy + PartialEq> Lately<T> {
    fn set(&mut self, now: Instant, value: T) {
        if let Some(last) = self.0.back_mut().filter(|last| last.1 != value) {
            last.0 = Some(now);
        }
        if self.0.back().is_none_or(|last| last.1 != value) {
            self.0.push_back((None, value));
        }
    }

    fn all(&mut self, now: Instant) -> impl Iterator<Item = T> + '_ {
        while self.0.front().is_some_and(|(until, _)| until.is_some_and(|until| now - until > WINDOW)) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, value)| *value)
    }
}

/// Moments that are forgotten after the window.
#[derive(Debug, Clone, Default)]
struct Moments(VecDeque<Instant>);

impl Moments {
    fn count(&mut self, now: Instant) -> i64 {
        while self.0.front().is_some_and(|at| now - *at > WINDOW) {
            self.0.pop_front();
        }
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub replicas: i64,
    pub surge: i64,
    pub unavailable: i64,
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub uid: String,
    pub owner: String,
    pub node: String,
    pub phase: String,
    pub is_ready: bool,
    pub is_deleting: bool,
}

#[derive(Debug, Clone)]
pub struct Set {
    pub uid: String,
    pub owner: String,
    pub replicas: i64,
    pub available: i64,
    pub image: String,
}

#[derive(Debug, Clone, Default)]
pub struct Deployment {
    pub uid: String,
    pub image: String,
    generation: i64,
    status: Value,
}

#[derive(Default)]
pub struct Judge {
    pub pods: BTreeMap<Arc<str>, Pod>,
    pub sets: BTreeMap<Arc<str>, Set>,
    pub deployment: Option<Deployment>,
    wanted: Lately<Wanted>,
    asked: BTreeMap<String, Lately<i64>>,
    /// How many pods were known to be available when a set was last shrunk.
    known: BTreeMap<String, i64>,
    injuries: Moments,
    uncertain: Moments,
    /// Pods that the user or a failure takes away.
    doomed: HashSet<String>,
    lost_nodes: HashSet<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn owner(object: &Value) -> String {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    controller.map(|owner| text(&owner["uid"])).unwrap_or_default()
}

fn image(template: &Value) -> String {
    text(&template["spec"]["containers"][0]["image"])
}

impl Pod {
    fn read(object: &Value) -> Self {
        let status = &object["status"];
        let conditions = status["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        Pod {
            uid: text(&object["metadata"]["uid"]),
            owner: owner(object),
            node: text(&object["spec"]["nodeName"]),
            phase: text(&status["phase"]),
            is_ready: ready.is_some_and(|condition| condition["status"] == "True"),
            is_deleting: !object["metadata"]["deletionTimestamp"].is_null(),
        }
    }

    fn is_active(&self) -> bool {
        !self.is_deleting && self.phase != "Failed" && self.phase != "Succeeded"
    }

    fn is_available(&self) -> bool {
        self.is_active() && self.is_ready
    }
}

impl Wanted {
    fn read(spec: &Value) -> Self {
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let rolling = &spec["strategy"]["rollingUpdate"];
        let scaled = |value: &Value, up: bool| match value {
            Value::String(percent) => {
                let product = replicas * percent.trim_end_matches('%').parse().unwrap_or(0);
                if up { (product + 99) / 100 } else { product / 100 }
            }
            number => number.as_i64().unwrap_or(0),
        };
        let (surge, unavailable) = (scaled(&rolling["maxSurge"], true), scaled(&rolling["maxUnavailable"], false));
        Wanted { replicas, surge, unavailable: if surge == 0 { unavailable.max(1) } else { unavailable } }
    }
}

/// What counts of an object, for the trace.
pub fn describe(key: &str, object: &Value) -> String {
    let status = |field: &str| object["status"][field].as_i64().unwrap_or(0);
    if key.starts_with(PODS) {
        let pod = Pod::read(object);
        let ready = if pod.is_ready { "ready" } else { "" };
        let deleting = if pod.is_deleting { "deleting" } else { "" };
        format!("{} {ready} {deleting} on {:?}", pod.phase, pod.node)
    } else if key.starts_with(SETS) {
        let asked = object["spec"]["replicas"].as_i64().unwrap_or(1);
        let image = image(&object["spec"]["template"]);
        format!("{image}: {asked} asked, {} there, {} available", status("replicas"), status("availableReplicas"))
    } else if key.starts_with(DEPLOYMENTS) {
        let wanted = Wanted::read(&object["spec"]);
        let paused = if object["spec"]["paused"] == true { "paused" } else { "" };
        let image = image(&object["spec"]["template"]);
        format!("{image}: {wanted:?} {paused}, {} there, {} available", status("replicas"), status("availableReplicas"))
    } else {
        String::new()
    }
}

impl Judge {
    /// Takes in a write; says what is wrong about it.
    pub fn observe(&mut self, now: Instant, key: &Arc<str>, object: Option<&Value>) -> Option<String> {
        if !key.contains("/default/") {
            return None;
        }
        if key.starts_with(PODS) {
            self.observe_pod(now, key, object.map(Pod::read))
        } else if key.starts_with(SETS) {
            self.observe_set(now, key, object)
        } else {
            if key.starts_with(DEPLOYMENTS) {
                self.observe_deployment(now, object);
            }
            None
        }
    }

    fn observe_deployment(&mut self, now: Instant, object: Option<&Value>) {
        self.deployment = object.map(|object| Deployment {
            uid: text(&object["metadata"]["uid"]),
            image: image(&object["spec"]["template"]),
            generation: object["metadata"]["generation"].as_i64().unwrap_or(0),
            status: object["status"].clone(),
        });
        if let Some(object) = object {
            self.wanted.set(now, Wanted::read(&object["spec"]));
        }
    }

    fn observe_set(&mut self, now: Instant, key: &Arc<str>, object: Option<&Value>) -> Option<String> {
        let Some(object) = object else {
            self.sets.remove(key);
            return None;
        };
        let set = Set {
            uid: text(&object["metadata"]["uid"]),
            owner: owner(object),
            replicas: object["spec"]["replicas"].as_i64().unwrap_or(1),
            available: object["status"]["availableReplicas"].as_i64().unwrap_or(0),
            image: image(&object["spec"]["template"]),
        };
        self.asked.entry(set.uid.clone()).or_default().set(now, set.replicas);
        let before = self.sets.insert(key.clone(), set.clone()).map_or(0, |before| before.replicas);
        let deployment = self.deployment.as_ref().filter(|deployment| deployment.uid == set.owner)?;
        let total: i64 = self.sets.values().filter(|set| set.owner == deployment.uid).map(|set| set.replicas).sum();
        if set.replicas < before {
            let known = self.sets.values().filter(|other| other.owner == set.owner).map(|other| other.available).sum();
            let is_beyond = |wanted: Wanted| total - set.replicas + before > wanted.replicas + wanted.surge;
            // Sets that together ask for too much, as after a smaller surge, are shrunk by their sizes.
            let known = if self.wanted.all(now).last().is_some_and(is_beyond) { 0 } else { known };
            self.known.insert(set.uid.clone(), known);
        }
        let limit = self.wanted.all(now).map(|wanted| wanted.replicas + wanted.surge).max()?;
        (set.replicas > before && total > limit).then(|| {
            format!("{key} grew to {}: its Deployment's sets ask for {total}, {limit} are allowed", set.replicas)
        })
    }

    fn observe_pod(&mut self, now: Instant, key: &Arc<str>, pod: Option<Pod>) -> Option<String> {
        let before = match &pod {
            Some(pod) => self.pods.insert(key.clone(), pod.clone()),
            None => self.pods.remove(key),
        };
        match (before, pod) {
            (None, Some(pod)) => self.judge_creation(now, key, &pod),
            (Some(before), after) if before.is_available() && !after.as_ref().is_some_and(Pod::is_available) => {
                self.judge_loss(now, key, &before, after.as_ref())
            }
            _ => None,
        }
    }

    fn judge_creation(&mut self, now: Instant, key: &Arc<str>, pod: &Pod) -> Option<String> {
        let have = self.pods.values().filter(|other| other.owner == pod.owner && other.is_active()).count();
        let have = i64::try_from(have).unwrap_or(i64::MAX);
        let asked = self.asked.get_mut(&pod.owner)?.all(now).max()?;
        let allowed = asked + self.uncertain.count(now);
        (have > allowed).then(|| format!("{key} is one of {have} pods of a ReplicaSet that asked for {asked}"))
    }

    fn judge_loss(&mut self, now: Instant, key: &Arc<str>, before: &Pod, after: Option<&Pod>) -> Option<String> {
        let by_controllers = after.is_none_or(|after| after.is_deleting)
            && !self.doomed.contains(&before.uid)
            && !self.lost_nodes.contains(&before.node);
        if !by_controllers {
            self.injuries.0.push_back(now);
            return None;
        }
        // A Deployment that was just resized spreads the change over its sets by their sizes, as
        // upstream's does, whatever the state of their pods.
        let wanted: Vec<Wanted> = self.wanted.all(now).collect();
        let last = wanted.last()?;
        if wanted.iter().any(|one| one.replicas != last.replicas) {
            return None;
        }
        // A pod that was not available when its set was shrunk may be when it goes.
        let known = self.known.get(&before.owner).copied().unwrap_or(i64::MAX);
        let floor = wanted.iter().map(|one| one.replicas - one.unavailable).min()?.min(known);
        let available = self.pods.values().filter(|pod| pod.is_available()).count();
        let available = i64::try_from(available).unwrap_or(i64::MAX);
        let injuries = self.injuries.count(now);
        (available + injuries < floor).then(|| {
            format!("{key} was taken away: {available} pods stay available ({injuries} failed lately), not {floor}")
        })
    }

    /// The creation of a pod may or may not have happened.
    pub fn expect_surplus(&mut self, now: Instant) {
        self.uncertain.0.push_back(now);
    }

    /// The user or a failure takes this pod away.
    pub fn doom(&mut self, uid: &str) {
        self.doomed.insert(uid.to_owned());
    }

    /// What happens to a node's pods from now on is nobody's fault.
    pub fn lose_node(&mut self, node: &str) {
        self.lost_nodes.insert(node.to_owned());
    }

    /// What is still missing until the Deployment is as it is wanted; None: nothing.
    pub fn unfinished(&mut self, now: Instant) -> Option<String> {
        let Some(deployment) = self.deployment.clone() else { return Some("there is no Deployment".to_owned()) };
        let wanted = self.wanted.all(now).last()?;
        let new: Vec<&Set> = self.sets.values().filter(|set| set.image == deployment.image).collect();
        let [new] = new.as_slice() else { return Some(format!("{} sets have the newest template", new.len())) };
        if new.replicas != wanted.replicas {
            return Some(format!("the new set asks for {} of {}", new.replicas, wanted.replicas));
        }
        if let Some((key, old)) = self.sets.iter().find(|(_, set)| set.uid != new.uid && set.replicas != 0) {
            return Some(format!("{key}, an old set, still asks for {}", old.replicas));
        }
        if let Some((key, pod)) = self.pods.iter().find(|(_, pod)| pod.is_active() && pod.owner != new.uid) {
            return Some(format!("{key} belongs to no current set but to {:?}", pod.owner));
        }
        let pods: Vec<&Pod> = self.pods.values().filter(|pod| pod.is_active()).collect();
        let ready = pods.iter().filter(|pod| pod.is_ready).count();
        if i64::try_from(ready) != Ok(wanted.replicas) || ready != pods.len() {
            return Some(format!("{ready} of {} pods are ready, {} are wanted", pods.len(), wanted.replicas));
        }
        if let Some((key, _)) = self.pods.iter().find(|(_, pod)| pod.is_deleting) {
            return Some(format!("{key} is being deleted and never goes"));
        }
        let status = |field: &str| deployment.status[field].as_i64().unwrap_or(0);
        let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
        let wrong = counts.into_iter().find(|field| status(field) != wanted.replicas);
        if let Some(field) = wrong {
            return Some(format!("status.{field} is {} of {}", status(field), wanted.replicas));
        }
        let seen = status("observedGeneration");
        (seen != deployment.generation).then(|| format!("generation {seen} is observed of {}", deployment.generation))
    }
}
