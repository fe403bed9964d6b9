//! Namespaces full of many kinds, deleted and made again under the same name, some of their objects
//! held by finalizers, through crashes and dropped watches.
//!
//! A namespace goes when it is empty and no sooner, nothing is ever left without a namespace, and
//! nothing goes from one that stays but what the user deletes: least of all from one that only has
//! the name of another that went. In the end none hangs, and those that stay work.

use crate::chaos::Victim;
use crate::ledger::{Change, Ledger, Objects, Written, under};
use crate::player::Player;
use crate::scenario::{Fault, Scenario};
use client::{PatchType, Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

const SPACE: GroupVersionResource = GroupVersionResource::of("", "v1", "namespaces");
const SPACES: &str = "/registry/namespaces/";
const DEPLOYMENT: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const NAMES: &[&str] = &["room-1", "room-2", "room-3"];
const HOLD: &str = "example.com/hold";
const MEMBERS: usize = 2;

/// What namespaces are filled with: plural, kind, and what its objects need to say.
struct Kind {
    resource: GroupVersionResource,
    kind: &'static str,
    body: &'static str,
}

const fn kind(place: (&'static str, &'static str, &'static str), kind: &'static str, body: &'static str) -> Kind {
    Kind { resource: GroupVersionResource::of(place.0, place.1, place.2), kind, body }
}

const KINDS: &[Kind] = &[
    kind(("", "v1", "configmaps"), "ConfigMap", "{}"),
    kind(("", "v1", "secrets"), "Secret", "{}"),
    kind(("", "v1", "services"), "Service", r#"{"spec": {"clusterIP": "None", "selector": {"app": "web"}}}"#),
    kind(
        ("", "v1", "persistentvolumeclaims"),
        "PersistentVolumeClaim",
        r#"{"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#,
    ),
    kind(("rbac.authorization.k8s.io", "v1", "roles"), "Role", r#"{"rules": []}"#),
    kind(("coordination.k8s.io", "v1", "leases"), "Lease", "{}"),
    kind(
        ("policy", "v1", "poddisruptionbudgets"),
        "PodDisruptionBudget",
        r#"{"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}"#,
    ),
];

/// What the user asked to go, by uid.
type Doomed = Arc<Mutex<BTreeSet<String>>>;

pub(super) struct Namespace {
    doomed: Doomed,
    made: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Makes a namespace, unless it is there.
    Open,
    Fill,
    /// Deletes a namespace with all that is in it.
    Close,
    /// The same, and makes it again as soon as it is gone.
    Renew,
    Remove,
    Release,
}

impl Scenario for Namespace {
    type Step = Step;

    const NODES: usize = 2;
    const STEPS: &'static [(u64, Step)] =
        &[(5, Step::Open), (7, Step::Fill), (3, Step::Close), (6, Step::Renew), (3, Step::Remove), (6, Step::Release)];
    /// Names that come again are where old news hurt most.
    const FAULTS: &'static [(u64, Fault)] = &[
        (4, Fault::Crash(Victim::Server)),
        (5, Fault::Crash(Victim::Controllers)),
        (1, Fault::Crash(Victim::Scheduler)),
        (3, Fault::Partition),
        (5, Fault::Lag),
        (2, Fault::StopNode),
        (3, Fault::StartNodes),
        (1, Fault::JumpClock),
    ];
    const ROUNDS: Range<u64> = 15..35;
    const PAUSE: Range<u64> = 50..15_000;

    async fn start(player: &Player) -> Result<Self, String> {
        let doomed = Doomed::default();
        player.world.net.ledger.keep(Box::new(rule(doomed.clone())));
        let mut namespace = Namespace { doomed, made: 0 };
        namespace.open(player, NAMES[0]).await;
        Ok(namespace)
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let name = *player.any(NAMES);
        match step {
            Step::Open => self.open(player, name).await,
            Step::Fill => self.fill(player, name).await,
            Step::Close => close(player, name).await,
            Step::Renew => {
                close(player, name).await;
                for _ in 0..player.rng.u64(1..400) {
                    if player.world.net.ledger.value(&format!("{SPACES}{name}")).is_none() {
                        self.open(player, name).await;
                        self.fill(player, name).await;
                        return;
                    }
                    player.world.env.clock.sleep(std::time::Duration::from_millis(50)).await;
                }
            }
            Step::Remove => {
                let objects = things(&player.world.net.ledger);
                if !objects.is_empty() {
                    self.remove(player, player.any(&objects)).await;
                }
            }
            Step::Release => release(player, 3).await,
        }
    }

    async fn calm(&mut self, player: &Player) {
        release(player, usize::MAX).await;
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        for name in NAMES {
            let Some(space) = ledger.value(&format!("{SPACES}{name}")) else { continue };
            if is_going(&space) {
                return Ok(Some(format!("{name} is being deleted and never goes: {}", space["status"])));
            }
            if ledger.value(&format!("/registry/serviceaccounts/{name}/default")).is_none() {
                return Ok(Some(format!("{name} has no account")));
            }
            let deployment = ledger.value(&format!("/registry/apps/deployments/{name}/web")).unwrap_or_default();
            let available = deployment["status"]["availableReplicas"].as_u64().unwrap_or(0);
            if !deployment.is_null() && usize::try_from(available) != Ok(MEMBERS) {
                return Ok(Some(format!("{available} of the pods in {name} are available")));
            }
        }
        let going = things(ledger).into_iter().find(|(_, object)| is_going(object));
        Ok(going.map(|(key, _)| format!("{key} is being deleted and never goes")))
    }

    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        // A claim that finds no volume says so now and then.
        let first = written.iter().find(|one| !one.key.starts_with("/registry/events/"))?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

impl Namespace {
    async fn open(&mut self, player: &Player, name: &str) {
        let mut space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        if player.rng.chance(0.15) {
            space["metadata"]["finalizers"] = json!([HOLD]);
        }
        player.create(&SPACE, &space).await;
        if player.rng.chance(0.5) {
            player.create(&DEPLOYMENT, &deployment(name)).await;
        }
        self.fill(player, name).await;
    }

    /// More objects, if there is such a namespace and it stays.
    async fn fill(&mut self, player: &Player, name: &str) {
        for _ in 0..player.rng.u64(1..8) {
            self.made += 1;
            let kind = player.any::<Kind>(KINDS);
            let mut object: Value = serde_json::from_str(kind.body).unwrap_or_default();
            object["apiVersion"] = json!(kind.resource.group_version().to_string());
            object["kind"] = json!(kind.kind);
            object["metadata"] = json!({"name": format!("thing-{}", self.made), "namespace": name});
            if player.rng.chance(0.15) {
                object["metadata"]["finalizers"] = json!([HOLD]);
            }
            player.create(&kind.resource, &object).await;
        }
    }

    async fn remove(&self, player: &Player, (key, object): &(Arc<str>, Arc<Value>)) {
        let Some(request) = request_of(key, Verb::Delete) else { return };
        let uid = text(&object["metadata"]["uid"]);
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
        player.insist(request.body(json!({"preconditions": {"uid": uid}}).to_string())).await;
    }
}

async fn close(player: &Player, name: &str) {
    player.insist(Request::new(Verb::Delete, SPACE).name(name)).await;
}

/// Lets go of so many of the objects and namespaces that the user holds.
async fn release(player: &Player, many: usize) {
    let ledger = &player.world.net.ledger;
    let is_held = |object: &Value| {
        object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|finalizer| finalizer == HOLD)
    };
    let patch = |object: &Value| {
        let others = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        let others: Vec<&Value> = others.filter(|finalizer| *finalizer != HOLD).collect();
        json!({"metadata": {"uid": object["metadata"]["uid"], "finalizers": others}}).to_string()
    };
    let mut requests = Vec::new();
    for name in NAMES {
        if let Some(space) = ledger.value(&format!("{SPACES}{name}")).filter(|space| is_held(space)) {
            let request = Request::new(Verb::Patch(PatchType::Merge), SPACE).name(*name);
            requests.push(request.body(patch(&space)));
        }
    }
    for (key, object) in things(ledger).iter().filter(|(_, object)| is_held(object)) {
        let request = request_of(key, Verb::Patch(PatchType::Merge));
        requests.extend(request.map(|request| request.body(patch(object))));
    }
    player.rng.shuffle(&mut requests);
    for request in requests.into_iter().take(many) {
        player.insist(request).await;
    }
}

fn deployment(namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": MEMBERS, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "web", "image": "good:1"}]},
        }},
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// The namespace and the name in a key of the store, if it is in one of ours.
fn place(key: &str) -> Option<(&'static str, &str)> {
    let (rest, name) = key.rsplit_once('/')?;
    let namespace = rest.rsplit_once('/')?.1;
    NAMES.iter().find(|ours| **ours == namespace).map(|namespace| (*namespace, name))
}

/// What the user put into the namespaces.
fn things(ledger: &Ledger) -> Vec<(Arc<str>, Arc<Value>)> {
    ledger.entries("/registry/").into_iter().filter(|(key, _)| thing(key).is_some()).collect()
}

/// The kind of what the user made, by its key; controllers make others of the same name.
fn thing(key: &str) -> Option<&'static Kind> {
    let (namespace, name) = place(key).filter(|(_, name)| name.starts_with("thing-"))?;
    KINDS.iter().find(|kind| key.ends_with(&format!("/{}/{namespace}/{name}", kind.resource.resource)))
}

/// A request about the object of a key.
fn request_of(key: &str, verb: Verb) -> Option<Request> {
    let (namespace, name) = place(key)?;
    Some(Request::new(verb, thing(key)?.resource.clone()).namespace(namespace).name(name))
}

/// Something that is in a namespace.
fn content<'a>(objects: &'a Objects, namespace: &'a str) -> Option<&'a Arc<str>> {
    let mut all = under(objects, "/registry/").map(|(key, _)| key);
    all.find(|key| place(key).is_some_and(|(there, _)| there == namespace))
}

fn rule(doomed: Doomed) -> impl FnMut(&Change<'_>) -> Option<String> {
    move |change| {
        if let Some(name) = change.key.strip_prefix(SPACES) {
            let left = content(change.objects, name).filter(|_| change.after.is_none())?;
            return Some(format!("namespace {name} went and left {left}"));
        }
        let (namespace, _) = place(change.key)?;
        let space = change.objects.get(&*format!("{SPACES}{namespace}")).map(|(_, space)| space);
        let Some(before) = change.before else {
            return space.is_none().then(|| format!("{} was made in no namespace", change.key));
        };
        let starts_to_go = !is_going(before) && change.after.is_none_or(is_going);
        let is_doomed = || {
            let doomed = doomed.lock().unwrap_or_else(PoisonError::into_inner);
            doomed.contains(text(&before["metadata"]["uid"]))
        };
        let goes = thing(change.key).is_some() && starts_to_go && !space.is_some_and(|space| is_going(space));
        (goes && !is_doomed()).then(|| format!("{} goes, and its namespace stays", change.key))
    }
}
