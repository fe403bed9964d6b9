//! A DaemonSet, a StatefulSet and Jobs through crashes, dropped watches and lost nodes.
//!
//! At every moment a node has no more daemons than a surge allows, a Job no more pods under way than
//! it may, but for those whose creation was not answered, and no ordinal of the StatefulSet runs
//! twice (see [`crate::machines`]), nor does one start out of order, and a Job that is over is kept for as
//! long as it says. In the end all is as wanted, no pod that a Job ever made is counted twice, none that
//! ended is left out, every node has its range, and nobody writes.

use crate::ledger::{Change, Ledger, Objects, Written};
use crate::player::{NAMESPACE, NODES, Player};
use crate::scenario::Scenario;
use crate::skew::Skew;
use base::Clock;
use jiff::SignedDuration;
use meta::{GroupVersionResource, conditions, time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const DAEMON_SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "daemonsets");
const STATEFUL_SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "statefulsets");
const JOB: GroupVersionResource = GroupVersionResource::of("batch", "v1", "jobs");
const PODS: &str = "/registry/pods/default/";

const BRIEF: &str = "/registry/batch/jobs/default/brief";

const MEMBERS: i64 = 3;
/// Seconds for which a Job that is over is kept.
const KEPT: i64 = 40;
const COMPLETIONS: i64 = 12;
const PARALLELISM: usize = 4;
/// Pods made twice over a whole run.
const SURPLUS: i64 = 12;
/// An older member was well this lately, as far as a controller may know.
const WELL_LATELY: Duration = Duration::from_secs(60);
/// Creations that may be under way again because an answer was lost.
const UNSURE: usize = 4;

pub(super) struct Workloads {
    versions: u64,
    members: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    RollDaemons,
    RollMembers,
    ScaleMembers,
    DeletePod,
}

impl Scenario for Workloads {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] =
        &[(4, Step::RollDaemons), (4, Step::RollMembers), (4, Step::ScaleMembers), (6, Step::DeletePod)];
    const ROUNDS: Range<u64> = 8..20;
    const PAUSE: Range<u64> = 500..30_000;
    /// Failed pods of Jobs are tried again after up to ten minutes.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(7200);

    async fn start(player: &Player) -> Result<Self, String> {
        let surges = player.rng.chance(0.5);
        let rolling = json!({"maxSurge": i64::from(surges), "maxUnavailable": i64::from(!surges)});
        let select = |name: &str| json!({"matchLabels": {"app": name}});
        let spec = json!({
            "selector": select("daemon"), "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        });
        player.create(&DAEMON_SET, &workload("DaemonSet", "apps/v1", "daemon", spec, "good:1")).await;
        let policy = if player.rng.chance(0.5) { "OrderedReady" } else { "Parallel" };
        if policy == "OrderedReady" {
            player.world.net.ledger.keep(Box::new(in_order()));
        }
        let spec = json!({
            "selector": select("member"), "serviceName": "member", "replicas": MEMBERS,
            "podManagementPolicy": policy,
        });
        player.create(&STATEFUL_SET, &workload("StatefulSet", "apps/v1", "member", spec, "good:1")).await;
        for (name, mode) in [("count", "NonIndexed"), ("index", "Indexed")] {
            let mut spec = json!({
                "completions": COMPLETIONS, "parallelism": PARALLELISM, "backoffLimit": 100_000, "completionMode": mode,
            });
            spec["template"]["spec"]["restartPolicy"] = json!("Never");
            player.create(&JOB, &workload("Job", "batch/v1", name, spec, "done:1")).await;
        }
        let mut spec = json!({"backoffLimit": 100_000, "ttlSecondsAfterFinished": KEPT});
        spec["template"]["spec"]["restartPolicy"] = json!("Never");
        player.world.net.ledger.keep(Box::new(kept(player.world.env.clock.clone())));
        player.create(&JOB, &workload("Job", "batch/v1", "brief", spec, "done:1")).await;
        Ok(Workloads { versions: 1, members: MEMBERS })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::RollDaemons => self.roll(player, &DAEMON_SET, "daemon").await,
            Step::RollMembers => self.roll(player, &STATEFUL_SET, "member").await,
            Step::ScaleMembers => {
                self.members = i64::try_from(player.rng.u64(0..6)).unwrap_or(0);
                player.patch(&STATEFUL_SET, "member", json!({"spec": {"replicas": self.members}})).await;
            }
            Step::DeletePod => {
                let pods = player.world.net.ledger.values(PODS);
                if !pods.is_empty() {
                    player.delete(&POD, text(&player.any(&pods)["metadata"]["name"])).await;
                }
            }
        }
    }

    fn check(&self, ledger: &Ledger) -> Option<String> {
        check(ledger)
    }

    /// What is still missing; an error if it will never be right.
    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let pods = ledger.values(PODS);
        for (prefix, name, wanted) in [
            ("/registry/apps/daemonsets/default/daemon", "daemon", i64::try_from(player.nodes.len()).unwrap_or(0)),
            ("/registry/apps/statefulsets/default/member", "member", self.members),
        ] {
            let object = ledger.value(prefix).unwrap_or_default();
            let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
            let own: Vec<&Value> = pods.iter().map(|pod| &**pod).filter(|pod| app(pod) == name).collect();
            let newest =
                own.iter().filter(|pod| is_ready(pod) && pod["spec"]["containers"][0]["image"] == *image).count();
            if i64::try_from(newest) != Ok(wanted) || own.len() != newest {
                return Ok(Some(format!(
                    "{newest} of {} pods of {name} are new and ready, {wanted} wanted",
                    own.len()
                )));
            }
            let fields: &[&str] = match name {
                "daemon" => &["numberAvailable", "updatedNumberScheduled", "desiredNumberScheduled"],
                _ => &["readyReplicas", "updatedReplicas", "currentReplicas", "availableReplicas"],
            };
            let status = |field: &str| object["status"][field].as_i64().unwrap_or(0);
            if let Some(field) = fields.iter().find(|field| status(field) != wanted) {
                return Ok(Some(format!("status.{field} of {name} is {} of {wanted}", status(field))));
            }
        }
        for name in ["count", "index"] {
            let job = ledger.value(&format!("/registry/batch/jobs/default/{name}")).unwrap_or_default();
            if !conditions::is_true(&job["status"]["conditions"], "Complete") {
                return Ok(Some(format!("{name} is not complete: {}", job["status"])));
            }
            check_counts(ledger, name, &job["status"])?;
        }
        if let Some(node) = ledger.values(NODES).iter().find(|node| !node["spec"]["podCIDR"].is_string()) {
            return Ok(Some(format!("{} has no range", node["metadata"]["name"])));
        }
        let brief = ledger.value(BRIEF);
        Ok(brief.map(|job| format!("brief is kept for longer than it was to be: {}", job["status"])))
    }

    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        let first = written.iter().find(|one| !one.key.starts_with("/registry/events/"))?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

