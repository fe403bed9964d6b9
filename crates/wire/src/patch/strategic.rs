//! Strategic merge patch: a merge patch that knows which lists are maps in disguise, and takes
//! directives (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`).

use super::PatchError;
use super::order::{Identity, is_deletion, no_merge_key};
use crate::place::Place;
use crate::schema::Cursor;
use serde_json::{Map, Value};

pub(super) const DIRECTIVE: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
pub(super) const ELEMENT_ORDER: &str = "$setElementOrder/";

/// `original` with `patch` merged in.
pub fn strategic_merge(original: &Value, patch: &Value, cursor: &Cursor<'_>) -> Result<Value, PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (original, patch) else {
        return Err(PatchError::Malformed("Invalid JSON document".to_owned()));
    };
    Merge::ONTO_OBJECT.maps(original.clone(), patch.clone(), Place::of(cursor)).map(Value::Object)
}

/// What merging does with directives and nulls.
#[derive(Clone, Copy)]
pub(super) struct Merge {
    /// True: onto an object, so directives are obeyed and nulls delete. False: two patches into
    /// one, which keeps both.
    onto_object: bool,
}

impl Merge {
    pub const ONTO_OBJECT: Merge = Merge { onto_object: true };
    pub const PATCHES: Merge = Merge { onto_object: false };

    pub fn maps(
        self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        place: Place<'_>,
    ) -> Result<Map<String, Value>, PatchError> {
        if let Some(directive) = patch.remove(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => Ok(patch),
                Some("delete") => Ok(Map::new()),
                _ => Err(unknown_directive(&directive, &patch)),
            };
        }
        self.retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, place)?;
        for (key, value) in patch {
            self.entry(&mut original, &key, value, place)?;
        }
        Ok(original)
    }

    fn entry(
        self,
        original: &mut Map<String, Value>,
        key: &str,
        value: Value,
        place: Place<'_>,
    ) -> Result<(), PatchError> {
        let deletes = key.strip_prefix(DELETE_FROM_LIST);
        if deletes.is_some() && !self.onto_object {
            original.insert(key.to_owned(), value);
            return Ok(());
        }
        if deletes.is_some() && !value.is_array() {
            return Err(PatchError::Malformed("invalid patch format of primitive list".to_owned()));
        }
        let key = deletes.unwrap_or(key);
        let old = if value.is_null() {
            original.remove(key);
            None
        } else {
            original.remove(key)
        };
        if value.is_null() && self.onto_object {
            return Ok(());
        }
        let child = place.child(key);
        let merged = match (old, value) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(self.maps(old, new, child)?),
            (Some(Value::Array(old)), Value::Array(new)) if deletes.is_some() => {
                Value::Array(old.into_iter().filter(|item| !new.contains(item)).collect())
            }
            (Some(Value::Array(old)), Value::Array(new)) if child.patch().merge => {
                Value::Array(self.lists(old, new, child)?)
            }
            (Some(old), _) if deletes.is_some() => old,
            (None, _) if deletes.is_some() => return Ok(()),
            (_, mut new) => {
                if self.onto_object {
                    clean(&mut new);
                }
                new
            }
        };
        original.insert(key.to_owned(), merged);
        Ok(())
    }

    /// Drops what `$retainKeys` does not name.
    fn retain_keys(self, original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
        let malformed = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
        let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
        if !self.onto_object {
            match original.get(RETAIN_KEYS) {
                Some(other) if *other != retained => return Err(malformed()),
                _ => original.insert(RETAIN_KEYS.to_owned(), retained),
            };
            return Ok(());
        }
        let Value::Array(retained) = retained else { return Err(malformed()) };
        let names = |key: &str| retained.iter().any(|one| one == key);
        let is_directive = |key: &str| key.starts_with(DELETE_FROM_LIST) || key.starts_with(ELEMENT_ORDER);
        if patch.iter().any(|(key, value)| !value.is_null() && !is_directive(key) && !names(key)) {
            return Err(malformed());
        }
        original.retain(|key, _| names(key));
        Ok(())
    }

    /// Merges the lists that come with an order, and takes them out of the patch.
    fn ordered_lists(
        self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(), PatchError> {
        let malformed = || PatchError::Malformed("invalid patch format of setElementOrder list".to_owned());
        let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
        for directive in directives {
            let Some(order) = patch.remove(&directive) else { continue };
            if !self.onto_object {
                match original.get(&directive) {
                    Some(other) if *other != order => return Err(malformed()),
                    _ => original.insert(directive.clone(), order.clone()),
                };
            }
            let Value::Array(order) = order else { return Err(malformed()) };
            let field = &directive[ELEMENT_ORDER.len()..];
            let child = place.child(field);
            let old = take_list(original, field)?;
            let new = take_list(patch, field)?;
            if old.is_none() && new.is_none() {
                continue;
            }
            let identity = Identity(child.patch().merge_key.as_deref());
            check_order(new.as_deref().unwrap_or_default(), &order, identity, field)?;
            let server_order = old.clone().unwrap_or_default();
            let merged = match (old, new) {
                (Some(old), Some(new)) if child.patch().merge => self.lists(old, new, child)?,
                (_, Some(new)) => {
                    let mut new = Value::Array(new);
                    if self.onto_object {
                        clean(&mut new);
                    }
                    new.as_array().cloned().unwrap_or_default()
                }
                (Some(old), None) => old,
                (None, None) => continue,
            };
            identity.check(&merged)?;
            let (ordered, others) = identity.partition(merged, &order);
            let list = identity.interleave(ordered, others, &order, &server_order);
            original.insert(field.to_owned(), Value::Array(list));
        }
        Ok(())
    }

    /// Two lists whose strategy is to merge.
    fn lists(self, original: Vec<Value>, patch: Vec<Value>, place: Place<'_>) -> Result<Vec<Value>, PatchError> {
        if original.iter().chain(&patch).any(Value::is_array) {
            return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned()));
        }
        let Some(first) = original.iter().chain(&patch).next() else { return Ok(original) };
        let identity = Identity(place.patch().merge_key.as_deref().filter(|_| first.is_object()));
        let server_order = original.clone();
        let (merged, patch) = match identity.0 {
            Some(key) => self.keyed_lists(original, patch, key, place.item())?,
            None if first.is_object() => {
                return Err(PatchError::Failed("cannot merge lists without merge key".to_owned()));
            }
            None => {
                let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
                for item in original.into_iter().chain(patch.iter().cloned()) {
                    if !merged.contains(&item) {
                        merged.push(item);
                    }
                }
                (merged, patch)
            }
        };
        let (from_patch, others) = identity.partition(merged, &patch);
        Ok(identity.interleave(from_patch, others, &patch, &server_order))
    }

    /// The merged items, and the patch's items that are no directives.
    fn keyed_lists(
        self,
        mut original: Vec<Value>,
        patch: Vec<Value>,
        key: &str,
        item: Place<'_>,
    ) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
        let identity = Identity(Some(key));
        let mut plain = Vec::with_capacity(patch.len());
        let mut replace = false;
        for one in patch {
            let Some(directive) = one.get(DIRECTIVE) else {
                identity.check(std::slice::from_ref(&one))?;
                plain.push(one);
                continue;
            };
            match directive.as_str() {
                Some("delete") if one.get(key).is_none() => return Err(no_merge_key(&one, key)),
                Some("delete") => original.retain(|old| !identity.same(old, &one)),
                Some("replace") => replace = true,
                Some("merge") => {
                    return Err(PatchError::Failed("merging lists cannot yet be specified in the patch".to_owned()));
                }
                _ => return Err(unknown_directive(directive, &one)),
            }
        }
        if replace {
            return Ok((plain, Vec::new()));
        }
        for one in &plain {
            match (identity.position(&original, one), one) {
                (Some(at), Value::Object(new)) => {
                    let old = std::mem::take(&mut original[at]);
                    let Value::Object(old) = old else { return Err(no_merge_key(&old, key)) };
                    original[at] = Value::Object(self.maps(old, new.clone(), item)?);
                }
                _ => {
                    let mut new = one.clone();
                    if self.onto_object {
                        clean(&mut new);
                    }
                    original.push(new);
                }
            }
        }
        Ok((original, plain))
    }
}

