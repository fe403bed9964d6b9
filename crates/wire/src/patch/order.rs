//! The order of merged lists: what the patch orders comes in the patch's order, what only the
//! server has keeps its place among it as well as can be.

use super::PatchError;
use serde_json::{Map, Value};

/// How the items of a list are told apart: by themselves, or by one of their fields.
#[derive(Clone, Copy)]
pub(super) struct Identity<'k>(pub Option<&'k str>);

impl Identity<'_> {
    pub fn same(self, a: &Value, b: &Value) -> bool {
        match self.0 {
            None => a == b,
            Some(key) => match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => text(a) == text(b),
                _ => false,
            },
        }
    }

    pub fn position(self, list: &[Value], item: &Value) -> Option<usize> {
        list.iter().position(|one| self.same(one, item))
    }

    /// Refuses items without the field that tells them apart.
    pub fn check(self, list: &[Value]) -> Result<(), PatchError> {
        let Some(key) = self.0 else { return Ok(()) };
        match list.iter().find(|item| item.get(key).is_none()) {
            Some(item) => Err(no_merge_key(item, key)),
            None => Ok(()),
        }
    }

    /// The items that `chosen` names, and the others.
    pub fn partition(self, list: Vec<Value>, chosen: &[Value]) -> (Vec<Value>, Vec<Value>) {
        list.into_iter().partition(|item| self.position(chosen, item).is_some())
    }

    /// Sorts by the place in `order`, with items to be deleted last.
    pub fn sort(self, list: Vec<Value>, order: &[Value]) -> Vec<Value> {
        let (deleted, mut kept): (Vec<_>, Vec<_>) = list.into_iter().partition(is_deletion);
        kept.sort_by_key(|item| self.position(order, item).unwrap_or(usize::MAX));
        kept.extend(deleted);
        kept
    }

    /// Puts the patch's items in `patch_order` and the server's among them in `server_order`.
    pub fn interleave(
        self,
        patch: Vec<Value>,
        server_only: Vec<Value>,
        patch_order: &[Value],
        server_order: &[Value],
    ) -> Vec<Value> {
        let mut left = self.sort(server_only, server_order).into_iter().peekable();
        let mut right = self.sort(patch, patch_order).into_iter().peekable();
        let mut merged = Vec::with_capacity(left.len() + right.len());
        loop {
            let take_left = match (left.peek(), right.peek()) {
                (None, None) => return merged,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(l), Some(r)) => match (self.position(server_order, l), self.position(server_order, r)) {
                    (Some(l), Some(r)) => l < r,
                    _ => false,
                },
            };
            merged.extend(if take_left { left.next() } else { right.next() });
        }
    }
}

pub(super) fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Failed(format!("map: {item} does not contain declared merge key: {key}"))
}

pub(super) fn is_deletion(item: &Value) -> bool {
    item.get(super::strategic::DIRECTIVE).is_some_and(|directive| directive == "delete")
}

/// `{key: value}`: how an item is named in orders and deletions.
pub(super) fn named(key: &str, value: &Value) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert(key.to_owned(), value.clone());
    map
}

/// Key values compare as printed: 80 from YAML and 80.0 from elsewhere name the same port.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