impl Workloads {
    async fn roll(&mut self, player: &Player, resource: &GroupVersionResource, name: &str) {
        self.versions += 1;
        let containers = json!([{"name": "c", "image": format!("good:{}", self.versions)}]);
        player.patch(resource, name, json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The workload a pod belongs to, by the label that the scenario gives.
fn app(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["app"])
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_active(pod: &Value) -> bool {
    let over = matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded");
    !over && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    is_active(pod) && conditions::is_true(&pod["status"]["conditions"], "Ready")
}

/// A member comes only when all before it are well, or were until lately.
fn in_order() -> impl FnMut(&Change<'_>) -> Option<String> {
    let mut well: BTreeMap<i64, Instant> = BTreeMap::new();
    let ordinal = |key: &str| key.strip_prefix(PODS)?.strip_prefix("member-")?.parse::<i64>().ok();
    let is_well = |objects: &Objects, number: i64| {
        objects.get(&*format!("{PODS}member-{number}")).is_some_and(|(_, pod)| is_ready(pod))
    };
    move |change| {
        let number = ordinal(change.key)?;
        if change.before.is_some_and(is_ready) {
            well.insert(number, change.now);
        }
        change.after.filter(|_| change.before.is_none())?;
        let was_well = |number: &i64| {
            is_well(change.objects, *number) || well.get(number).is_some_and(|at| change.now - *at <= WELL_LATELY)
        };
        let missing = (0..number).find(|number| !was_well(number))?;
        Some(format!("{} comes before member-{missing} is ready", change.key))
    }
}

/// A Job that is over is kept for as long as it says.
fn kept(clock: Clock) -> impl FnMut(&Change<'_>) -> Option<String> {
    let mut skew = Skew::new(clock);
    move |change| {
        skew.look(change.now);
        let job = change.before.filter(|_| change.key == BRIEF && change.after.is_none_or(is_going))?;
        let over = time::parse(text(&job["status"]["completionTime"])).ok();
        let until = over.and_then(|over| over.checked_add(SignedDuration::from_secs(KEPT)).ok());
        let is_early = !is_going(job) && until.is_none_or(|until| skew.latest() < until);
        is_early.then(|| format!("{} goes before its time: {}", change.key, job["status"]))
    }
}

/// The rules of every moment.
fn check(ledger: &Ledger) -> Option<String> {
    let pods = ledger.values(PODS);
    let mut daemons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut working: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_active(pod)) {
        match app(pod) {
            "daemon" if !text(&pod["spec"]["nodeName"]).is_empty() => {
                *daemons.entry(text(&pod["spec"]["nodeName"])).or_default() += 1;
            }
            job @ ("count" | "index") => *working.entry(job).or_default() += 1,
            _ => {}
        }
    }
    if let Some((node, many)) = daemons.iter().find(|(_, many)| **many > 1 + UNSURE) {
        return Some(format!("{node} has {many} daemons"));
    }
    let (job, many) = working.iter().find(|(_, many)| **many > PARALLELISM + UNSURE)?;
    Some(format!("{many} pods of {job} are under way"))
}

fn workload(kind: &str, version: &str, name: &str, spec: Value, image: &str) -> Value {
    let mut object = json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    });
    object["spec"]["template"]["metadata"] = json!({"labels": {"app": name}});
    let pod = &mut object["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(5);
    pod["containers"] = json!([{"name": "c", "image": image, "resources": {"requests": {"cpu": "100m"}}}]);
    object
}

/// Every pod that was ever made is counted, none twice, but for those that were too many.
fn check_counts(ledger: &Ledger, name: &str, status: &Value) -> Result<(), String> {
    let prefix = format!("{PODS}{name}-");
    let history = ledger.since(0);
    let made: BTreeSet<&str> =
        history.iter().map(|written| written.key.as_ref()).filter(|key| key.starts_with(&prefix)).collect();
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let counted = number("succeeded") + number("failed");
    if status["uncountedTerminatedPods"].as_object().is_some_and(|lists| !lists.is_empty()) {
        return Err(format!("{name} is complete, and not all is counted: {status}"));
    }
    match name {
        "index" if status["completedIndexes"] != format!("0-{}", COMPLETIONS - 1) => {
            Err(format!("{name} is complete without all its indexes: {status}"))
        }
        // Those that were one too many are ended without being counted.
        "count" if !(0..=SURPLUS).contains(&(i64::try_from(made.len()).unwrap_or(i64::MAX) - counted)) => {
            Err(format!("{name} made {} pods and counted {counted}: {status}", made.len()))
        }
        _ => Ok(()),
    }
}
