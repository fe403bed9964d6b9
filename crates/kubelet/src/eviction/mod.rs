//! When the node is short of memory, disk or processes, and when a pod takes more than it may.
//!
//! The signals, thresholds, order and messages are upstream's. Reading what is left and what pods take
//! is apart from judging it (`memory`, `ranking`, `verdict`: pure). An evicted pod is ended by its own
//! worker; what the node's status says of it all is `node`'s business.

mod manager;
mod memory;
mod ranking;
mod signals;
mod thresholds;
mod usage;
mod verdict;

pub(crate) use manager::{Pressure, start};
pub(crate) use signals::space;
pub use signals::{Observed, Signal, Signals};
pub use thresholds::{EvictionOptions, Graces, Reclaims, ThresholdError, Thresholds};
pub(crate) use verdict::{REASON, Verdict, refusal};
