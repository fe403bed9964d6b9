//! A Deployment under an autoscaler whose load rises and falls, whose metrics fail now and then and
//! whose bounds are moved, through crashes and lost answers.
//!
//! The count never leaves its bounds, never changes faster than the behaviour allows, and never comes
//! down so soon after it went up (or the other way round) that the behaviour forbids it, as long as the
//! autoscaler can know its past. In the end it is what the load asks for, and nobody writes.

use crate::chaos::Victim;
use crate::ledger::Change;
use crate::meter::{Meter, share};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{Fault, Scenario};
use crate::skew::Skew;
use base::Clock;
use meta::{GroupVersionResource, conditions};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const DEPLOYMENT: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const AUTOSCALER: GroupVersionResource = GroupVersionResource::of("autoscaling", "v2", "horizontalpodautoscalers");
const PODS: &str = "/registry/pods/default/";
const THE_DEPLOYMENT: &str = "/registry/apps/deployments/default/web";
const THE_AUTOSCALER: &str = "/registry/autoscaling/horizontalpodautoscalers/default/web";

/// What each pod asks for, and what it is to use, in thousandths of a processor.
const REQUEST: i64 = 100;
const TARGET: i64 = 50;
/// Up to what the load may go.
const LOAD: Range<u64> = 0..700;
/// Somebody may act on bounds or a count of this long ago.
const WINDOW: Duration = Duration::from_secs(90);
/// Between the moment a look counts as and its write.
const SLACK: Duration = Duration::from_secs(20);

/// How fast and how soon the count may change; None: upstream's way of long ago, without a behaviour.
#[derive(Debug, Clone, Copy)]
struct Behavior {
    /// Pods in [`Behavior::period`].
    up: i64,
    down: i64,
    period: u64,
    up_window: u64,
    down_window: u64,
}

pub(super) struct Autoscaling {
    versions: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Load,
    /// Metrics are not to be had.
    Outage,
    Mend,
    Bounds,
    Roll,
    DeletePod,
}

impl Scenario for Autoscaling {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[
        (8, Step::Load),
        (1, Step::Outage),
        (3, Step::Mend),
        (2, Step::Bounds),
        (1, Step::Roll),
        (2, Step::DeletePod),
    ];
    /// Controllers that die often can know nothing of their past.
    const FAULTS: &'static [(u64, Fault)] = &[
        (3, Fault::Crash(Victim::Server)),
        (1, Fault::Crash(Victim::Controllers)),
        (1, Fault::Crash(Victim::Scheduler)),
        (2, Fault::Partition),
        (1, Fault::StopNode),
        (2, Fault::StartNodes),
        (1, Fault::JumpClock),
    ];
    const ROUNDS: Range<u64> = 10..30;
    const PAUSE: Range<u64> = 1000..90_000;
    /// It comes down by as little as a pod in two minutes.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(7200);

    async fn start(player: &Player) -> Result<Self, String> {
        let net = &player.world.net;
        let behavior = player.rng.chance(0.75).then(|| behavior(player));
        let rules = Rules::new(player.world.env.clock.clone(), net.meter.clone(), behavior);
        net.ledger.keep(Box::new(rules.into_rule()));
        let selector = json!({"matchLabels": {"app": "web"}});
        let container =
            json!({"name": "web", "image": "good:1", "resources": {"requests": {"cpu": format!("{REQUEST}m")}}});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"replicas": 3, "selector": selector, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
            }},
        });
        player.create(&DEPLOYMENT, &deployment).await;
        let resource =
            json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": TARGET * 100 / REQUEST}});
        let mut autoscaler = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 8, "metrics": [{"type": "Resource", "resource": resource}],
            },
        });
        if let Some(behavior) = behavior {
            autoscaler["spec"]["behavior"] = behavior.spec();
        }
        player.create(&AUTOSCALER, &autoscaler).await;
        load(player);
        Ok(Autoscaling { versions: 1 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::Load => load(player),
            Step::Outage => player.world.net.meter.set_silent(true),
            Step::Mend => player.world.net.meter.set_silent(false),
            Step::Bounds => {
                let least = player.rng.u64(1..4);
                let most = least + player.rng.u64(0..9);
                player.patch(&AUTOSCALER, "web", json!({"spec": {"minReplicas": least, "maxReplicas": most}})).await;
            }
            Step::Roll => {
                self.versions += 1;
                let containers = json!([{"name": "web", "image": format!("good:{}", self.versions)}]);
                let template = json!({"spec": {"template": {"spec": {"containers": containers}}}});
                player.patch(&DEPLOYMENT, "web", template).await;
            }
            Step::DeletePod => {
                let pods = player.world.net.ledger.values(PODS);
                if !pods.is_empty() {
                    let pod = player.any(&pods);
                    player.world.net.ledger.judge(|judge, _| judge.doom(text(&pod["metadata"]["uid"])));
                    player.delete(&POD, text(&pod["metadata"]["name"])).await;
                }
            }
        }
    }

    /// A little more of it while nothing fails, when the autoscaler has no excuse.
    async fn calm(&mut self, player: &Player) {
        player.world.net.meter.set_silent(false);
        for _ in 0..player.rng.u64(1..5) {
            load(player);
            player.world.env.clock.sleep(Duration::from_secs(player.rng.u64(20..400))).await;
        }
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let net = &player.world.net;
        let count = |value: &Value| value.as_i64().unwrap_or(-1);
        let deployment = net.ledger.value(THE_DEPLOYMENT).unwrap_or_default();
        let replicas = count(&deployment["spec"]["replicas"]);
        let autoscaler = net.ledger.value(THE_AUTOSCALER).unwrap_or_default();
        let wanted = wanted(&autoscaler, net.meter.load(), replicas);
        if replicas != wanted {
            return Ok(Some(format!("{replicas} replicas are asked for, the load is for {wanted}")));
        }
        if count(&deployment["status"]["availableReplicas"]) != replicas {
            return Ok(Some(format!("of {replicas} replicas are available: {}", deployment["status"])));
        }
        let status = &autoscaler["status"];
        let is_so = |kind| conditions::is_true(&status["conditions"], kind);
        let counted = count(&status["currentReplicas"]) == replicas && count(&status["desiredReplicas"]) == replicas;
        let is_told = counted && is_so("AbleToScale") && is_so("ScalingActive");
        Ok((!is_told).then(|| format!("the autoscaler says of {replicas} replicas {status}")))
    }
}

