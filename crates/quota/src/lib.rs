//! ResourceQuota's arithmetic: what an object counts, which quotas see it, what a pod needs in all.
//!
//! Pure functions over objects as JSON, shared by the admission plugin that charges quotas and the
//! controller that counts them again, so that the two never disagree. Writes nothing, knows no API.

mod amounts;
mod pod;
mod scope;
mod subject;
#[cfg(test)]
mod tests;

pub use amounts::{Amounts, add, amounts, exceeding, masked, names, pretty, subtract, to_json};
pub use pod::{limits, requests};
pub use subject::Subject;
