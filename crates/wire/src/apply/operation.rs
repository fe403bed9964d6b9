//! The two operations: keeping track of an update, and applying.

use super::compare::{Changes, compare, field_set, with_named_parents};
use super::conflict::{Conflict, conflicts};
use super::fieldset::FieldSet;
use super::managers::{Entry, cap, is_reset, put, read, seconds, strip_metadata, take};
use super::merge::{check, merge, remove_items};
use super::{ApplyError, Writer};
use crate::place::Place;
use crate::schema::Cursor;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The annotation of client-side apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Upstream's limit on all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// Owner of what stood in an object before its managers were tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Brings `new`'s managedFields up to date after a create (`live` None), update or patch. Both
/// objects are canonical and of the request's version.
pub fn track_update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>, cursor: &Cursor<'_>) {
    let given = take(new);
    let of_live = live.and_then(|live| live.pointer("/metadata/managedFields")).unwrap_or(&Value::Null);
    let read_live = || read(of_live.clone()).unwrap_or_default();
    let mut entries = if given == *of_live {
        // Mostly nobody touches them: then there is nothing to copy.
        read(given).unwrap_or_default()
    } else if !writer.subresource.is_empty() {
        read_live()
    } else if is_reset(&given) {
        Vec::new()
    } else {
        // Clients that do not know managedFields must not delete them by leaving them out.
        read(given).filter(|entries| !entries.is_empty()).unwrap_or_else(read_live)
    };
    let mut changes = compare(live, new, Place::of(cursor));
    forget_reset(&mut changes, writer);
    if !changes.is_empty() {
        // An object that nobody has written before has nobody whose fields are to be looked at.
        let mut own = if entries.is_empty() { std::mem::take(&mut changes.changed) } else { changes.changed.clone() };
        let mut elsewhere = Elsewhere::new(live, new, writer);
        entries.retain_mut(|entry| {
            let Some(changes) = elsewhere.seen_by(entry, &changes) else { return false };
            if !entry.is_of(writer, false) {
                entry.fields.subtract(&changes.changed);
            }
            entry.fields.subtract(&changes.removed);
            true
        });
        strip_metadata(&mut own);
        if !own.is_empty() {
            match entries.iter_mut().find(|entry| entry.is_of(writer, false)) {
                Some(entry) => {
                    entry.fields.union(own);
                    entry.time = seconds(writer.now);
                }
                None => entries.push(Entry::new(writer, false, own)),
            }
        }
        entries.retain(|entry| !entry.fields.is_empty());
        entries = cap(entries);
    }
    put(new, entries);
}

/// One write as managers of other versions see it.
struct Elsewhere<'a> {
    live: Option<&'a Value>,
    new: &'a Value,
    writer: &'a Writer<'a>,
    known: BTreeMap<String, Option<Changes>>,
}

impl<'a> Elsewhere<'a> {
    fn new(live: Option<&'a Value>, new: &'a Value, writer: &'a Writer<'a>) -> Self {
        Elsewhere { live, new, writer, known: BTreeMap::new() }
    }

    /// The changes in the version of an entry; None where that version is gone.
    fn seen_by<'c>(&'c mut self, entry: &Entry, here: &'c Changes) -> Option<&'c Changes> {
        let Some(versions) = self.writer.versions.filter(|_| entry.api_version != self.writer.api_version) else {
            return Some(here);
        };
        let (live, new, writer) = (self.live, self.new, self.writer);
        let known = self.known.entry(entry.api_version.clone()).or_insert_with(|| {
            let (new, cursor) = versions.convert(new, &entry.api_version)?;
            let live = live.and_then(|live| versions.convert(live, &entry.api_version)).map(|(live, _)| live);
            let mut changes = compare(live.as_ref(), &new, Place::of(&cursor));
            forget_reset(&mut changes, writer);
            Some(changes)
        });
        known.as_ref()
    }
}

fn forget_reset(changes: &mut Changes, writer: &Writer<'_>) {
    for path in writer.reset {
        changes.changed.remove_below(path);
        changes.removed.remove_below(path);
    }
}

/// Applies a configuration over the live object, or creates it. The result carries its
/// managedFields and is equal to `live` where nothing changed.
pub fn apply(
    live: Option<&Value>,
    applied: Value,
    writer: &Writer<'_>,
    force: bool,
    cursor: &Cursor<'_>,
) -> Result<Value, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
        return Err(ApplyError::ManagedFieldsGiven);
    }
    let place = Place::of(cursor);
    check(&applied, place).map_err(ApplyError::Mistyped)?;
    let mut base = live.cloned().unwrap_or_else(|| json!({}));
    let mut entries = read(take(&mut base)).unwrap_or_default();
    if let Some(live) = live
        && entries.is_empty()
    {
        let mut fields = compare(None, live, place).changed;
        strip_metadata(&mut fields);
        let first = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..*writer };
        entries.push(Entry::new(&first, false, fields));
    }
    let attempt = Attempt { live, base: &base, applied: &applied, entries: &entries, writer, place };
    let outcome = match attempt.run(force) {
        // Fields that kubectl set by client-side apply are its own to take over.
        Err(conflicts) if writer.manager == "kubectl" => {
            let foreign = attempt.foreign(conflicts);
            if foreign.is_empty() { attempt.run(true) } else { Err(foreign) }
        }
        other => other,
    };
    let (mut object, entries) = outcome.map_err(ApplyError::Conflicts)?;
    if writer.manager == "kubectl" {
        renew_last_applied(&mut object, applied);
    }
    put(&mut object, entries);
    Ok(object)
}

