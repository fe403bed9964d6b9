//! The two operations: keeping track of an update, and applying.

use super::compare::{Changes, compare, field_set, name_parents, subtract_named};
use super::conflict::{Conflict, conflicts};
use super::fieldset::FieldSet;
use super::managers::{Entry, cap, is_reset, put, read, seconds, strip_metadata, take, write};
use super::merge::{check, merge, remove_items};
use super::same::changes_nothing;
use super::{ApplyError, Writer};
use crate::place::Place;
use crate::schema::Cursor;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The annotation of client-side apply.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Upstream's limit on all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// Owner of what stood in an object before its managers were tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Where managedFields stand.
const MANAGED: [&str; 2] = ["metadata", "managedFields"];

/// Brings `new`'s managedFields up to date after a create (`live` None), update or patch. Both
/// objects are canonical and of the request's version.
pub fn track_update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>, cursor: &Cursor<'_>) {
    let given = take(new);
    let of_live = live.and_then(|live| live.pointer("/metadata/managedFields")).unwrap_or(&Value::Null);
    // Mostly nobody touches them. Clients that do not know them must not delete them by leaving them out.
    let list = if given == *of_live {
        Cow::Owned(given)
    } else if !writer.subresource.is_empty() {
        Cow::Borrowed(of_live)
    } else if is_reset(&given) {
        Cow::Owned(Value::Null)
    } else if read(&given).is_some_and(|entries| !entries.is_empty()) {
        Cow::Owned(given)
    } else {
        Cow::Borrowed(of_live)
    };
    let entries = write(tracked(live, new, read(&list).unwrap_or_default(), writer, Place::of(cursor)));
    put(new, entries, list);
}

/// The entries after an update.
fn tracked<'v>(
    live: Option<&'v Value>,
    new: &'v Value,
    mut entries: Vec<Entry<'v>>,
    writer: &Writer<'v>,
    place: Place<'_>,
) -> Vec<Entry<'v>> {
    let mut changes = compare(live, new, place);
    forget_reset(&mut changes, writer);
    if changes.is_empty() {
        return entries;
    }
    // An object that nobody has written before has nobody whose fields are to be looked at.
    let mut own = if entries.is_empty() { std::mem::take(&mut changes.changed) } else { changes.changed.clone() };
    let mut elsewhere = Elsewhere::new(live, new, writer);
    entries.retain_mut(|entry| {
        let Some(changes) = elsewhere.seen_by(entry, &changes) else { return false };
        if !entry.is_of(writer, false) {
            entry.subtract(&changes.changed);
        }
        entry.subtract(&changes.removed);
        true
    });
    strip_metadata(&mut own);
    if !own.is_empty() {
        match entries.iter_mut().find(|entry| entry.is_of(writer, false)) {
            Some(entry) => {
                entry.union(own);
                entry.time = seconds(writer.now).into();
            }
            None => entries.push(Entry::new(writer, false, own)),
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    cap(entries)
}

/// One write as managers of other versions see it.
struct Elsewhere<'a> {
    live: Option<&'a Value>,
    new: &'a Value,
    writer: &'a Writer<'a>,
    known: BTreeMap<String, Option<Changes<'static>>>,
}

impl<'a> Elsewhere<'a> {
    fn new(live: Option<&'a Value>, new: &'a Value, writer: &'a Writer<'a>) -> Self {
        Elsewhere { live, new, writer, known: BTreeMap::new() }
    }

    /// The changes in the version of an entry; None where that version is gone.
    fn seen_by<'c>(&'c mut self, entry: &Entry<'_>, here: &'c Changes<'_>) -> Option<&'c Changes<'c>> {
        let Some(versions) = self.writer.versions.filter(|_| entry.api_version != self.writer.api_version) else {
            return Some(here);
        };
        let (live, new, writer) = (self.live, self.new, self.writer);
        let known = self.known.entry(entry.api_version.clone().into_owned()).or_insert_with(|| {
            let (new, cursor) = versions.convert(new, &entry.api_version)?;
            let live = live.and_then(|live| versions.convert(live, &entry.api_version)).map(|(live, _)| live);
            let mut changes = compare(live.as_ref(), &new, Place::of(&cursor));
            forget_reset(&mut changes, writer);
            Some(changes.into_owned())
        });
        known.as_ref()
    }
}

fn forget_reset(changes: &mut Changes<'_>, writer: &Writer<'_>) {
    for path in writer.reset {
        changes.changed.remove_below(path);
        changes.removed.remove_below(path);
    }
}

