//! Custom resources: what a CustomResourceDefinition says, made into the rules that the generic path
//! runs for any kind.
//!
//! Rules written in CEL (`x-kubernetes-validations`) stand in [`cel`]; [`rules::Rules`] runs them where
//! it checks an object. The definitions themselves are a built-in kind, in `apiextensions`.

pub(crate) mod cel;
mod check;
mod compile;
pub mod definition;
mod format;
mod number;
mod path;
mod rules;
#[cfg(test)]
mod tests;

pub use check::Check;
pub use compile::Compiled;
pub use definition::{Definition, version_order};
pub use path::JsonPath;
pub use rules::Rules;
