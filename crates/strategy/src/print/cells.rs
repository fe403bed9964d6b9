//! What many kinds' cells are made of: ages, label maps, lists that are cut after a few.

use crate::tree::{items, text};
use base::Timestamp;
pub use meta::age::human as human_duration;
use meta::labels::LabelSelector;
use serde::Deserialize as _;
use serde_json::Value;

pub const NONE: &str = "<none>";
pub const UNKNOWN: &str = "<unknown>";
pub const UNSET: &str = "<unset>";

/// How long ago a time was that stands in an object.
pub fn since(time: &Value, now: Timestamp) -> String {
    match time.as_str().and_then(|time| time.parse::<Timestamp>().ok()) {
        Some(then) => human_duration(seconds_between(then, now)),
        None => UNKNOWN.to_owned(),
    }
}

/// Whole seconds, cut towards zero.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

pub fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

pub fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// The text at a JSON pointer; empty where there is none.
pub fn at<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The same, or `otherwise` where it is empty.
pub fn at_or(object: &Value, pointer: &str, otherwise: &str) -> Value {
    let found = at(object, pointer);
    if found.is_empty() { otherwise.into() } else { found.into() }
}

pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// A number that may be absent, as text.
pub fn number_or(object: &Value, pointer: &str, otherwise: &str) -> Value {
    object.pointer(pointer).and_then(Value::as_i64).map_or(otherwise.into(), |number| number.to_string().into())
}

/// How many entries a list or map has.
pub fn len(object: &Value, pointer: &str) -> i64 {
    let found = match object.pointer(pointer) {
        Some(Value::Array(list)) => list.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    };
    i64::try_from(found).unwrap_or(i64::MAX)
}

/// `k=v` of every entry, sorted.
pub fn label_map(labels: &Value) -> String {
    let Some(labels) = labels.as_object().filter(|labels| !labels.is_empty()) else { return NONE.to_owned() };
    let mut pairs: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort_unstable();
    pairs.join(",")
}

/// A selector of the object form in the text form.
pub fn selector(selector: &Value) -> String {
    match Option::<LabelSelector>::deserialize(selector) {
        Ok(Some(selector)) => selector.to_string(),
        Ok(None) => NONE.to_owned(),
        Err(_) => "<error>".to_owned(),
    }
}

/// Texts of a list, joined; `otherwise` where there are none.
pub fn joined(list: &[Value], separator: &str, otherwise: &str) -> String {
    let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    if texts.is_empty() { otherwise.to_owned() } else { texts.join(separator) }
}

/// The first few, and how many more there are.
pub fn cut(all: &[String], shown: usize) -> String {
    let mut text = all[..all.len().min(shown)].join(",");
    if all.len() > shown {
        text.push_str(&format!(" + {} more...", all.len() - shown));
    }
    text
}

pub fn container_names(pod_spec: &Value) -> String {
    let names: Vec<&str> = items(pod_spec, "containers").iter().map(|container| text(container, "name")).collect();
    names.join(",")
}

pub fn container_images(pod_spec: &Value) -> String {
    let images: Vec<&str> = items(pod_spec, "containers").iter().map(|container| text(container, "image")).collect();
    images.join(",")
}

/// Addresses that a load balancer gave, sorted.
pub fn load_balancer(status: &Value) -> String {
    let mut addresses: Vec<&str> = items(&status["loadBalancer"], "ingress")
        .iter()
        .map(|ingress| if text(ingress, "ip").is_empty() { text(ingress, "hostname") } else { text(ingress, "ip") })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.join(",")
}

/// The status of a condition, empty where there is none.
pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v str {
    let conditions = items(&object["status"], "conditions");
    conditions.iter().find(|condition| text(condition, "type") == kind).map_or("", |found| text(found, "status"))
}

pub fn is_deleting(object: &Value) -> bool {
    !at(object, "/metadata/deletionTimestamp").is_empty()
}
