//! `status.conditions`: setting one keeps its transition time unless its status changed.
//!
//! Works on the JSON array, as every kind's conditions share the same fields. Called by
//! controllers and the kubelet before they write a status.

use base::Timestamp;
use serde_json::{Map, Value, json};

/// A condition to set.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
    /// 0: the kind's conditions do not carry it.
    pub observed_generation: i64,
}

pub fn find<'c>(conditions: &'c Value, kind: &str) -> Option<&'c Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind)
}

pub fn is_true(conditions: &Value, kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Sets a condition, adding it at the end where it is new; anything but an array becomes one.
/// Says whether anything changed, so that a write can be spared.
pub fn set(conditions: &mut Value, new: Condition<'_>, now: Timestamp) -> bool {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else { return false };
    let Some(old) = list.iter_mut().find(|condition| condition["type"] == new.kind) else {
        let mut condition = Map::new();
        condition.insert("type".to_owned(), json!(new.kind));
        write(&mut condition, new);
        condition.insert("lastTransitionTime".to_owned(), json!(seconds(now)));
        list.push(Value::Object(condition));
        return true;
    };
    let Some(condition) = old.as_object_mut() else { return false };
    let before = condition.clone();
    if before.get("status").and_then(Value::as_str) != Some(new.status) {
        condition.insert("lastTransitionTime".to_owned(), json!(seconds(now)));
    }
    write(condition, new);
    *condition != before
}

/// Takes a condition away; says whether it was there.
pub fn remove(conditions: &mut Value, kind: &str) -> bool {
    let Some(list) = conditions.as_array_mut() else { return false };
    let before = list.len();
    list.retain(|condition| condition["type"] != kind);
    list.len() != before
}

fn write(condition: &mut Map<String, Value>, new: Condition<'_>) {
    condition.insert("status".to_owned(), json!(new.status));
    for (key, value) in [("reason", new.reason), ("message", new.message)] {
        if value.is_empty() {
            condition.remove(key);
        } else {
            condition.insert(key.to_owned(), json!(value));
        }
    }
    if new.observed_generation != 0 {
        condition.insert("observedGeneration".to_owned(), json!(new.observed_generation));
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: &'static str, reason: &'static str) -> Condition<'static> {
        Condition { kind: "Ready", status, reason, message: "", observed_generation: 0 }
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Value::Null;
        assert!(set(&mut conditions, ready("False", "Starting"), at(1)));
        assert!(!set(&mut conditions, ready("False", "Starting"), at(2)));
        assert!(set(&mut conditions, ready("False", "Waiting"), at(3)));
        assert_eq!(find(&conditions, "Ready").unwrap()["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert!(set(&mut conditions, ready("True", ""), at(4)));
        let expected = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:04Z"}]);
        assert_eq!(conditions, expected);
        assert!(is_true(&conditions, "Ready"));
        assert!(remove(&mut conditions, "Ready"));
        assert!(!remove(&mut conditions, "Ready"));
    }
}
