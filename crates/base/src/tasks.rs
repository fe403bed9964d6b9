//! Supervised tasks: every task has a name, belongs to a group and ends when the group is told to.
//!
//! The only place that may spawn (clippy forbids it elsewhere), so that nothing outlives a
//! shutdown unseen.
#![allow(clippy::disallowed_methods)]

use std::future::Future;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// A group of tasks. Clones are the same group.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
    panicked: CancellationToken,
}

/// Tells a task that its group is ending.
#[derive(Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Waits until the group ends.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    pub fn new() -> Self {
        Tasks { tracker: TaskTracker::new(), token: CancellationToken::new(), panicked: CancellationToken::new() }
    }

    /// A group that ends with this one, or earlier by its own [`Tasks::stop`].
    pub fn child(&self) -> Self {
        Tasks { tracker: TaskTracker::new(), token: self.token.child_token(), panicked: self.panicked.clone() }
    }

    /// Runs `future` until it is done or the group ends, whichever is first: it is dropped at its
    /// next await when the group ends. A panic is logged and reported by [`Tasks::failed`].
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let panicked = self.panicked.clone();
        self.tracker.spawn(async move {
            let run = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(future));
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                outcome = run => if outcome.is_err() {
                    error!(task = name, "task panicked");
                    panicked.cancel();
                }
            }
        })
    }

    /// Runs `future` to its end even when the group is told to stop: [`Tasks::stop`] waits for it.
    pub fn spawn_to_end<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let panicked = self.panicked.clone();
        self.tracker.spawn(async move {
            if futures_util::FutureExt::catch_unwind(AssertUnwindSafe(future)).await.is_err() {
                error!(task = name, "task panicked");
                panicked.cancel();
            }
        })
    }

    /// Runs blocking work on the runtime's blocking threads.
    pub fn spawn_blocking<T, W>(&self, work: W) -> JoinHandle<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.token.clone())
    }

    /// Tells every task to end and waits until all have.
    pub async fn stop(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits until a task of this group, its parent or a sibling has panicked.
    pub async fn failed(&self) {
        self.panicked.cancelled().await;
    }
}

/// A named thread for work that must not share the runtime, such as a store's writer.
///
/// # Errors
/// As `std::thread::Builder::spawn`: the system has no room for a thread.
pub fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_ends_every_task_and_a_panic_is_reported() {
        let tasks = Tasks::new();
        tasks.spawn("forever", std::future::pending());
        let child = tasks.child();
        child.spawn("bad", async { panic!("meant to") });
        tasks.failed().await;
        tasks.stop().await;
        child.stop().await;
    }
}
