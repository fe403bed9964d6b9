//! Plays scenarios for many seeds, on as many threads as there are processors, and prints how to
//! play a failed one again.

use crate::scenario::{Def, Failure, Mode, Summary, Verdict};
use crate::scenarios;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Failures after which no further seed is tried, unless the environment says another number.
const ENOUGH: u64 = 3;
/// Lines of the trace shown of a failure.
const SHOWN: usize = 60;
/// Runs between two lines of a game without end.
const NEWS: u64 = 1000;

/// What is played.
#[derive(Clone)]
pub struct Game {
    pub scenarios: Vec<&'static Def>,
    pub first: u64,
    /// Seeds of each scenario; None: until somebody ends it.
    pub seeds: Option<u64>,
    /// Failures after which no further seed is tried.
    pub enough: usize,
}

impl Game {
    /// What the environment asks for, or the first `seeds` of every scenario.
    ///
    /// # Errors
    /// It asks for a scenario that there is not.
    pub fn from_env(seeds: u64) -> std::io::Result<Game> {
        let variable = |name: &str| std::env::var(name).ok();
        let number = |name: &str| variable(name).and_then(|value| value.parse::<u64>().ok());
        let names = variable("SIM_SCENARIO");
        let unknown = |name: &str| Error::new(ErrorKind::NotFound, format!("no scenario {name}"));
        let scenarios = match &names {
            Some(names) => names
                .split(',')
                .map(|name| scenarios::find(name).ok_or_else(|| unknown(name)))
                .collect::<Result<Vec<_>, _>>()?,
            None => scenarios::ALL.iter().collect(),
        };
        let enough = usize::try_from(number("SIM_ENOUGH").unwrap_or(ENOUGH)).unwrap_or(usize::MAX);
        Ok(match number("SIM_SEED") {
            Some(seed) => Game { scenarios, first: seed, seeds: Some(1), enough },
            None => {
                let is_endless = variable("SIM_SEEDS").is_some_and(|seeds| seeds == "forever");
                let seeds = number("SIM_SEEDS").unwrap_or(seeds);
                let first = number("SIM_FIRST").unwrap_or(1);
                Game { scenarios, first, seeds: (!is_endless).then_some(seeds), enough }
            }
        })
    }

    /// The run of a number: every scenario plays a seed before any plays the next.
    fn run(&self, number: u64) -> Option<(&'static Def, u64)> {
        let many = self.scenarios.len() as u64;
        let (round, which) = (number / many, number % many);
        let scenario = self.scenarios.get(usize::try_from(which).ok()?)?;
        self.seeds.is_none_or(|seeds| round < seeds).then_some((*scenario, self.first + round))
    }
}

/// Plays one seed, on a runtime of its own whose time costs nothing.
///
/// # Errors
/// The runtime cannot be built.
pub fn play(def: &Def, seed: u64, mode: Mode) -> std::io::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(def.play(seed, mode)))
}

#[derive(Default)]
struct Score {
    next: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    summaries: Mutex<Vec<Summary>>,
}

/// Plays it all, two runs to a processor at most.
///
/// # Errors
/// A seed failed, or the system has no room for a thread.
pub fn play_all(game: &Game) -> std::io::Result<Vec<Summary>> {
    let score = Arc::new(Score::default());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8));
    let mut players = Vec::new();
    for _ in 0..threads {
        let (game, score) = (game.clone(), score.clone());
        players.push(base::tasks::thread("player", move || take_part(&game, &score))?);
    }
    for player in players {
        player.join().map_err(|_| Error::other("a player panicked"))??;
    }
    let failures = score.failures.lock().unwrap_or_else(PoisonError::into_inner);
    failures.iter().for_each(print);
    if !failures.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, format!("{} seeds failed", failures.len())));
    }
    let mut summaries = std::mem::take(&mut *score.summaries.lock().unwrap_or_else(PoisonError::into_inner));
    summaries.sort_by_key(|summary| (summary.scenario, summary.seed));
    Ok(summaries)
}

fn take_part(game: &Game, score: &Score) -> std::io::Result<()> {
    let mode = Mode { prints: std::env::var_os("SIM_TRACE").is_some(), is_sabotaged: false };
    loop {
        let number = score.next.fetch_add(1, Ordering::Relaxed);
        let is_over = score.failures.lock().unwrap_or_else(PoisonError::into_inner).len() >= game.enough;
        let Some((def, seed)) = game.run(number).filter(|_| !is_over) else { return Ok(()) };
        match play(def, seed, mode)? {
            Ok(summary) if game.seeds.is_some() => {
                score.summaries.lock().unwrap_or_else(PoisonError::into_inner).push(summary);
            }
            Ok(_) => {}
            Err(failure) => score.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure),
        }
        if game.seeds.is_none() && number % NEWS == NEWS - 1 {
            println!("{} runs", number + 1);
        }
    }
}

fn print(failure: &Failure) {
    let Failure { scenario, seed, what, tail } = failure;
    tail[tail.len().saturating_sub(SHOWN)..].iter().for_each(|line| println!("{line}"));
    println!("seed {seed} of {scenario} failed: {what}");
    println!("play it again: SIM_SCENARIO={scenario} SIM_SEED={seed} cargo test -p simulator every_ -- --nocapture");
}
