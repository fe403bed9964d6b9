//! What a scenario says, and how every scenario is played: set up, thrown about by its own steps and
//! by [`Fault`]s, calmed, and then it must converge, fall silent and have been told truly.
//!
//! A room of [`crate::scenarios`] says what its user does and which rules hold; it does not keep
//! time, start nodes or make anything fail.

use crate::chaos::Victim;
use crate::ledger::{Ledger, Written};
use crate::player::{Player, TICK};
use crate::recorder::Recorder;
use crate::world::{World, supervise};
use base::Rng;
use client::{Request, Response, Verb};
use meta::GroupVersionResource;
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Lines of trace per second of idleness: heartbeats of nodes, and watches that are renewed.
const IDLE_LINES_PER_SECOND: u64 = 3;
/// How far a machine's clock is set wrong at once, in seconds.
const CLOCK_JUMP: Range<u64> = 1..600;
/// What nodes write to show that they live.
const SIGNS_OF_LIFE: &[&str] = &["/registry/coordination.k8s.io/leases/", "/registry/nodes/"];

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub scenario: &'static str,
    pub seed: u64,
    /// Of the trace: the same seed has the same.
    pub hash: u64,
    pub writes: u64,
}

/// What was wrong, and what happened just before.
#[derive(Debug, Clone)]
pub struct Failure {
    pub scenario: &'static str,
    pub seed: u64,
    pub what: String,
    pub tail: Vec<String>,
}

pub type Verdict = Result<Summary, Failure>;

type Played = Pin<Box<dyn Future<Output = Verdict>>>;

/// How a seed is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// The trace goes to standard output as it happens.
    pub prints: bool,
    /// Watches lose events, which no client can make up for: a scenario worth anything fails.
    pub is_sabotaged: bool,
}

/// A scenario as [`crate::scenarios::ALL`] lists it.
pub struct Def {
    pub name: &'static str,
    play: fn(&'static str, u64, Mode) -> Played,
}

impl Def {
    pub(crate) const fn of<S: Scenario + 'static>(name: &'static str) -> Self {
        Def { name, play: |name, seed, mode| Box::pin(play::<S>(name, seed, mode)) }
    }

    /// Plays one seed in a world of its own; needs a current-thread runtime with paused time.
    ///
    /// # Errors
    /// A rule was broken.
    pub async fn play(&self, seed: u64, mode: Mode) -> Verdict {
        (self.play)(self.name, seed, mode).await
    }
}

/// What can go wrong with the machines in any scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Crash(Victim),
    /// One component is cut off for a while.
    Partition,
    /// What controllers know of the cluster is old for a while.
    Lag,
    StopNode,
    StartNodes,
    /// Its machine dies, and somebody deletes the Node.
    DeleteNode,
    JumpClock,
}

pub(crate) const FAULTS: &[(u64, Fault)] = &[
    (4, Fault::Crash(Victim::Server)),
    (5, Fault::Crash(Victim::Controllers)),
    (3, Fault::Crash(Victim::Scheduler)),
    (4, Fault::Partition),
    (2, Fault::StopNode),
    (3, Fault::StartNodes),
    (1, Fault::DeleteNode),
    (1, Fault::JumpClock),
];

/// The same where nodes stay.
pub(crate) const FAULTS_OF_SERVERS: &[(u64, Fault)] = &[
    (4, Fault::Crash(Victim::Server)),
    (5, Fault::Crash(Victim::Controllers)),
    (1, Fault::Crash(Victim::Scheduler)),
    (3, Fault::Partition),
    (1, Fault::JumpClock),
];

/// One scenario's user, with its rules.
pub(crate) trait Scenario: Sized {
    type Step: Copy + fmt::Debug + 'static;

