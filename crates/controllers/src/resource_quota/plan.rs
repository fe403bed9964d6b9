//! Counting, and what to do about the result. Pure.

use crate::action::{Action, Update};
use crate::kinds::resource;
use base::Timestamp;
use bytes::Bytes;
use client::Key;
use meta::Quantity;
use quota::{Amounts, Subject};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How a quota's status compares with what was counted.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Right,
    /// The limits changed or more is used than it says: this is its new status.
    Write(Value),
    /// Less is used than it says.
    TooMuch,
}

/// Whose objects these limits count.
pub fn subjects(hard: &Amounts) -> BTreeSet<Subject<'_>> {
    hard.keys().filter_map(|name| Subject::of_name(name)).collect()
}

/// What the objects use, under every limited name that was counted.
pub fn count<'s>(
    quota: &Value,
    hard: &Amounts,
    lists: impl Iterator<Item = (Subject<'s>, Vec<Bytes>)>,
    now: Timestamp,
) -> Amounts {
    let mut total = Amounts::new();
    for (subject, objects) in lists {
        let names = hard.keys().filter(|name| subject.counts(name));
        total.extend(names.map(|name| (name.clone(), Quantity::ZERO)));
        for object in objects {
            // What cannot be read was never counted either.
            let Ok(object) = serde_json::from_slice::<Value>(&object) else { continue };
            if subject.is_seen_by(quota, hard, &object) {
                quota::add(&mut total, &quota::masked(&subject.usage(&object, now), hard));
            }
        }
    }
    total
}

pub fn verdict(quota: &Value, hard: &Amounts, counted: &Amounts) -> Verdict {
    let used = quota::amounts(&quota["status"]["used"]);
    let is_new = quota::amounts(&quota["status"]["hard"]) != *hard
        || quota["status"]["hard"].is_null()
        || hard.keys().any(|name| !used.contains_key(name))
        || used.keys().any(|name| !hard.contains_key(name));
    let grew = counted.iter().any(|(name, amount)| used.get(name).is_none_or(|used| used < amount));
    let fell = counted.iter().any(|(name, amount)| used.get(name).is_some_and(|used| used > amount));
    match (is_new || grew, fell) {
        (true, _) => Verdict::Write(status(quota, hard, counted, false)),
        (false, true) => Verdict::TooMuch,
        (false, false) => Verdict::Right,
    }
}

/// The status that goes with what was counted. Names that were not counted keep what they had; unless
/// it `may_fall`, none gets less.
pub fn status(quota: &Value, hard: &Amounts, counted: &Amounts, may_fall: bool) -> Value {
    let before = quota::amounts(&quota["status"]["used"]);
    let mut used = Amounts::new();
    for name in hard.keys() {
        let now = match (counted.get(name), before.get(name)) {
            (Some(counted), Some(before)) if !may_fall && before > counted => *before,
            (Some(counted), _) => *counted,
            (None, before) => before.copied().unwrap_or(Quantity::ZERO),
        };
        used.insert(name.clone(), now);
    }
    json!({"hard": quota["spec"]["hard"], "used": quota::to_json(&used)})
}

/// The whole quota with a new status, at the version it was read at.
pub fn update(quota: &Value, status: Value) -> Action {
    let text = |field: &str| quota["metadata"][field].as_str().unwrap_or_default();
    let key = Key::new(text("namespace"), text("name"));
    let mut object = quota.clone();
    object["status"] = status;
    Action::Update(Update { resource: resource::RESOURCE_QUOTAS, key, subresource: Some("status"), object })
}
