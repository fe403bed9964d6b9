//! What a plugin is told of the request it judges, and what it may say besides yes and no.

use crate::paths::text;
use meta::{GroupVersionKind, GroupVersionResource, Status, User};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// One write. The object stands in the version `kind` names, defaulted but not yet validated, so a
/// plugin must expect any JSON.
pub struct Attributes<'a> {
    pub operation: Operation,
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    /// Empty where there is none.
    pub subresource: &'a str,
    /// Empty for cluster-scoped resources. For a Namespace itself: its own name, as upstream.
    pub namespace: &'a str,
    /// Empty on a create that asks for a generated name.
    pub name: &'a str,
    /// Null on delete; the options object (`PodExecOptions`…) on connect.
    pub object: Subject<'a>,
    /// Of update and delete.
    pub old_object: Option<&'a Value>,
    pub user: &'a User,
    pub dry_run: bool,
    /// The CreateOptions, UpdateOptions, PatchOptions or DeleteOptions; Null where none.
    pub options: &'a Value,
    /// For the audit log; filled by the chain.
    pub audit: BTreeMap<String, String>,
}

/// The object that is to be written.
pub enum Subject<'a> {
    Own(&'a mut Value),
    /// What is there already, copied as soon as a plugin changes it.
    Copied {
        of: &'a Value,
        made: &'a mut Option<Value>,
    },
}

impl Deref for Subject<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Subject::Own(value) => value,
            Subject::Copied { of, made } => made.as_ref().unwrap_or(of),
        }
    }
}

impl DerefMut for Subject<'_> {
    fn deref_mut(&mut self) -> &mut Value {
        match self {
            Subject::Own(value) => value,
            Subject::Copied { of, made } => made.get_or_insert_with(|| of.clone()),
        }
    }
}

impl<'a> From<&'a mut Value> for Subject<'a> {
    fn from(value: &'a mut Value) -> Self {
        Subject::Own(value)
    }
}

/// What plugins say besides yes and no.
#[derive(Debug, Default)]
pub struct Notes {
    /// Sent to the client as Warning headers.
    pub warnings: Vec<String>,
    /// Annotations of the audit event.
    pub audit: BTreeMap<String, String>,
}

impl Operation {
    /// As webhooks and messages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

impl Attributes<'_> {
    /// True where the request is on this resource of any version; `resource` may name a
    /// subresource after a slash.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        // Every plugin asks this of every write, and mostly it is another resource.
        if !resource.starts_with(self.resource.resource.as_ref() as &str) {
            return false;
        }
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.resource.group == group && self.resource.resource == plural && self.subresource == subresource
    }

    pub fn is_write_of(&self, group: &str, resource: &str) -> bool {
        matches!(self.operation, Operation::Create | Operation::Update) && self.is(group, resource)
    }

    /// The name in the object itself, which a create without a name in its path has only there.
    pub fn object_name(&self) -> &str {
        if self.name.is_empty() { text(&self.object, &["metadata", "name"]) } else { self.name }
    }

    /// Upstream's refusal: `pods "web" is forbidden: why`. An object that only asks for a generated
    /// name is called `Unknown`, with the prefix it asked for where it has one.
    pub fn forbid(&self, why: &str) -> Status {
        let generate = text(&self.object, &["metadata", "generateName"]);
        let name = match (self.object_name(), generate) {
            ("", "") => "Unknown",
            ("", prefix) => prefix,
            (name, _) => name,
        };
        Status::forbidden(&self.resource.group_resource(), name, why)
    }
}