/// `live` with what `applied` sets, whoever owns it. Nothing that is one indivisible value may be set:
/// what is not named of it would be lost.
///
/// # Errors
/// What is applied does not fit the schema, or sets an indivisible list, map or struct.
pub fn merge_applied(live: &Value, applied: Value, cursor: &Cursor<'_>) -> Result<Value, String> {
    let place = Place::of(cursor);
    check(&applied, place)?;
    let atomics = super::merge::atomics(&applied, place);
    if !atomics.is_empty() {
        return Err(format!("may not mutate atomic arrays, maps or structs: {}", atomics.join(", ")));
    }
    Ok(merge(live.clone(), applied, place))
}

struct Attempt<'a> {
    live: Option<&'a Value>,
    /// The live object without its managedFields.
    base: &'a Value,
    applied: &'a Value,
    entries: &'a [Entry],
    writer: &'a Writer<'a>,
    place: Place<'a>,
}

impl Attempt<'_> {
    fn run(&self, force: bool) -> Result<(Value, Vec<Entry>), Vec<Conflict>> {
        let mut entries = self.entries.to_vec();
        let mut set = field_set(self.applied, self.place);
        for path in self.writer.reset {
            set.remove_below(path);
        }
        let own = entries.iter().position(|entry| entry.is_of(self.writer, true)).map(|at| entries.remove(at));
        let mut object = merge(self.base.clone(), self.applied.clone(), self.place);
        if let Some(own) = &own {
            self.prune(&mut object, &own.fields, &set, &entries);
        }
        let mut changes = compare(self.live.map(|_| self.base), &object, self.place);
        forget_reset(&mut changes, self.writer);
        let mut elsewhere = Elsewhere::new(self.live.map(|_| self.base), &object, self.writer);
        entries.retain(|entry| elsewhere.seen_by(entry, &changes).is_some());
        if !force {
            let mut found: Vec<Conflict> = Vec::new();
            for entry in &entries {
                let Some(changes) = elsewhere.seen_by(entry, &changes) else { continue };
                found.extend(conflicts(entry, &entry.fields.intersection(&changes.changed)));
            }
            if !found.is_empty() {
                return Err(found);
            }
        }
        for entry in &mut entries {
            let Some(changes) = elsewhere.seen_by(entry, &changes) else { continue };
            entry.fields.subtract(&changes.changed);
            entry.fields.subtract(&changes.removed);
        }
        strip_metadata(&mut set);
        let mut entry = Entry::new(self.writer, true, set);
        // An apply that changes nothing must not write.
        if let Some(own) = own.filter(|own| changes.is_empty() && own.fields == entry.fields)
            && own.api_version == entry.api_version
        {
            entry.time = own.time;
        }
        entries.push(entry);
        Ok((object, entries))
    }

    /// Takes away what this manager applied before, does not apply now, and nobody else owns.
    fn prune(&self, object: &mut Value, last: &FieldSet, set: &FieldSet, others: &[Entry]) {
        let mut gone = with_named_parents(last, self.place);
        gone.subtract(&with_named_parents(set, self.place));
        for entry in others {
            gone.subtract(&with_named_parents(&entry.fields, self.place));
        }
        // These identify the object; no set holds them.
        for path in [&["apiVersion"][..], &["kind"], &["metadata"], &["metadata", "name"], &["metadata", "namespace"]] {
            gone.remove_member(path);
        }
        remove_items(object, &gone, self.place);
    }

    /// The conflicts over fields that are not as client-side apply left them.
    fn foreign(&self, conflicts: Vec<Conflict>) -> Vec<Conflict> {
        let annotation = self.base.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(LAST_APPLIED));
        let last = annotation.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(last) = last else { return conflicts };
        let mut allowed = field_set(&last, self.place);
        let changes = compare(Some(&last), self.base, self.place);
        allowed.subtract(&changes.changed);
        allowed.subtract(&changes.removed);
        let allowed = allowed.paths();
        conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect()
    }
}

/// Keeps the annotation of client-side apply in step where the object has one, so that either way
/// of applying can follow the other.
fn renew_last_applied(object: &mut Value, mut applied: Value) {
    let Some(annotation) = object.pointer_mut("/metadata/annotations").and_then(|map| map.get_mut(LAST_APPLIED)) else {
        return;
    };
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{applied}\n");
    *annotation = Value::String(if text.len() > MAX_ANNOTATIONS { String::new() } else { text });
}
