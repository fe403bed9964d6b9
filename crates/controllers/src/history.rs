//! The revisions of a template that DaemonSets and StatefulSets keep as ControllerRevisions.
//!
//! Decides only: which revision has the wanted template, what must be written for it to exist and to
//! be the newest, and which old ones go.

use crate::action::{Action, Create, Delete, Outcome, Patch, Plan};
use crate::kinds::resource::{self, CONTROLLER_REVISIONS};
use crate::ownership::{self, Owner};
use crate::rig::RoomError;
use client::{Item, Key};
use meta::labels::Selector;
use meta::{ObjectMeta, Reason};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The label by which pods tell their revision.
pub const LABEL: &str = "controller-revision-hash";

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Revision {
    pub metadata: ObjectMeta,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    revision: i64,
}

impl Revision {
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The pod template it remembers.
    pub fn template(&self) -> Value {
        let mut template = self.data["spec"]["template"].clone();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        without_empty_time(template)
    }
}

/// What a history is kept of.
pub struct Subject<'a> {
    pub owner: &'a Owner,
    pub selector: &'a Selector,
    pub annotations: Value,
    pub template: &'a Value,
    /// The label of a revision that holds its hash.
    pub hash_label: &'static str,
    pub collisions: Option<i64>,
}

/// A history brought up to date.
pub struct History {
    /// The revision of the wanted template; it may be yet to be created.
    pub update: Revision,
    /// The others, oldest first.
    pub others: Vec<Revision>,
    pub actions: Vec<Action>,
    is_fresh: bool,
}

/// Finds the revision of the subject's template among those it owns, or makes one.
pub fn advance(subject: &Subject<'_>, candidates: Vec<Arc<Item<()>>>) -> Result<History, RoomError> {
    let claimed = ownership::claim(subject.owner, subject.selector, &CONTROLLER_REVISIONS, candidates);
    let mut actions = claimed.actions;
    let decode = |item: &Arc<Item<()>>| {
        item.decode::<Revision>().map_err(|why| RoomError::Decode { key: item.key.clone(), why })
    };
    let mut others: Vec<Revision> = claimed.owned.iter().map(decode).collect::<Result<_, _>>()?;
    let age = |one: &Revision| (one.revision, one.metadata.creation_timestamp.clone(), one.metadata.name.clone());
    others.sort_by_key(age);
    let wanted = without_empty_time(subject.template.clone());
    let found = others.iter().rposition(|one| one.template() == wanted).map(|at| others.remove(at));
    let next = others.last().map_or(0, |newest| newest.revision) + 1;
    let is_fresh = found.is_none();
    let update = match found {
        Some(mut standing) => {
            // Rolled back to: it becomes the newest again.
            if standing.revision < next {
                standing.revision = next;
                let key = Key::of(&standing.metadata);
                actions.push(Action::Patch(Patch::merge(&CONTROLLER_REVISIONS, &key, json!({"revision": next}))));
            }
            standing
        }
        None => {
            let (made, create) = make(subject, data_of(subject.template), next);
            actions.push(Action::Create(vec![create]));
            made
        }
    };
    Ok(History { update, others, actions, is_fresh })
}

impl History {
    /// Old revisions beyond the limit, the oldest first, but none that pods still have.
    pub fn prune(&self, limit: Option<i64>, is_live: impl Fn(&Revision) -> bool) -> Option<Action> {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let dead: Vec<&Revision> = self.others.iter().filter(|one| !is_live(one)).collect();
        let surplus = dead.len().saturating_sub(limit);
        let delete = |one: &&Revision| Delete::new(&CONTROLLER_REVISIONS, &Key::of(&one.metadata), &one.metadata.uid);
        let deletes: Vec<Delete> = dead.iter().take(surplus).map(delete).collect();
        (!deletes.is_empty()).then_some(Action::Delete(deletes))
    }

    /// What follows where the new revision's name is taken: by itself, not yet in the cache, or by
    /// another template with the same hash, which counts as a collision. None: something else failed.
    pub fn collision(&self, owner: &Owner, collisions: Option<i64>, outcome: &Outcome) -> Option<Plan> {
        let taken = outcome.failure.as_ref().is_some_and(|error| error.is(Reason::AlreadyExists));
        if !taken || !self.is_fresh {
            return None;
        }
        let key = Key::new(owner.key.namespace(), self.update.name());
        let read = Action::Read { resource: CONTROLLER_REVISIONS, key };
        let (owner, template) = (owner.clone(), self.update.template());
        Some(Plan::of(vec![read]).then(move |outcome| {
            let found = outcome.reads.first().and_then(Option::as_ref);
            let Some(found) = found.and_then(|body| serde_json::from_slice::<Revision>(body).ok()) else {
                return Plan::nothing();
            };
            if found.template() == template {
                return Plan::nothing();
            }
            let status = json!({"collisionCount": collisions.unwrap_or(0) + 1});
            Plan::of(vec![Action::status(&owner.resource, &owner.key, status)])
        }))
    }
}

fn make(subject: &Subject<'_>, data: Value, number: i64) -> (Revision, Create) {
    let hash = hash(subject.template, subject.collisions);
    let name = format!("{}-{hash}", subject.owner.key.name());
    let mut labels = subject.template["metadata"]["labels"].clone();
    labels[subject.hash_label] = json!(hash);
    let metadata = json!({
        "name": name, "namespace": subject.owner.key.namespace(), "labels": labels,
        "annotations": subject.annotations, "ownerReferences": [subject.owner.reference()],
    });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": metadata, "data": data, "revision": number,
    });
    let labels = serde_json::from_value(labels).unwrap_or_default();
    let metadata =
        ObjectMeta { name, namespace: subject.owner.key.namespace().to_owned(), labels, ..Default::default() };
    let create = Create::new(&resource::CONTROLLER_REVISIONS, subject.owner.key.namespace(), object);
    (Revision { metadata, data, revision: number }, create)
}

/// A template as the patch that returns to it. Byte for byte what upstream writes before 1.34, with
/// the empty time that newer ones leave out: those controllers compare the bytes, and would roll
/// every pod when they take over.
fn data_of(template: &Value) -> Value {
    let mut template = template.clone();
    template["$patch"] = json!("replace");
    if template["metadata"].get("creationTimestamp").is_none() {
        template["metadata"]["creationTimestamp"] = Value::Null;
    }
    json!({"spec": {"template": template}})
}

/// What two ways to write the same template have in common.
fn without_empty_time(mut template: Value) -> Value {
    if template["metadata"]["creationTimestamp"].is_null()
        && let Some(metadata) = template["metadata"].as_object_mut()
    {
        metadata.remove("creationTimestamp");
    }
    template
}

/// FNV-1a of a template, in letters that spell nothing.
pub fn hash(template: &Value, collisions: Option<i64>) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = template.to_string().into_bytes();
    text.extend(collisions.iter().flat_map(|count| count.to_le_bytes()));
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    let number = text.iter().fold(2_166_136_261_u32, step);
    let letter = |digit: u8| char::from(LETTERS[usize::from(digit) % LETTERS.len()]);
    number.to_string().bytes().map(letter).collect()
}
