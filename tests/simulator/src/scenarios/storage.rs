//! A StatefulSet whose members have claims, scaled, deleted and made again under one of the retention
//! policies, with volumes that a user makes by hand, through crashes, dropped watches and lost nodes.
//!
//! No volume is two claims', no claim goes from under a pod that runs, and none goes that the policy
//! keeps. In the end every member runs on a volume of its own, and nobody writes.

use crate::ledger::{Change, Ledger, Written, under};
use crate::player::{NAMESPACE, Player};
use crate::scenario::Scenario;
use client::{Request, Verb};
use meta::{GroupVersionResource, conditions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const STATEFUL_SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "statefulsets");
const VOLUME: GroupVersionResource = GroupVersionResource::of("", "v1", "persistentvolumes");
const CLAIM: GroupVersionResource = GroupVersionResource::of("", "v1", "persistentvolumeclaims");
const PODS: &str = "/registry/pods/default/";
const THE_SET: &str = "/registry/apps/statefulsets/default/data";
const CLAIMS: &str = "/registry/persistentvolumeclaims/default/";
const VOLUMES: &str = "/registry/persistentvolumes/";

const MEMBERS: u64 = 3;
/// The most there ever are.
const MANY: u64 = 5;
/// How long somebody may act on what is no longer so.
const WINDOW: Duration = Duration::from_secs(90);

/// The claims that the user asked to go, by uid.
type Doomed = Arc<Mutex<BTreeSet<String>>>;

pub(super) struct Storage {
    set: Value,
    members: u64,
    volumes: u64,
    doomed: Doomed,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Scale,
    DeletePod,
    DeleteClaim,
    /// The set goes with all its pods, and comes again.
    Renew,
    Provide,
    /// Volumes that nobody has any longer go.
    Clear,
}

impl Scenario for Storage {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[
        (7, Step::Scale),
        (4, Step::DeletePod),
        (2, Step::DeleteClaim),
        (2, Step::Renew),
        (4, Step::Provide),
        (2, Step::Clear),
    ];
    const ROUNDS: Range<u64> = 10..30;
    const PAUSE: Range<u64> = 500..30_000;
    const CONVERGES_WITHIN: Duration = Duration::from_secs(3600);

