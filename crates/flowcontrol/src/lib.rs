//! API Priority and Fairness: which requests are alike (flow schemas), how many seats each kind of
//! them may take (priority levels), who waits for a seat and who goes next (fair queues), and how
//! levels lend seats to each other.
//!
//! Knows nothing of HTTP or the store: the API server feeds it FlowSchemas and
//! PriorityLevelConfigurations as they are committed, asks [`FlowControl::enter`] for a [`Seat`]
//! before it works, and drops the seat when it is done.

pub mod bootstrap;
mod borrowing;
mod config;
mod control;
mod dump;
mod hand;
mod inflight;
mod level;
mod metrics;
mod queues;
pub mod work;

pub use control::{Entry, Flow, FlowControl, Refused};
pub use dump::Page;
pub use hand::entropy_bits;
pub use inflight::{Inflight, Slot};
pub use level::Seat;
pub use work::Work;

/// The API group of what is read here.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
