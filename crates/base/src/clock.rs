//! The clock: wall time, monotonic time and sleeping, real or simulated.
//!
//! The only place that may ask the system for the time (clippy forbids it elsewhere).
#![allow(clippy::disallowed_methods)]

use jiff::{SignedDuration, Timestamp};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A handle on time. Clones share the simulated offset.
#[derive(Clone)]
pub struct Clock {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Real,
    /// Wall time is `epoch` plus what the paused runtime clock has moved, plus jumps made by tests.
    Simulated {
        epoch: Timestamp,
        started: Instant,
        jump_millis: Arc<AtomicI64>,
    },
}

/// The limit of a [`Clock::timeout`] passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl Clock {
    pub fn real() -> Self {
        Clock { source: Source::Real }
    }

    /// Time that starts at `epoch` and moves only with the runtime's paused clock.
    pub fn simulated(epoch: Timestamp) -> Self {
        Clock { source: Source::Simulated { epoch, started: Instant::now(), jump_millis: Arc::default() } }
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::Real => Timestamp::now(),
            Source::Simulated { epoch, started, jump_millis } => {
                let moved = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                let jump = jump_millis.load(Ordering::Relaxed);
                epoch.saturating_add(SignedDuration::from_millis(moved.saturating_add(jump))).unwrap_or(*epoch)
            }
        }
    }

    /// Monotonic time, for measuring and deadlines. Never jumps.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(deadline).await;
    }

    /// Runs `future` for at most `limit`.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(limit, future).await.map_err(|_| Elapsed)
    }

    /// Moves a simulated wall clock (backwards too), as a badly kept machine would. Real clocks
    /// are left alone.
    pub fn jump(&self, by: SignedDuration) {
        if let Source::Simulated { jump_millis, .. } = &self.source {
            let millis = i64::try_from(by.as_millis()).unwrap_or(0);
            jump_millis.fetch_add(millis, Ordering::Relaxed);
        }
    }
}