    async fn start(player: &Player) -> Result<Self, String> {
        let policy = |is: bool| if is { "Delete" } else { "Retain" };
        let (with_set, with_pod) = (player.rng.chance(0.5), player.rng.chance(0.5));
        let doomed = Doomed::default();
        let (few, since) = (BTreeMap::new(), BTreeMap::new());
        let mut rules = Rules { with_set, with_pod, doomed: doomed.clone(), few, went: None, since };
        player.world.net.ledger.keep(Box::new(move |change| rules.judge(change)));
        let management = if player.rng.chance(0.5) { "OrderedReady" } else { "Parallel" };
        let container =
            json!({"name": "c", "image": "good:1", "volumeMounts": [{"name": "disk", "mountPath": "/data"}]});
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "data", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": {"app": "data"}}, "serviceName": "data", "replicas": MEMBERS,
                "podManagementPolicy": management,
                "persistentVolumeClaimRetentionPolicy": {
                    "whenDeleted": policy(with_set), "whenScaled": policy(with_pod),
                },
                "template": {
                    "metadata": {"labels": {"app": "data"}},
                    "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
                },
                "volumeClaimTemplates": [{"metadata": {"name": "disk"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                    "resources": {"requests": {"storage": "1Gi"}},
                }}],
            },
        });
        let mut storage = Storage { set, members: MEMBERS, volumes: 0, doomed };
        storage.provide(player, MEMBERS).await;
        player.create(&STATEFUL_SET, &storage.set).await;
        Ok(storage)
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let ledger = &player.world.net.ledger;
        match step {
            Step::Scale => {
                self.members = player.rng.u64(0..MANY + 1);
                self.set["spec"]["replicas"] = json!(self.members);
                player.patch(&STATEFUL_SET, "data", json!({"spec": {"replicas": self.members}})).await;
            }
            Step::DeletePod | Step::DeleteClaim => {
                let (resource, prefix) = if matches!(step, Step::DeletePod) { (&POD, PODS) } else { (&CLAIM, CLAIMS) };
                let objects = ledger.values(prefix);
                if !objects.is_empty() {
                    let object = player.any(&objects);
                    let uid = text(&object["metadata"]["uid"]).to_owned();
                    self.doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(uid);
                    player.delete(resource, text(&object["metadata"]["name"])).await;
                }
            }
            Step::Renew => self.renew(player).await,
            Step::Provide => self.provide(player, player.rng.u64(1..4)).await,
            Step::Clear => {
                let volumes = ledger.values(VOLUMES);
                for volume in volumes.iter().filter(|volume| volume["status"]["phase"] == "Released") {
                    let name = text(&volume["metadata"]["name"]);
                    player.insist(Request::new(Verb::Delete, VOLUME).name(name)).await;
                }
            }
        }
    }

    /// Volumes for all, whatever became of those there were.
    async fn calm(&mut self, player: &Player) {
        player.create(&STATEFUL_SET, &self.set).await;
        self.provide(player, MANY + 1).await;
        // A claim that is to go waits until nobody uses it.
        for claim in player.world.net.ledger.values(CLAIMS).iter().filter(|claim| is_going(claim)) {
            player.delete(&POD, text(&claim["metadata"]["name"]).trim_start_matches("disk-")).await;
        }
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let pods = ledger.values(PODS);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        if ready as u64 != self.members || ready != pods.len() {
            return Ok(Some(format!("{ready} of {} pods are ready, {} are wanted", pods.len(), self.members)));
        }
        let set = ledger.value(THE_SET).unwrap_or_default();
        let available = set["status"]["availableReplicas"].as_u64().unwrap_or(0);
        if available != self.members {
            return Ok(Some(format!("status.availableReplicas is {available} of {}", self.members)));
        }
        for number in 0..self.members {
            let claim = ledger.value(&format!("{CLAIMS}disk-data-{number}")).unwrap_or_default();
            let volume = text(&claim["spec"]["volumeName"]);
            let volume = ledger.value(&format!("{VOLUMES}{volume}")).unwrap_or_default();
            let is_one = volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"];
            if claim["status"]["phase"] != "Bound" || volume["status"]["phase"] != "Bound" || !is_one {
                return Ok(Some(format!("disk-data-{number} is not bound: {}, {}", claim["status"], volume["spec"])));
            }
        }
        // A claim may have been deleted, with the set it had been made for, just as a new pod took it: then
        // it goes when that pod goes.
        let is_used = |object: &Value| {
            let name = &object["metadata"]["name"];
            let mounts = |pod: &Arc<Value>| {
                let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
                volumes.into_iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == *name)
            };
            object["kind"] == "PersistentVolumeClaim" && pods.iter().any(mounts)
        };
        for prefix in [CLAIMS, VOLUMES] {
            if let Some(object) = ledger.values(prefix).iter().find(|object| is_going(object) && !is_used(object)) {
                return Ok(Some(format!("{} is being deleted and never goes", object["metadata"]["name"])));
            }
        }
        Ok(None)
    }

    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        // A claim that nobody uses and that finds no volume says so now and then.
        let first = written.iter().find(|one| !one.key.starts_with("/registry/events/"))?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

impl Storage {
    async fn provide(&mut self, player: &Player, many: u64) {
        for _ in 0..many {
            self.volumes += 1;
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("disk-{}", self.volumes)},
                "spec": {
                    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/disks"},
                },
            });
            player.create(&VOLUME, &volume).await;
        }
    }

    async fn renew(&self, player: &Player) {
        player.delete(&STATEFUL_SET, "data").await;
        for _ in 0..player.rng.u64(1..100) {
            player.world.env.clock.sleep(Duration::from_millis(200)).await;
            if player.world.net.ledger.value(THE_SET).is_none() {
                break;
            }
        }
        player.create(&STATEFUL_SET, &self.set).await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && !is_going(pod) && conditions::is_true(&pod["status"]["conditions"], "Ready")
}