    const NODES: usize = 3;
    /// What the user does, and how often each comes.
    const STEPS: &'static [(u64, Self::Step)];
    const FAULTS: &'static [(u64, Fault)] = FAULTS;
    /// How many steps and faults there are, and the milliseconds between two of them.
    const ROUNDS: Range<u64>;
    const PAUSE: Range<u64>;
    /// After the last fault all must be as wanted within this.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(900);
    /// Then late things may still come: evictions for lost nodes after five minutes.
    const SETTLES_WITHIN: Duration = Duration::from_secs(420);
    const IDLE: Duration = Duration::from_secs(600);
    /// Of these a watching client must be told every revision.
    const FOLLOWED: &'static [(GroupVersionResource, &'static str)] = &[];

    /// Makes what the scenario is about, in quiet weather; the nodes are there.
    async fn start(player: &Player) -> Result<Self, String>;

    async fn step(&mut self, player: &Player, step: Self::Step);

    /// The rules of every moment.
    fn check(&self, _ledger: &Ledger) -> Option<String> {
        None
    }

    /// The last faults are over: the user wants something that can be had.
    async fn calm(&mut self, _player: &Player) {}

    /// What is still missing; an error if it can never be right.
    fn unfinished(&self, player: &Player) -> Result<Option<String>, String>;

    /// Whether what was written while nothing happened is too much.
    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        let first = written.first()?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

/// One of a list, as often as its weight says.
pub(crate) fn draw<T: Copy>(rng: &Rng, weighted: &[(u64, T)]) -> T {
    let total: u64 = weighted.iter().map(|(weight, _)| weight).sum();
    let mut left = rng.u64(0..total);
    for (weight, one) in weighted {
        if left < *weight {
            return *one;
        }
        left -= weight;
    }
    weighted[0].1
}

async fn play<S: Scenario>(scenario: &'static str, seed: u64, mode: Mode) -> Verdict {
    let (world, deaths) = match World::start(seed, mode.prints).await {
        Ok(started) => started,
        Err(error) => return Err(Failure { scenario, seed, what: error.to_string(), tail: Vec::new() }),
    };
    if mode.is_sabotaged {
        world.net.chaos.sabotage();
    }
    let outcome = tokio::select! {
        biased;
        outcome = act::<S>(&world) => outcome,
        () = supervise(&world, deaths) => Err("the supervisor ended".to_owned()),
    };
    world.env.tasks.stop().await;
    let ledger = &world.net.ledger;
    match outcome.err().or_else(|| ledger.first_wrong()) {
        Some(what) => Err(Failure { scenario, seed, what, tail: ledger.tail() }),
        None => Ok(Summary { scenario, seed, hash: ledger.hash(), writes: ledger.seen() }),
    }
}

async fn act<S: Scenario>(world: &Arc<World>) -> Result<(), String> {
    let player = Player::new(world, S::NODES);
    player.start_nodes();
    player.nodes_known().await?;
    let recorders: Vec<_> =
        S::FOLLOWED.iter().map(|(resource, prefix)| Recorder::start(world, resource.clone(), prefix)).collect();
    let mut scenario = S::start(&player).await?;
    world.net.chaos.begin();
    for _ in 0..player.rng.u64(S::ROUNDS) {
        let pause = Duration::from_millis(player.rng.u64(S::PAUSE));
        player.wait(pause, &|ledger| scenario.check(ledger)).await?;
        turn(&mut scenario, &player).await;
    }
    world.net.ledger.note("calm");
    world.net.chaos.calm();
    player.start_nodes();
    scenario.calm(&player).await;
    converge(&scenario, &player).await?;
    idle(&scenario, &player).await?;
    match recorders.iter().find_map(|recorder| recorder.verdict(world)) {
        Some(wrong) => Err(wrong),
        None => compare(&player, S::FOLLOWED).await,
    }
}