impl Behavior {
    fn spec(&self) -> Value {
        let rules = |value, window| {
            let policies = json!([{"type": "Pods", "value": value, "periodSeconds": self.period}]);
            json!({"stabilizationWindowSeconds": window, "policies": policies})
        };
        json!({"scaleUp": rules(self.up, self.up_window), "scaleDown": rules(self.down, self.down_window)})
    }
}

fn behavior(player: &Player) -> Behavior {
    let few = || i64::try_from(player.rng.u64(1..4)).unwrap_or(1);
    Behavior {
        up: few(),
        down: few(),
        period: *player.any::<u64>(&[60, 90, 120]),
        up_window: *player.any::<u64>(&[0, 0, 60, 120]),
        down_window: *player.any::<u64>(&[0, 60, 120, 300]),
    }
}

fn load(player: &Player) {
    let load = i64::try_from(player.rng.u64(LOAD)).unwrap_or(0);
    player.world.net.ledger.note(&format!("load {load}"));
    player.world.net.meter.set_load(load);
}

/// What the load asks for where there are so many.
fn asked(load: i64, replicas: i64) -> i64 {
    let used = share(load, usize::try_from(replicas).unwrap_or(0));
    // Within a tenth of the target nothing is to change.
    match (used - TARGET).abs() * 10 <= TARGET {
        true => replicas,
        false => (used * replicas + TARGET - 1) / TARGET,
    }
}

