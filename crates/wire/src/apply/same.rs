//! Whether an apply is its manager's last one once more: everything is there and owned already, and
//! nothing else is. One walk over what is applied, the live object and the manager's `fieldsV1` side by
//! side, in which nothing is copied and hardly anything made. Called by [`super::apply`] before it goes
//! the long way, which comes to the same; says no wherever that is not plain.

use super::Writer;
use super::compare::side_by_side;
use super::elements::{Division, division, element_at, in_step};
use super::fieldset::SELF;
use super::managers::{IDENTITY, SYSTEM, fields_applied};
use crate::place::Place;
use serde_json::{Map, Value};

pub(super) fn changes_nothing(
    live: &Value,
    applied: &Value,
    list: &Value,
    writer: &Writer<'_>,
    place: Place<'_>,
) -> bool {
    let is_reset = |path: &&str| applied.pointer(&format!("/{}", path.replace('.', "/"))).is_some();
    if writer.reset.iter().any(is_reset) {
        return false;
    }
    let fields = fields_applied(list, writer).and_then(Value::as_object);
    let (Some(live), Some(applied), Some(fields)) = (live.as_object(), applied.as_object(), fields) else {
        return false;
    };
    let walk = Walk { skipped: &IDENTITY, metadata: true };
    walk.fields(live, applied, Some(fields), place, false)
}

/// How the fields at one place are looked at.
#[derive(Clone, Copy, Default)]
struct Walk<'w> {
    /// These belong to the system, and nobody comes to own them.
    skipped: &'w [&'w str],
    /// A field `metadata` is the object's own.
    metadata: bool,
}

impl Walk<'_> {
    /// `forced`: the place is a member itself. `owned` is what `fieldsV1` says below it.
    fn fields(
        self,
        live: &Map<String, Value>,
        applied: &Map<String, Value>,
        owned: Option<&Map<String, Value>>,
        place: Place<'_>,
        forced: bool,
    ) -> bool {
        let mut members = owned.into_iter().flatten().filter(|(key, _)| *key != SELF).peekable();
        let mut any = false;
        for (name, live, applied) in side_by_side(Some(live), Some(applied)) {
            let Some(applied) = applied else { continue };
            if self.skipped.contains(&name.as_str()) {
                if live != Some(applied) {
                    return false;
                }
                continue;
            }
            let here = members.next_if(|(key, _)| key.strip_prefix("f:") == Some(name)).map(|(_, below)| below);
            any |= here.is_some();
            let child = place.child(name);
            let same = match (self.metadata && name == "metadata", live, applied) {
                (true, Some(Value::Object(live)), Value::Object(applied)) => {
                    let walk = Walk { skipped: &SYSTEM, metadata: false };
                    walk.fields(live, applied, here.and_then(Value::as_object), child, false)
                }
                _ => {
                    let is_empty = applied.is_null() || applied.as_object().is_some_and(Map::is_empty);
                    stands(live, applied, here, child, is_empty || child.field().is_none())
                }
            };
            if !same {
                return false;
            }
        }
        members.next().is_none() && is_marked(owned, any, forced)
    }
}

/// Whether a place says rightly of itself that it is a member, or is rightly not named at all.
fn is_marked(owned: Option<&Map<String, Value>>, has_below: bool, forced: bool) -> bool {
    match owned {
        Some(owned) if has_below => owned.contains_key(SELF) == forced,
        Some(owned) => forced && owned.is_empty(),
        None => !has_below && !forced,
    }
}

fn stands(live: Option<&Value>, applied: &Value, owned: Option<&Value>, place: Place<'_>, forced: bool) -> bool {
    let below = owned.and_then(Value::as_object);
    if owned.is_some() && below.is_none() {
        return false;
    }
    match (division(&place, Some(applied)), live, applied) {
        (Division::Fields | Division::Items(_), Some(_), Value::Null) => is_marked(below, false, forced),
        (Division::Fields, Some(Value::Object(live)), Value::Object(applied)) => {
            Walk::default().fields(live, applied, below, place, forced)
        }
        (Division::Items(keys), Some(Value::Array(live)), Value::Array(applied)) => {
            let item = place.item();
            let own = |at: usize, one: &Value| below?.get(&element_at(at, one, keys, &item).into_text());
            let is_same = |(at, (live, one)): (usize, (&Value, &Value))| {
                own(at, one).is_some_and(|owned| stands(Some(live), one, Some(owned), item, true))
            };
            let named = below.map_or(0, |below| below.keys().filter(|key| *key != SELF).count());
            // Of two items with one name one is too many.
            named == applied.len()
                && in_step(live, applied, keys, &item)
                && live.iter().zip(applied).enumerate().all(is_same)
                && is_marked(below, !applied.is_empty(), forced)
        }
        (_, Some(live), applied) => live == applied && below.is_some_and(Map::is_empty),
        (_, None, _) => false,
    }
}
