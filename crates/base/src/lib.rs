//! What comes from the outside world: time, randomness, tasks, metrics, logging.
//!
//! Every room takes an [`Env`] and asks it for the time, a random number or a task. In production
//! the answers are real; in the simulator they come from a seed and a paused clock, so the whole
//! control plane runs the same way twice. This crate knows nothing of Kubernetes.

pub mod backoff;
pub mod clock;
pub mod collections;
pub mod latest;
pub mod logging;
pub mod metrics;
pub mod rng;
pub mod tasks;

pub use backoff::Backoff;
pub use clock::Clock;
pub use jiff::Timestamp;
pub use latest::Latest;
pub use metrics::Metrics;
pub use rng::Rng;
pub use tasks::{Shutdown, Tasks};

/// The outside world as a room sees it. Cheap to clone; one per process, or one per simulated
/// component.
#[derive(Clone)]
pub struct Env {
    pub clock: Clock,
    pub rng: Rng,
    pub tasks: Tasks,
    pub metrics: Metrics,
}

impl Env {
    /// The real world: system clock, seed from the kernel.
    pub fn real() -> Self {
        Env { clock: Clock::real(), rng: Rng::from_os(), tasks: Tasks::new(), metrics: Metrics::new() }
    }

    /// A world that depends on nothing but `seed`. Must be used on a current-thread runtime whose
    /// time is paused, so that sleeping costs nothing and happens in the same order every time.
    pub fn simulated(seed: u64, epoch: Timestamp) -> Self {
        Env { clock: Clock::simulated(epoch), rng: Rng::seeded(seed), tasks: Tasks::new(), metrics: Metrics::new() }
    }

    /// The same clock, rng and metrics under a task group of its own, which ends with its parent.
    pub fn child(&self) -> Self {
        Env { tasks: self.tasks.child(), ..self.clone() }
    }
}
