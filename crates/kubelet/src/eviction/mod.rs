//! When the node is short of memory, disk or processes.
//!
//! The thresholds and the signals they are held against are upstream's. What the node's status says
//! of it is `node`'s business.

mod signals;
mod thresholds;

pub(crate) use signals::{Observed, Signal, space};
pub use thresholds::{ThresholdError, Thresholds};
