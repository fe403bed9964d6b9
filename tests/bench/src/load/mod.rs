//! The load generator: so many connections, each with so many requests under way, until so many are
//! done or time is up. The same for every server; all bodies are checked and one wrong answer fails
//! the measurement.

mod connection;
mod found;
mod shot;

pub use connection::{Driver, Protocol, Sender, Target, connect};
pub use found::Marks;
pub use shot::{APPLY, MERGE, STRATEGIC, Shot};

use crate::summary;
use base::Env;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Done(u64),
    Passed(Duration),
}

#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub connections: usize,
    /// Requests under way on each connection; more than one needs HTTP/2.
    pub streams: usize,
    pub protocol: Protocol,
    pub until: Until,
}

impl Load {
    /// HTTP/1.1, one request at a time on each connection.
    pub fn http1(connections: usize, until: Until) -> Self {
        Load { connections, streams: 1, protocol: Protocol::Http1, until }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub done: u64,
    pub seconds: f64,
    pub bytes: u64,
    /// Microseconds, one per request.
    pub latencies: Vec<u32>,
}

impl Outcome {
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Milliseconds that `share` of the requests took at most.
    pub fn millis(&mut self, share: f64) -> f64 {
        f64::from(summary::percentile(&mut self.latencies, share).unwrap_or(0)) / 1000.0
    }
}

/// Makes the request of a number.
pub type Make = Arc<dyn Fn(u64) -> Shot + Send + Sync>;

struct Shared {
    target: Target,
    make: Make,
    env: Env,
    next: AtomicU64,
    limit: u64,
    stop: AtomicBool,
    failure: Mutex<Option<anyhow::Error>>,
    outcome: Mutex<Outcome>,
}

/// Connects first, then lets all begin at once.
pub async fn run(env: &Env, target: &Target, load: Load, make: Make) -> anyhow::Result<Outcome> {
    let limit = match load.until {
        Until::Done(count) => count,
        Until::Passed(_) => u64::MAX,
    };
    let shared = Arc::new(Shared {
        target: target.clone(),
        make,
        env: env.clone(),
        next: AtomicU64::new(0),
        limit,
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
        outcome: Mutex::default(),
    });
    let mut open = Vec::new();
    for _ in 0..load.connections {
        open.push(connect(target, load.protocol).await?);
    }
    let began = env.clock.instant();
    let mut tasks = Vec::new();
    for (sender, driver) in open {
        tasks.extend(spawn(&shared, sender, driver, load.streams));
    }
    if let Until::Passed(time) = load.until {
        env.clock.sleep(time).await;
        shared.stop.store(true, Ordering::Relaxed);
    }
    for task in tasks {
        task.await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    if let Some(failure) = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(failure);
    }
    let mut outcome = std::mem::take(&mut *shared.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    outcome.seconds = seconds;
    Ok(outcome)
}

/// A connection of HTTP/1.1 lives in one task with its only user; one of HTTP/2 has a task of its own.
fn spawn(shared: &Arc<Shared>, sender: Sender, driver: Driver, streams: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let tasks = &shared.env.tasks;
    let mut senders: Vec<Sender> = (1..streams).filter_map(|_| sender.share()).collect();
    if senders.is_empty() && matches!(sender, Sender::Http1(_)) {
        let shared = shared.clone();
        return vec![tasks.spawn("connection", async move {
            tokio::select! {
                biased;
                () = user(shared, sender) => {}
                () = driver => {}
            }
        })];
    }
    senders.push(sender);
    tasks.spawn("connection", driver);
    senders.into_iter().map(|sender| tasks.spawn("stream", user(shared.clone(), sender))).collect()
}

async fn user(shared: Arc<Shared>, mut sender: Sender) {
    let mut own = Outcome::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.limit {
            break;
        }
        let shot = (shared.make)(number);
        let began = shared.env.clock.instant();
        match sender.fire(&shared.target, &shot).await {
            Ok(length) => {
                own.done += 1;
                own.bytes += length;
                own.latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Err(failure) => {
                shared.stop.store(true, Ordering::Relaxed);
                shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                break;
            }
        }
    }
    let mut all = shared.outcome.lock().unwrap_or_else(PoisonError::into_inner);
    all.done += own.done;
    all.bytes += own.bytes;
    all.latencies.append(&mut own.latencies);
}

/// One request on a connection of its own.
pub async fn once(env: &Env, target: &Target, shot: &Shot) -> anyhow::Result<bytes::Bytes> {
    let (mut sender, driver) = connect(target, Protocol::Http1).await?;
    let driving = env.tasks.spawn("connection", driver);
    let answer = sender.fetch(target, shot).await;
    driving.abort();
    answer
}
