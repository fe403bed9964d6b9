//! YAML as Kubernetes speaks it: read like sigs.k8s.io/yaml (YAML 1.1 words, octal numbers,
//! duplicate keys told), written like kubectl prints it.
//!
//! Only what JSON can say comes out of reading. Nothing in a text can make reading it cost much
//! more than its own size: nesting and the growth through aliases are bounded. Called by the API
//! server for request bodies and by kubectl.

mod read;
mod resolve;
mod write;

pub use read::{Document, YamlError, documents, parse, parse_document};
pub use write::to_string;

#[cfg(test)]
mod tests;
