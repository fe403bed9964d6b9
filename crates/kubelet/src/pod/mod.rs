//! The life of a pod on this node: what is to be done (`plan`, pure), doing it (`sync`, `start`,
//! `stop`), and telling the API server (`status`).
//!
//! One worker per pod; everything about a pod happens in its worker, one step after the other.

pub mod admit;
mod claims;
pub mod plan;
mod report;
mod resize;
mod runtime_class;
pub mod runtime_view;
pub mod spec;
pub mod start;
pub mod status;
mod status_conditions;
pub mod status_manager;
pub mod stop;
pub mod sync;
pub mod sysctls;
pub mod volumes;
pub mod worker;

pub use runtime_view::{PodRuntime, RuntimeView};
pub use spec::{PodRef, Slot};
