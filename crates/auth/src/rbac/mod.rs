//! Role-based access control: an index of roles and bindings that answers without looking at more
//! than the asking subjects' own bindings, and the check that nobody grants what he does not hold.
//!
//! Rules are evaluated as they are stored; filling aggregated roles is a controller's work.

mod escalation;
mod index;
mod review;
mod rules;

pub use escalation::{check_binding, check_role};
pub use index::Index;
pub use review::{Review, review};
pub(crate) use rules::rules_in;
pub use rules::{Rule, covers};

#[cfg(test)]
mod tests;