/// The same within bounds.
fn wanted(autoscaler: &Value, load: i64, replicas: i64) -> i64 {
    let bound = |field: &str| autoscaler["spec"][field].as_i64().unwrap_or(1);
    asked(load, replicas).max(bound("minReplicas")).min(bound("maxReplicas"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A count as the autoscaler set it.
#[derive(Debug, Clone, Copy)]
struct Set {
    at: Instant,
    from: i64,
    to: i64,
    /// The load of that moment asked for it: not bounds that were moved, nor a load of some minutes
    /// before, which makes for growth as soon as nothing is in its way any more.
    is_asked: bool,
}

/// What is judged at each write.
struct Rules {
    skew: Skew,
    meter: Arc<Meter>,
    behavior: Option<Behavior>,
    bounds: VecDeque<(Instant, (i64, i64))>,
    sets: Vec<Set>,
}

impl Rules {
    fn new(clock: Clock, meter: Arc<Meter>, behavior: Option<Behavior>) -> Self {
        Rules { skew: Skew::new(clock), meter, behavior, bounds: VecDeque::new(), sets: Vec::new() }
    }

    fn into_rule(mut self) -> impl FnMut(&Change<'_>) -> Option<String> {
        move |change| {
            self.watch_clock(change.now);
            if change.key == THE_AUTOSCALER {
                let spec = &change.after?["spec"];
                let bound = |field: &str| spec[field].as_i64().unwrap_or(1);
                self.bounds.push_back((change.now, (bound("minReplicas"), bound("maxReplicas"))));
            }
            if change.key == THE_DEPLOYMENT {
                let count = |deployment: &Value| deployment["spec"]["replicas"].as_i64();
                let (from, to) = (count(change.before?)?, count(change.after?)?);
                return if from == to { None } else { self.judge(change.now, from, to) };
            }
            None
        }
    }

    /// Where the clock is set, what happened before did so earlier or later than the autoscaler thinks.
    fn watch_clock(&mut self, now: Instant) {
        if !self.skew.look(now).is_zero() {
            self.meter.forget(now);
        }
    }

    fn judge(&mut self, now: Instant, from: i64, to: i64) -> Option<String> {
        while self.bounds.get(1).is_some_and(|(since, _)| now - *since > WINDOW) {
            self.bounds.pop_front();
        }
        let (mins, maxs) =
            (self.bounds.iter().map(|(_, bounds)| bounds.0), self.bounds.iter().map(|(_, bounds)| bounds.1));
        let (lowest, highest) = (mins.clone().min()?, maxs.clone().max()?);
        if !(lowest..=highest).contains(&to) {
            return Some(format!("{to} replicas are asked for, {lowest} to {highest} are allowed"));
        }
        let is_forced = from < mins.max()? || from > maxs.min()?;
        let wrong =
            if is_forced { None } else { self.too_fast(now, from, to).or_else(|| self.too_soon(now, from, to)) };
        let is_asked = !is_forced && (to < from || to <= asked(self.meter.load(), from));
        self.sets.push(Set { at: now, from, to, is_asked });
        wrong
    }

    /// Whether the autoscaler must know what happened in these last seconds.
    fn knows(&self, now: Instant, past: Duration) -> bool {
        self.meter.forgotten().is_none_or(|at| now.saturating_duration_since(at) > past)
    }

    fn too_fast(&self, now: Instant, from: i64, to: i64) -> Option<String> {
        let Some(behavior) = self.behavior else {
            let most = (from * 2).max(4);
            return (to > most).then(|| format!("{from} replicas became {to} at once, {most} are allowed"));
        };
        let period = Duration::from_secs(behavior.period);
        if !self.knows(now, period + SLACK) {
            return None;
        }
        // Of when the period began nobody knows the second.
        let (early, late) = (
            now - (period + SLACK).min(now - self.skew.started()),
            now - (period - SLACK).min(now - self.skew.started()),
        );
        let mut counts = vec![self.count_at(early, from)];
        counts.extend(self.sets.iter().filter(|set| early < set.at && set.at <= late).map(|set| set.to));
        let (most, least) = (counts.iter().max()? + behavior.up, counts.iter().min()? - behavior.down);
        let is_wrong = to > from && to > most || to < from && to < least;
        is_wrong.then(|| format!("{from} replicas became {to}, and were {counts:?} {period:?} before: {behavior:?}"))
    }

    fn count_at(&self, then: Instant, now: i64) -> i64 {
        let next = self.sets.iter().find(|set| set.at > then);
        next.map_or(now, |set| set.from)
    }

    /// Growth says that so many were asked for, and for a while nothing less may be done.
    fn too_soon(&self, now: Instant, from: i64, to: i64) -> Option<String> {
        let windows = self.behavior.map_or((0, 300), |behavior| (behavior.up_window, behavior.down_window));
        let window = Duration::from_secs(if to > from { windows.0 } else { windows.1 });
        if !self.knows(now, window + SLACK) {
            return None;
        }
        let lately = |set: &&Set| set.is_asked && now - set.at + SLACK < window;
        let contradicts = |set: &&Set| match to > from {
            true => set.to < set.from && set.to < to,
            false => set.to > set.from && set.to > to,
        };
        let before = self.sets.iter().filter(lately).find(contradicts)?;
        Some(format!("{from} replicas became {to}, {:?} after {} became {}", now - before.at, before.from, before.to))
    }
}