fn unknown_directive(directive: &Value, place: impl serde::Serialize) -> PatchError {
    let place = serde_json::to_string(&place).unwrap_or_default();
    PatchError::Failed(format!("unknown patch type: {} in map: {place}", super::order::text(directive)))
}

fn take_list(map: &mut Map<String, Value>, field: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match map.remove(field) {
        Some(Value::Array(list)) => Ok(Some(list)),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(PatchError::Failed(format!("expected a list at {field}"))),
    }
}

/// The patch's items must come in the order that goes with it.
fn check_order(list: &[Value], order: &[Value], identity: Identity<'_>, field: &str) -> Result<(), PatchError> {
    let mut from = 0;
    for item in list.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        match identity.position(&order[from..], item) {
            Some(at) => from += at + 1,
            None => {
                let (list, order) = (Value::from(list.to_vec()), Value::from(order.to_vec()));
                return Err(PatchError::Failed(format!(
                    "The order in patch list:\n{list}\n doesn't match {ELEMENT_ORDER}{field} list:\n{order}\n"
                )));
            }
        }
    }
    Ok(())
}

/// Takes directives and nulls out of what is new to the object: they have nothing to act on.
fn clean(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| is_kept(key, value));
            map.values_mut().for_each(clean);
        }
        Value::Array(list) => {
            list.retain(|item| !is_deletion(item));
            list.iter_mut().for_each(clean);
        }
        _ => {}
    }
}

/// Only the four directives are ours to drop; another key may well begin with `$`.
fn is_kept(key: &str, value: &Value) -> bool {
    !value.is_null()
        && key != DIRECTIVE
        && key != RETAIN_KEYS
        && !key.starts_with(DELETE_FROM_LIST)
        && !key.starts_with(ELEMENT_ORDER)
}
