//! A set of field paths, kept as `fieldsV1` spells it: a tree of JSON maps whose keys are path
//! elements (`f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`).
//!
//! A node is a member of the set itself when it is empty or holds the key `.`.

use serde_json::{Map, Value};

pub(super) type Node = Map<String, Value>;

const SELF: &str = ".";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSet(pub(super) Node);

impl FieldSet {
    /// Takes the JSON form; None where it is no object.
    pub fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Object(node) => Some(FieldSet(node)),
            Value::Null => Some(FieldSet::default()),
            _ => None,
        }
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn union(&mut self, other: FieldSet) {
        union(&mut self.0, other.0);
    }

    pub fn subtract(&mut self, other: &FieldSet) {
        subtract(&mut self.0, &other.0);
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet(intersection(&self.0, &other.0))
    }

    /// Takes a path and all below it away; `path` is dotted field names.
    pub fn remove_below(&mut self, path: &str) {
        let keys: Vec<String> = path.split('.').map(|name| format!("f:{name}")).collect();
        remove_below(&mut self.0, &keys);
    }

    /// Takes the member at a path of field names away, but nothing below it.
    pub fn remove_member(&mut self, path: &[&str]) {
        remove_member(&mut self.0, path);
    }

    /// All members as upstream prints paths: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&self.0, "", &mut paths);
        paths
    }
}

pub(super) fn is_member(node: &Node) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// Marks a node that has members below it as one itself.
pub(super) fn mark_member(node: &mut Node) {
    if !node.is_empty() {
        node.insert(SELF.to_owned(), Value::Object(Node::new()));
    }
}

/// The children of a node: all but the mark.
pub(super) fn children(node: &Node) -> impl Iterator<Item = (&String, &Node)> {
    node.iter().filter(|(key, _)| key.as_str() != SELF).filter_map(|(key, value)| Some((key, value.as_object()?)))
}

fn union(into: &mut Node, other: Node) {
    for (key, value) in other {
        if key == SELF {
            continue;
        }
        let Value::Object(mut theirs) = value else { continue };
        match into.get_mut(&key).and_then(Value::as_object_mut) {
            None => {
                into.insert(key, Value::Object(theirs));
            }
            Some(ours) => {
                let member = is_member(ours) || is_member(&theirs);
                ours.remove(SELF);
                theirs.remove(SELF);
                union(ours, theirs);
                if member {
                    mark_member(ours);
                }
            }
        }
    }
}

fn subtract(from: &mut Node, other: &Node) {
    for (key, theirs) in children(other) {
        let Some(ours) = from.get_mut(key).and_then(Value::as_object_mut) else { continue };
        let member = is_member(ours) && !is_member(theirs);
        ours.remove(SELF);
        subtract(ours, theirs);
        if ours.is_empty() && !member {
            from.remove(key);
        } else if member {
            mark_member(ours);
        }
    }
}

fn remove_member(from: &mut Node, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = format!("f:{first}");
    let Some(ours) = from.get_mut(&key).and_then(Value::as_object_mut) else { return };
    if rest.is_empty() {
        ours.remove(SELF);
        if ours.is_empty() {
            from.remove(&key);
        }
        return;
    }
    let member = is_member(ours);
    ours.remove(SELF);
    remove_member(ours, rest);
    if ours.is_empty() && !member {
        from.remove(&key);
    } else if member {
        mark_member(ours);
    }
}

fn intersection(a: &Node, b: &Node) -> Node {
    let mut common = Node::new();
    for (key, ours) in children(a) {
        let Some(theirs) = b.get(key).and_then(Value::as_object) else { continue };
        let member = is_member(ours) && is_member(theirs);
        let mut inner = intersection(ours, theirs);
        if member {
            mark_member(&mut inner);
        }
        if member || !inner.is_empty() {
            common.insert(key.clone(), Value::Object(inner));
        }
    }
    common
}

fn remove_below(node: &mut Node, keys: &[String]) {
    let Some((first, rest)) = keys.split_first() else { return };
    if rest.is_empty() {
        node.remove(first);
        return;
    }
    let Some(inner) = node.get_mut(first).and_then(Value::as_object_mut) else { return };
    let was_empty = inner.is_empty();
    remove_below(inner, rest);
    // An emptied node would read as a member.
    if inner.is_empty() && !was_empty {
        node.remove(first);
    }
}

fn collect(node: &Node, path: &str, paths: &mut Vec<String>) {
    for (key, inner) in children(node) {
        let path = format!("{path}{}", printed(key));
        collect(inner, &path, paths);
        if is_member(inner) {
            paths.push(path);
        }
    }
}

fn printed(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("i:", index)) => format!("[{index}]"),
        Some(("v:", value)) => format!("[={value}]"),
        Some(("k:", keys)) => {
            let keys: Node = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        _ => element.to_owned(),
    }
}