/// Applies a configuration over the live object, or creates it. The result carries its managedFields;
/// None: the live object stays as it is.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
    cursor: &Cursor<'_>,
) -> Result<Option<Value>, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
        return Err(ApplyError::ManagedFieldsGiven);
    }
    let place = Place::of(cursor);
    let list = live.and_then(|live| live.pointer("/metadata/managedFields")).unwrap_or(&Value::Null);
    let is_annotated =
        |live: &Value| live.pointer("/metadata/annotations").is_some_and(|map| map.get(LAST_APPLIED).is_some());
    if let Some(live) = live
        && !(writer.manager == "kubectl" && is_annotated(live))
        && changes_nothing(live, applied, list, writer, place)
    {
        return Ok(None);
    }
    check(applied, place).map_err(ApplyError::Mistyped)?;
    let mut entries = read(list).unwrap_or_default();
    if let Some(live) = live
        && entries.is_empty()
    {
        let mut fields = compare(None, live, place).changed;
        strip_metadata(&mut fields);
        let first = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..*writer };
        entries.push(Entry::new(&first, false, fields));
    }
    let attempt = Attempt { live, applied, entries: &entries, writer, place };
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
    put(&mut object, write(entries), Cow::Borrowed(list));
    Ok(Some(object))
}

/// `live` with what `applied` sets, whoever owns it. Nothing that is one indivisible value may be set:
/// what is not named of it would be lost.
///
/// # Errors
/// What is applied does not fit the schema, or sets an indivisible list, map or struct.
pub fn merge_applied(live: &Value, applied: &Value, cursor: &Cursor<'_>) -> Result<Value, String> {
    let place = Place::of(cursor);
    check(applied, place)?;
    let atomics = super::merge::atomics(applied, place);
    if !atomics.is_empty() {
        return Err(format!("may not mutate atomic arrays, maps or structs: {}", atomics.join(", ")));
    }
    Ok(merge(live, applied, place, &[]))
}

struct Attempt<'a> {
    live: Option<&'a Value>,
    applied: &'a Value,
    entries: &'a [Entry<'a>],
    writer: &'a Writer<'a>,
    place: Place<'a>,
}

impl<'a> Attempt<'a> {
    fn run(&self, force: bool) -> Result<(Value, Vec<Entry<'a>>), Vec<Conflict>> {
        let mut entries = self.entries.to_vec();
        let mut set = field_set(self.applied, self.place);
        for path in self.writer.reset {
            set.remove_below(path);
        }
        let own = entries.iter().position(|entry| entry.is_of(self.writer, true)).map(|at| entries.remove(at));
        let mut object = self.merged();
        if let Some(own) = &own {
            self.prune(&mut object, &own.fields, &set, &entries);
        }
        let mut changes = compare(self.live, &object, self.place);
        // It has none yet.
        changes.removed.remove_below("metadata.managedFields");
        forget_reset(&mut changes, self.writer);
        let mut elsewhere = Elsewhere::new(self.live, &object, self.writer);
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
            entry.subtract(&changes.changed);
            entry.subtract(&changes.removed);
        }
        strip_metadata(&mut set);
        let mut entry = Entry::new(self.writer, true, set);
        if let Some(own) = own.filter(|own| own.fields == entry.fields) {
            entry.same_as = own.same_as;
            // An apply that changes nothing must not write.
            if changes.is_empty() && own.api_version == entry.api_version {
                entry.time = own.time;
            }
        }
        entries.push(entry);
        drop(changes);
        Ok((object, entries))
    }

    /// The live object with what is applied, without its managedFields.
    fn merged(&self) -> Value {
        let nothing = Value::Object(serde_json::Map::new());
        merge(self.live.unwrap_or(&nothing), self.applied, self.place, &MANAGED)
    }

    /// Takes away what this manager applied before, does not apply now, and nobody else owns.
    fn prune(&self, object: &mut Value, last: &FieldSet<'_>, set: &FieldSet<'_>, others: &[Entry<'_>]) {
        if last.is_within(set) {
            return;
        }
        let mut gone = last.clone();
        name_parents(&mut gone, self.place);
        subtract_named(&mut gone, set, self.place);
        for entry in others {
            subtract_named(&mut gone, &entry.fields, self.place);
        }
        // These identify the object; no set holds them.
        for path in [&["apiVersion"][..], &["kind"], &["metadata"], &["metadata", "name"], &["metadata", "namespace"]] {
            gone.remove_member(path);
        }
        remove_items(object, &gone, self.place);
    }

    /// The conflicts over fields that are not as client-side apply left them.
    fn foreign(&self, conflicts: Vec<Conflict>) -> Vec<Conflict> {
        let metadata = self.live.and_then(|live| live.get("metadata"));
        let annotation = metadata.and_then(|metadata| metadata.get("annotations")?.get(LAST_APPLIED));
        let last = annotation.and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let (Some(last), Some(live)) = (last, self.live) else { return conflicts };
        let mut allowed = field_set(&last, self.place);
        let changes = compare(Some(&last), live, self.place);
        allowed.subtract(&changes.changed);
        allowed.subtract(&changes.removed);
        let allowed = allowed.paths();
        conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect()
    }
}

/// Keeps the annotation of client-side apply in step where the object has one, so that either way
/// of applying can follow the other.
fn renew_last_applied(object: &mut Value, applied: &Value) {
    let Some(annotation) = object.pointer_mut("/metadata/annotations").and_then(|map| map.get_mut(LAST_APPLIED)) else {
        return;
    };
    let mut applied = applied.clone();
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{applied}\n");
    *annotation = Value::String(if text.len() > MAX_ANNOTATIONS { String::new() } else { text });
}
