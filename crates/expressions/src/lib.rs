//! CEL, the expression language of validation rules, policies, match conditions and device selectors.
//!
//! [`compile`] parses an expression and checks its types against an [`Environment`]; a [`Program`]
//! knows what it may cost and is evaluated over borrowed JSON within a budget. The environment is
//! that of Kubernetes v1.37; nothing here reads clocks, files or the network. What a rule stands
//! for (which object, what a failure means) is its caller's affair: custom resources, admission.

pub mod admission;
mod check;
mod cost;
pub mod device;
mod environment;
mod evaluate;
mod fault;
mod functions;
mod json;
mod library;
mod program;
mod schema;
mod signature;
mod syntax;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use cost::{Cost, PER_CALL_LIMIT, PER_DEFINITION_LIMIT, PER_EXPRESSION_LIMIT, PER_REQUEST_LIMIT};
pub use environment::{Environment, JSON_PATCH, OBJECT};
pub use evaluate::{Bindings, Scope};
pub use fault::{CompileError, Fault};
pub use library::authorizer::{Authorizer, Check, Decision};
pub use program::{Outcome, Program, compile};
pub use schema::{escape, most_values, unescape};
pub use types::{Bound, Field, ObjectType, Opaque, Type};
pub use value::{List, Map, Value};