/// The number of the member that a claim is for.
fn ordinal(claim: &str) -> Option<u64> {
    claim.strip_prefix(CLAIMS)?.strip_prefix("disk-data-")?.parse().ok()
}

/// What is judged at each write.
struct Rules {
    with_set: bool,
    with_pod: bool,
    doomed: Doomed,
    /// Until when so few members were wanted, by that number.
    few: BTreeMap<u64, Instant>,
    went: Option<Instant>,
    /// Since when claims have been there, and pods on their nodes, by uid.
    since: BTreeMap<String, Instant>,
}

impl Rules {
    fn judge(&mut self, change: &Change<'_>) -> Option<String> {
        if change.key == THE_SET {
            let wanted = change.before.or(change.after).and_then(|set| set["spec"]["replicas"].as_u64());
            wanted.into_iter().chain(change.after.and_then(|set| set["spec"]["replicas"].as_u64())).for_each(
                |wanted| {
                    self.few.insert(wanted, change.now);
                },
            );
            if change.after.is_none() {
                self.went = Some(change.now);
            }
            return None;
        }
        let uid = |object: &Value| text(&object["metadata"]["uid"]).to_owned();
        if change.key.starts_with(PODS) {
            let bound = change.after.filter(|pod| !text(&pod["spec"]["nodeName"]).is_empty())?;
            self.since.entry(uid(bound)).or_insert(change.now);
            return None;
        }
        if !change.key.starts_with(CLAIMS) {
            return None;
        }
        if let Some(claim) = change.after {
            self.since.entry(uid(claim)).or_insert(change.now);
        }
        shared(change).or_else(|| self.lost(change)).or_else(|| self.taken_from_under(change))
    }

    /// A claim that nobody may take starts to go.
    fn lost(&self, change: &Change<'_>) -> Option<String> {
        let claim = change.before.filter(|claim| !is_going(claim) && change.after.is_none_or(is_going))?;
        let uid = text(&claim["metadata"]["uid"]);
        let (born, number) = (*self.since.get(uid)?, ordinal(change.key)?);
        let scaled = || self.few.range(..=number).any(|(_, until)| *until >= born) || self.is_spare(change, number);
        // Who had not heard that the set went may still have made a claim of it.
        let went = || self.went.is_some_and(|at| at + WINDOW >= born);
        let is_doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner).contains(uid);
        let is_fair = is_doomed || self.with_pod && scaled() || self.with_set && went();
        (!is_fair).then(|| format!("{} goes, and it is to be kept", change.key))
    }

    fn is_spare(&self, change: &Change<'_>, number: u64) -> bool {
        let set = change.objects.get(THE_SET);
        set.and_then(|(_, set)| set["spec"]["replicas"].as_u64()).is_some_and(|wanted| wanted <= number)
    }

    /// A claim is gone, and a pod has long been on a node with it.
    fn taken_from_under(&self, change: &Change<'_>) -> Option<String> {
        let claim = change.before.filter(|_| change.after.is_none())?;
        let uses = |pod: &Value| {
            let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
            let mut names = volumes.map(|volume| &volume["persistentVolumeClaim"]["claimName"]);
            let since = self.since.get(text(&pod["metadata"]["uid"]));
            let is_there = since.is_some_and(|since| change.now - *since > WINDOW);
            let runs = !matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded");
            is_there && runs && names.any(|name| *name == claim["metadata"]["name"])
        };
        let (key, _) = under(change.objects, PODS).find(|(_, (_, pod))| uses(pod))?;
        Some(format!("{} is gone, and {key} still uses it", change.key))
    }
}

/// Two claims have one volume.
fn shared(change: &Change<'_>) -> Option<String> {
    let volume = change.after.map(|claim| &claim["spec"]["volumeName"]).filter(|volume| volume.is_string())?;
    let mut claims = under(change.objects, CLAIMS).filter(|(key, _)| ***key != *change.key);
    let (other, _) = claims.find(|(_, (_, claim))| claim["spec"]["volumeName"] == *volume)?;
    Some(format!("{} and {other} are both bound to {volume}", change.key))
}
