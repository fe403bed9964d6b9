//! Plays a scenario for many seeds, on as many threads as there are processors, and prints how to
//! play a failed one again.

use crate::deployment::{Failure, Summary};
use std::future::Future;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Failures after which no further seed is tried.
const ENOUGH: usize = 3;
/// Lines of the trace shown of a failure.
const SHOWN: usize = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Plays `scenario` once, on a runtime of its own whose time costs nothing.
///
/// # Errors
/// The runtime cannot be built.
pub fn play<F, R>(scenario: F, seed: u64) -> std::io::Result<R>
where
    F: AsyncFnOnce(u64, bool) -> R,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let prints = std::env::var_os("SIM_TRACE").is_some();
    Ok(runtime.block_on(scenario(seed, prints)))
}

/// Plays the seeds that the environment asks for, or the first `count`.
///
/// # Errors
/// A seed failed, or the system has no room for a thread.
pub fn play_all<F, R>(name: &'static str, count: u64, scenario: F) -> std::io::Result<Vec<Summary>>
where
    F: Fn(u64, bool) -> R + Copy + Send + 'static,
    R: Future<Output = Result<Summary, Failure>>,
{
    let (first, count) = match number("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (number("SIM_FIRST").unwrap_or(1), number("SIM_SEEDS").unwrap_or(count)),
    };
    let (next, end) = (Arc::new(AtomicU64::new(first)), first + count);
    let failures: Arc<Mutex<Vec<Failure>>> = Arc::default();
    let summaries: Arc<Mutex<Vec<Summary>>> = Arc::default();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8));
    let mut players = Vec::new();
    for _ in 0..threads {
        let (next, failures, summaries) = (next.clone(), failures.clone(), summaries.clone());
        players.push(base::tasks::thread("player", move || -> std::io::Result<()> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end || failures.lock().unwrap_or_else(PoisonError::into_inner).len() >= ENOUGH {
                    return Ok(());
                }
                match play(async |seed, prints| scenario(seed, prints).await, seed)? {
                    Ok(summary) => summaries.lock().unwrap_or_else(PoisonError::into_inner).push(summary),
                    Err(failure) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure),
                }
            }
        })?);
    }
    for player in players {
        player.join().map_err(|_| Error::other("a player panicked"))??;
    }
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    failures.iter().for_each(|failure| print(name, failure));
    if !failures.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, format!("{} seeds failed", failures.len())));
    }
    let mut summaries = std::mem::take(&mut *summaries.lock().unwrap_or_else(PoisonError::into_inner));
    summaries.sort_by_key(|summary| summary.seed);
    Ok(summaries)
}

fn print(name: &str, failure: &Failure) {
    let skip = failure.tail.len().saturating_sub(SHOWN);
    failure.tail[skip..].iter().for_each(|line| println!("{line}"));
    println!("seed {} failed: {}", failure.seed, failure.what);
    println!("play it again: SIM_SEED={} cargo test -p simulator {name} -- --nocapture", failure.seed);
}
