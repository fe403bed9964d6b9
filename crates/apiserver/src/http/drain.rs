//! An orderly end: readiness goes first, then no connection is taken any more, those that are there
//! finish what they are at, and watches end.

use base::{Env, Latest};
use std::time::Duration;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Asked to stop: no longer ready.
    stopping: bool,
    /// Connections finish; there are no new ones.
    draining: bool,
    connections: usize,
}

/// Clones are the same server's.
#[derive(Clone)]
pub struct Drain(Latest<State>);

/// One connection, for as long as it lasts.
pub struct Connected(Latest<State>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.connections -= 1;
            state.draining
        });
    }
}

impl Default for Drain {
    fn default() -> Self {
        Drain(Latest::new(State::default()))
    }
}

impl Drain {
    pub fn is_stopping(&self) -> bool {
        self.0.read(|state| state.stopping)
    }

    pub(super) fn connect(&self) -> Connected {
        self.0.change(|state| {
            state.connections += 1;
            false
        });
        Connected(self.0.clone())
    }

    /// Until connections are asked to finish.
    pub async fn begun(&self) {
        self.0.wait(|state| state.draining).await;
    }

    /// Stops being ready, goes on answering for `delay`, then waits until all connections have
    /// finished, at most for `limit`.
    pub async fn run(&self, env: &Env, delay: Duration, limit: Duration) {
        self.0.change(|state| {
            state.stopping = true;
            true
        });
        env.clock.sleep(delay).await;
        self.0.change(|state| {
            state.draining = true;
            true
        });
        let _ = env.clock.timeout(limit, self.0.wait(|state| state.connections == 0)).await;
    }
}