/// A step of the user or of fate.
async fn turn<S: Scenario>(scenario: &mut S, player: &Player) {
    let weight = |weights: &mut dyn Iterator<Item = u64>| weights.sum::<u64>();
    let steps = weight(&mut S::STEPS.iter().map(|(weight, _)| *weight));
    let faults = weight(&mut S::FAULTS.iter().map(|(weight, _)| *weight));
    if player.rng.u64(0..steps + faults) < steps {
        let step = draw(&player.rng, S::STEPS);
        player.world.net.ledger.note(&format!("step {step:?}"));
        scenario.step(player, step).await;
    } else {
        let fault = draw(&player.rng, S::FAULTS);
        player.world.net.ledger.note(&format!("fault {fault:?}"));
        strike(player, fault).await;
    }
}

async fn strike(player: &Player, fault: Fault) {
    let world = &player.world;
    match fault {
        Fault::Crash(victim) => world.net.chaos.arm(victim),
        Fault::Partition => {
            let how_long = Duration::from_millis(player.rng.u64(500..20_000));
            let mut components = vec!["controllers", "controllers", "scheduler"];
            components.extend(player.nodes.iter().map(String::as_str));
            let component: &&str = player.any(&components);
            world.net.chaos.partition(component, how_long);
        }
        Fault::Lag => world.net.chaos.lag("controllers", Duration::from_millis(player.rng.u64(500..15_000))),
        Fault::StopNode => player.stop_node(player.any_node()).await,
        Fault::StartNodes => player.start_nodes(),
        Fault::DeleteNode => player.delete_node(player.any_node()).await,
        Fault::JumpClock => {
            let seconds = i64::try_from(player.rng.u64(CLOCK_JUMP)).unwrap_or(0);
            let seconds = if player.rng.chance(0.5) { seconds } else { -seconds };
            world.env.clock.jump(jiff::SignedDuration::from_secs(seconds));
        }
    }
}

async fn converge<S: Scenario>(scenario: &S, player: &Player) -> Result<(), String> {
    let mut missing = None;
    for _ in 0..S::CONVERGES_WITHIN.as_secs() {
        player.wait(TICK, &|ledger| scenario.check(ledger)).await?;
        missing = scenario.unfinished(player)?;
        if missing.is_none() {
            return Ok(());
        }
    }
    Err(format!("no end within {:?}: {}", S::CONVERGES_WITHIN, missing.unwrap_or_default()))
}

/// Nothing changes, so nothing may be written but signs of life, and hardly anything asked.
async fn idle<S: Scenario>(scenario: &S, player: &Player) -> Result<(), String> {
    let check = |ledger: &Ledger| scenario.check(ledger);
    player.wait(S::SETTLES_WITHIN, &check).await?;
    let ledger = &player.world.net.ledger;
    ledger.note("idle");
    let (before, lines) = (ledger.seen(), ledger.lines());
    player.wait(S::IDLE, &check).await?;
    let is_sign = |one: &Written| SIGNS_OF_LIFE.iter().any(|prefix| one.key.starts_with(prefix));
    let written: Vec<Written> = ledger.since(before).into_iter().filter(|one| !is_sign(one)).collect();
    let many = ledger.lines() - lines;
    match scenario.disturbs(ledger, &written) {
        Some(wrong) => Err(wrong),
        None if many > S::IDLE.as_secs() * IDLE_LINES_PER_SECOND => {
            Err(format!("{many} requests and writes while nothing happened"))
        }
        None => Ok(()),
    }
}

/// What the server shows is what was written.
async fn compare(player: &Player, followed: &[(GroupVersionResource, &'static str)]) -> Result<(), String> {
    for (resource, prefix) in followed {
        let Some(Response::List(list)) = player.insist(Request::new(Verb::List, resource.clone())).await else {
            return Err(format!("cannot list {}", resource.resource));
        };
        let shown: Vec<u64> = list.items.iter().map(|item| version(item)).collect();
        let written: Vec<u64> = player.world.net.ledger.revisions(prefix);
        if shown != written {
            return Err(format!("{} at {shown:?} are shown, at {written:?} were written", resource.resource));
        }
    }
    Ok(())
}

fn version(object: &[u8]) -> u64 {
    let object: Value = serde_json::from_slice(object).unwrap_or_default();
    object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0)
}
