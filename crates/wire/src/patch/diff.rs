//! Finding a patch: what `kubectl apply` and `kubectl edit` send.
//!
//! A three-way patch is what changes the live object into the wanted one, plus what was applied
//! last time and is no longer wanted, deleted. What others added to the live object stays.

use super::PatchError;
use super::order::{Identity, named, text};
use super::strategic::{DELETE_FROM_LIST, DIRECTIVE, ELEMENT_ORDER, Merge, RETAIN_KEYS};
use crate::place::Place;
use crate::schema::Cursor;
use serde_json::{Map, Value};
use std::cmp::Ordering;

type Object = Map<String, Value>;

/// The strategic merge patch from `current` to `modified` that also deletes what `original` had.
pub fn strategic_diff(
    original: &Value,
    modified: &Value,
    current: &Value,
    cursor: &Cursor<'_>,
) -> Result<Value, PatchError> {
    let place = Place::of(cursor);
    let empty = Object::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let (original, modified, current) = (object(original), object(modified), object(current));
    let delta = Diff { additions: true, deletions: false, retain: false }.maps(&current, &modified, place)?;
    let deletions = Diff { additions: false, deletions: true, retain: false }.maps(&original, &modified, place)?;
    Merge::PATCHES.maps(deletions, delta, place).map(Value::Object)
}

/// The same as a merge patch, for kinds without a schema: lists are replaced as a whole.
pub fn json_merge_diff(original: &Value, modified: &Value, current: &Value) -> Value {
    let empty = Object::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let mut patch = changed(&object(current), &object(modified));
    removed(&object(original), &object(modified), &mut patch);
    Value::Object(patch)
}

/// What is new or different in `modified`.
fn changed(current: &Object, modified: &Object) -> Object {
    let mut patch = Object::new();
    for (key, new) in modified {
        match (current.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = changed(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

/// Nulls for what `original` had and `modified` has not.
fn removed(original: &Object, modified: &Object, patch: &mut Object) {
    for (key, old) in original {
        match (old, modified.get(key)) {
            (_, None) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Value::Object(old), Some(Value::Object(new))) => {
                let mut inner = match patch.remove(key) {
                    Some(Value::Object(inner)) => inner,
                    Some(whole) => {
                        patch.insert(key.clone(), whole);
                        continue;
                    }
                    None => Object::new(),
                };
                removed(old, new, &mut inner);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            _ => {}
        }
    }
}

/// Which half of the three-way patch is being found.
#[derive(Clone, Copy)]
struct Diff {
    additions: bool,
    deletions: bool,
    /// The struct at hand wants `$retainKeys`.
    retain: bool,
}

impl Diff {
    fn maps(self, original: &Object, modified: &Object, place: Place<'_>) -> Result<Object, PatchError> {
        let mut patch = Object::new();
        for (key, new) in modified {
            match (original.get(key), new) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    let child = place.child(key);
                    let inner = Diff { retain: child.patch().retain_keys, ..self }.maps(old, new, child)?;
                    if !inner.is_empty() {
                        patch.insert(key.clone(), Value::Object(inner));
                    }
                }
                (Some(Value::Array(old)), Value::Array(new)) if place.child(key).patch().merge => {
                    self.list(key, old, new, place.child(key), &mut patch)?;
                }
                (Some(old), new) if old == new => {}
                _ if self.additions => {
                    patch.insert(key.clone(), new.clone());
                }
                _ => {}
            }
        }
        if self.deletions {
            for key in original.keys().filter(|key| !modified.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
        }
        let cleared = original.keys().any(|key| !modified.contains_key(key));
        if self.retain && (!patch.is_empty() || cleared) {
            let kept: Vec<Value> = modified
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, _)| Value::from(key.as_str()))
                .collect();
            if !kept.is_empty() {
                patch.insert(RETAIN_KEYS.to_owned(), Value::Array(kept));
            }
        }
        Ok(patch)
    }

    /// A list whose strategy is to merge; writes up to three entries into `patch`.
    fn list(
        self,
        field: &str,
        original: &[Value],
        modified: &[Value],
        place: Place<'_>,
        patch: &mut Object,
    ) -> Result<(), PatchError> {
        if original.is_empty() {
            if self.additions && !modified.is_empty() {
                patch.insert(field.to_owned(), Value::from(modified.to_vec()));
            }
            return Ok(());
        }
        if original.iter().chain(modified).any(Value::is_array) {
            return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned()));
        }
        let order = match place.patch().merge_key.as_deref().filter(|_| original[0].is_object()) {
            Some(key) => {
                let items = Diff { retain: place.patch().retain_keys, ..self }.keyed(original, modified, key, place)?;
                let moved = original.len() != modified.len()
                    || original.iter().zip(modified).any(|(a, b)| !Identity(Some(key)).same(a, b));
                let ordered = (!items.is_empty() || moved).then(|| {
                    let name = |item: &Value| item.get(key).map(|value| Value::Object(named(key, value)));
                    modified.iter().filter_map(name).collect::<Vec<_>>()
                });
                if !items.is_empty() {
                    patch.insert(field.to_owned(), Value::Array(items));
                }
                ordered
            }
            None => {
                let missing_from = |list: &[Value], item: &&Value| !list.contains(*item);
                let added: Vec<Value> = modified.iter().filter(|item| missing_from(original, item)).cloned().collect();
                let gone: Vec<Value> = original.iter().filter(|item| missing_from(modified, item)).cloned().collect();
                if self.additions && !added.is_empty() {
                    patch.insert(field.to_owned(), Value::Array(added));
                }
                if self.deletions && !gone.is_empty() {
                    patch.insert(format!("{DELETE_FROM_LIST}{field}"), Value::Array(gone));
                }
                (original != modified).then(|| modified.to_vec())
            }
        };
        if let Some(order) = order.filter(|order| !order.is_empty()) {
            patch.insert(format!("{ELEMENT_ORDER}{field}"), Value::Array(order));
        }
        Ok(())
    }

    /// The changed and new items in the order wanted, then the deletions.
    fn keyed(
        self,
        original: &[Value],
        modified: &[Value],
        key: &str,
        place: Place<'_>,
    ) -> Result<Vec<Value>, PatchError> {
        let identity = Identity(Some(key));
        identity.check(original)?;
        identity.check(modified)?;
        let mut patch = Vec::new();
        for new in modified {
            let old = identity.position(original, new).map(|at| &original[at]);
            match (old, new) {
                (Some(Value::Object(old)), Value::Object(new)) => {
                    let mut inner = self.maps(old, new, place.item())?;
                    if !inner.is_empty() {
                        inner.extend(new.get(key).map(|value| (key.to_owned(), value.clone())));
                        patch.push(Value::Object(inner));
                    }
                }
                _ if self.additions => patch.push(new.clone()),
                _ => {}
            }
        }
        if self.deletions {
            let mut gone: Vec<&Value> =
                original.iter().filter(|old| identity.position(modified, old).is_none()).collect();
            gone.sort_by(|a, b| by_key(a, b, key));
            for old in gone {
                let mut deletion = named(key, &old[key]);
                deletion.insert(DIRECTIVE.to_owned(), Value::from("delete"));
                patch.push(Value::Object(deletion));
            }
        }
        Ok(patch)
    }
}

fn by_key(a: &Value, b: &Value, key: &str) -> Ordering {
    text(&a[key]).cmp(&text(&b[key]))
}
