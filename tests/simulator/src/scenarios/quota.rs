//! Many writers against one ResourceQuota, through crashes and lost answers.
//!
//! At every creation the namespace holds no more than the quota allows (or lately allowed); in the
//! end the quota says what is there.

use crate::ledger::{Change, Objects, under};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{FAULTS_OF_SERVERS, Fault, Scenario};
use client::{Api, Request, Verb};
use futures_util::future::join_all;
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const CONFIG_MAP: GroupVersionResource = GroupVersionResource::of("", "v1", "configmaps");
const QUOTA: GroupVersionResource = GroupVersionResource::of("", "v1", "resourcequotas");
const PODS: &str = "/registry/pods/default/";
const CONFIG_MAPS: &str = "/registry/configmaps/default/";
const THE_QUOTA: &str = "/registry/resourcequotas/default/limits";

/// What a lowered quota allowed counts this long: what was charged before may come after.
const WINDOW: Duration = Duration::from_secs(60);
const WRITERS: usize = 4;
/// Of each pod, in thousandths of a processor.
const CPU: i64 = 250;

/// Pods, ConfigMaps and thousandths of processors.
type Amounts = [i64; 3];

pub(super) struct Quota {
    writers: Vec<Arc<dyn Api>>,
    made: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Write,
    Delete,
    Change,
}

impl Scenario for Quota {
    type Step = Step;

    const NODES: usize = 1;
    const STEPS: &'static [(u64, Step)] = &[(12, Step::Write), (5, Step::Delete), (2, Step::Change)];
    const FAULTS: &'static [(u64, Fault)] = FAULTS_OF_SERVERS;
    const ROUNDS: Range<u64> = 15..40;
    const PAUSE: Range<u64> = 50..8_000;

    async fn start(player: &Player) -> Result<Self, String> {
        player.world.net.ledger.keep(Box::new(rule()));
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limits", "namespace": NAMESPACE},
            "spec": {"hard": hard(player)},
        });
        player.create(&QUOTA, &quota).await;
        Ok(Quota { writers: player.strangers(WRITERS), made: 0 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::Write => self.write(player).await,
            Step::Delete => {
                for (resource, prefix) in [(&POD, PODS), (&CONFIG_MAP, CONFIG_MAPS)] {
                    let objects = player.world.net.ledger.values(prefix);
                    for _ in 0..player.rng.usize(0..4).min(objects.len()) {
                        player.delete(resource, text(&player.any(&objects)["metadata"]["name"])).await;
                    }
                }
            }
            Step::Change => player.patch(&QUOTA, "limits", json!({"spec": {"hard": hard(player)}})).await,
        }
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let quota = ledger.value(THE_QUOTA).unwrap_or_default();
        let pods = ledger.values(PODS);
        if pods.iter().any(|pod| !pod["metadata"]["deletionTimestamp"].is_null()) {
            return Ok(Some("a pod is being deleted and never goes".to_owned()));
        }
        let maps = ledger.values(CONFIG_MAPS).len();
        let held = amounts(pods.iter().map(|pod| &**pod), maps);
        let said = read(&quota["status"]["used"]);
        let seen = quota["status"]["hard"] == quota["spec"]["hard"];
        Ok((said != Some(held) || !seen).then(|| format!("{held:?} is held, said is {}", quota["status"])))
    }
}

impl Quota {
    /// Everybody creates something at the same time, and takes no for an answer.
    async fn write(&mut self, player: &Player) {
        let mut creations = Vec::new();
        for writer in &self.writers {
            for _ in 0..player.rng.u64(1..4) {
                self.made += 1;
                let name = format!("one-{}", self.made);
                let (resource, object) = if player.rng.chance(0.6) {
                    let image = if player.rng.chance(0.5) { "done:1" } else { "good:1" };
                    (POD, pod(&name, image))
                } else {
                    (CONFIG_MAP, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}))
                };
                let create = Request::new(Verb::Create, resource).namespace(NAMESPACE).body(object.to_string());
                creations.push(writer.call(create));
            }
        }
        join_all(creations).await;
    }
}

fn pod(name: &str, image: &str) -> Value {
    let requests = json!({"cpu": format!("{CPU}m")});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "c", "image": image, "resources": {"requests": requests}}],
        },
    })
}

fn hard(player: &Player) -> Value {
    let cpu = i64::try_from(player.rng.u64(4..16)).unwrap_or(0) * CPU;
    json!({
        "pods": player.rng.u64(3..12).to_string(),
        "configmaps": player.rng.u64(3..12).to_string(),
        "requests.cpu": format!("{cpu}m"),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a list of resources says; None: not all is said yet.
fn read(list: &Value) -> Option<Amounts> {
    let number = |field: &str| list[field].as_str()?.parse().ok();
    let cpu = list["requests.cpu"].as_str()?;
    let cpu = match cpu.strip_suffix('m') {
        Some(milli) => milli.parse().ok()?,
        None => cpu.parse::<i64>().ok()? * 1000,
    };
    Some([number("pods")?, number("configmaps")?, cpu])
}

/// What counts: pods until they have ended, or are going; those count only until their grace is over,
/// and the clock may jump.
fn amounts<'a>(pods: impl Iterator<Item = &'a Value>, config_maps: usize) -> Amounts {
    let counts = |pod: &&Value| {
        pod["metadata"]["deletionTimestamp"].is_null()
            && !matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded")
    };
    let counts = pods.filter(counts).count();
    let pods = i64::try_from(counts).unwrap_or(i64::MAX);
    [pods, i64::try_from(config_maps).unwrap_or(i64::MAX), pods * CPU]
}

fn held(objects: &Objects) -> Amounts {
    let pods = under(objects, PODS).map(|(_, (_, pod))| &**pod);
    amounts(pods, under(objects, CONFIG_MAPS).count())
}

fn rule() -> impl FnMut(&Change<'_>) -> Option<String> {
    let mut allowed: VecDeque<(Instant, Amounts)> = VecDeque::new();
    move |change| {
        if change.key == THE_QUOTA {
            allowed.extend(change.after.and_then(|quota| read(&quota["spec"]["hard"])).map(|hard| (change.now, hard)));
            return None;
        }
        let at = [PODS, CONFIG_MAPS].iter().position(|prefix| change.key.starts_with(prefix))?;
        change.after.filter(|_| change.before.is_none())?;
        // The last that was set before the window counts in it too.
        while allowed.get(1).is_some_and(|(since, _)| change.now - *since > WINDOW) {
            allowed.pop_front();
        }
        let held = held(change.objects);
        let counted: &[usize] = if at == 0 { &[0, 2] } else { &[1] };
        let limit = |which: usize| allowed.iter().map(|(_, hard)| hard[which]).max().unwrap_or(i64::MAX);
        let over = counted.iter().find(|which| held[**which] > limit(**which))?;
        Some(format!("{} is one too many: {held:?} is held, {} is allowed", change.key, limit(*over)))
    }
}
