//! What an expression may name: the variables of its place.

use crate::types::{Opaque, Type};
use std::collections::BTreeMap;

/// Variables and their types. Names may have dots (`variables.foo`).
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    builds: bool,
}

/// The names of types, which are values as well.
const TYPE_NAMES: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "dyn"];

/// The types that changes of objects are built of.
pub const OBJECT: &str = "Object";
pub const JSON_PATCH: &str = "JSONPatch";

const WRAPPED: [&str; 3] = ["google.protobuf.Timestamp", "google.protobuf.Duration", "optional_type"];

impl Environment {
    /// The base environment: every library of Kubernetes v1.37, no variables.
    pub fn new() -> Self {
        Environment::default()
    }

    /// The same with one more variable.
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.variables.insert(name.to_owned(), kind);
        self
    }

    /// Declares a variable; a later one of the same name takes its place.
    pub fn declare(&mut self, name: &str, kind: Type) {
        self.variables.insert(name.to_owned(), kind);
    }

    pub fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// The same where expressions may also build what changes an object: `Object`, the types of its
    /// fields (`Object.spec`), and `JSONPatch`.
    pub fn building(mut self) -> Self {
        self.builds = true;
        self
    }

    pub(crate) fn can_build(&self, name: &str) -> bool {
        self.builds && (name == JSON_PATCH || name == OBJECT || name.starts_with("Object."))
    }

    /// Whether the name is a type's.
    pub(crate) fn type_name(name: &str) -> Option<&'static str> {
        let opaque = Opaque::ALL.iter().map(|opaque| opaque.name());
        TYPE_NAMES.into_iter().chain(WRAPPED).chain(opaque).find(|known| *known == name)
    }
}
