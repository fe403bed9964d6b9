//! What validation rules are made of, with upstream's messages. Each takes the list that errors go
//! to and the path of what it looks at.

use crate::tree::{items, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::Quantity;
use meta::field::{ErrorList, FieldError, Path};
use meta::labels::{LabelSelector, Selector};
use meta::validation;
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;

pub const IMMUTABLE: &str = "field is immutable";

/// One error for each thing that is wrong with a value.
pub fn all(errors: &mut ErrorList, path: &Path, value: impl Into<Value>, problems: Vec<String>) {
    let value = value.into();
    errors.extend(problems.iter().map(|why| FieldError::invalid(path, value.clone(), why)));
}

/// A text that must be there; true where it is.
pub fn required(errors: &mut ErrorList, path: &Path, text: &str) -> bool {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    !text.is_empty()
}

/// A text that may be absent, but is one of these.
pub fn one_of(errors: &mut ErrorList, path: &Path, value: &str, known: &[&str]) {
    if !value.is_empty() && !known.contains(&value) {
        errors.push(FieldError::not_supported(path, value, known));
    }
}

pub fn required_one_of(errors: &mut ErrorList, path: &Path, value: &str, known: &[&str]) {
    if required(errors, path, value) {
        one_of(errors, path, value, known);
    }
}

/// The named field of an object, which must not be below zero where it is there.
pub fn non_negative(errors: &mut ErrorList, path: &Path, object: &Value, field: &str) {
    at_least(errors, path, object, field, 0);
}

pub fn at_least(errors: &mut ErrorList, path: &Path, object: &Value, field: &str, low: i64) {
    if let Some(number) = object[field].as_i64().filter(|number| *number < low) {
        let why = format!("must be greater than or equal to {low}");
        errors.push(FieldError::invalid(&path.child(field), number, &why));
    }
}

pub fn immutable(errors: &mut ErrorList, path: &Path, new: &Value, old: &Value) {
    if new != old {
        errors.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}

/// Absent and unreadable are the same here: decoding refused the latter.
pub fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(|text| Quantity::parse(text).ok())
}

/// How long the bytes behind a base64 text are.
pub fn decoded_len(value: &Value) -> usize {
    value.as_str().and_then(|text| STANDARD.decode(text).ok()).map_or(0, |bytes| bytes.len())
}

/// Keys and values of a map of labels.
pub fn labels(errors: &mut ErrorList, path: &Path, labels: &Value) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        all(errors, path, key.as_str(), validation::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        all(errors, path, value, validation::label_value(value));
    }
}

/// What a requirement's operator is compared with: some values, one, or none. `beside`: operators that
/// take one number, where there are such.
pub fn values_fit(errors: &mut ErrorList, path: &Path, requirement: &Value, beside: &[&str]) {
    let (values, operator) = (items(requirement, "values"), text(requirement, "operator"));
    let place = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&place, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&place, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if beside.contains(&operator) => {
            if values.len() != 1 {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&place, why));
            }
        }
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
}

/// A selector of the object form.
pub fn label_selector(errors: &mut ErrorList, path: &Path, selector: &Value) {
    labels(errors, &path.child("matchLabels"), &selector["matchLabels"]);
    for (at, expression) in items(selector, "matchExpressions").iter().enumerate() {
        let here = path.child("matchExpressions").index(at);
        let values = items(expression, "values");
        values_fit(errors, &here, expression, &[]);
        let key = text(expression, "key");
        all(errors, &here.child("key"), key, validation::qualified_name(key));
        for (at, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            all(errors, &here.child("values").index(at), value, validation::label_value(value));
        }
    }
}

pub fn is_empty_selector(selector: &Value) -> bool {
    items(selector, "matchExpressions").is_empty()
        && selector["matchLabels"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// Whether a selector of the object form takes these labels; an unusable one takes none.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let labels: BTreeMap<String, String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let selector = LabelSelector::deserialize(selector).ok();
    Selector::from_label_selector(selector.as_ref()).is_ok_and(|selector| selector.matches(&labels))
}

/// An absolute amount or a percentage.
pub fn amount_or_percent(errors: &mut ErrorList, path: &Path, value: &Value) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
        }
        Value::String(percent) if !validation::percent(percent).is_empty() => {
            let why = "must be an integer or percentage (e.g '5%%')";
            errors.push(FieldError::invalid(path, value.clone(), why));
        }
        _ => {}
    }
}

/// `120%` is more than there is.
pub fn at_most_all(errors: &mut ErrorList, path: &Path, value: &Value) {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|digits| digits.parse::<u64>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

pub fn is_zero_amount(value: &Value) -> bool {
    *value == 0 || value.as_str().is_some_and(|text| text.trim_end_matches('%').parse::<u64>() == Ok(0))
}

pub fn port(errors: &mut ErrorList, path: &Path, port: &Value) {
    match port {
        Value::String(name) => all(errors, path, name.as_str(), validation::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or_default();
            all(errors, path, number, validation::port_number(number));
        }
    }
}

pub fn ip(errors: &mut ErrorList, path: &Path, text: &str) {
    if text.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(path, text, why));
    }
}

pub fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    length.parse::<u8>().is_ok_and(|length| length <= if address.is_ipv4() { 32 } else { 128 })
}

pub fn cidr(errors: &mut ErrorList, path: &Path, text: &str) {
    if !is_cidr(text) {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// The fields in which two trees differ, a line for what was and a line for what is.
pub fn difference(old: &Value, new: &Value) -> String {
    let mut lines = Vec::new();
    differ(&Path::root(), old, new, &mut lines);
    lines.join("\n")
}

/// Enough to see what went wrong; an error is no place for whole objects.
const MAX_LINES: usize = 40;

fn differ(path: &Path, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if old == new || lines.len() >= MAX_LINES {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                differ(&path.child(name), &old[name], &new[name], lines);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (at, (old, new)) in before.iter().zip(after).enumerate() {
                differ(&path.index(at), old, new, lines);
            }
        }
        _ => {
            lines.push(format!("- {path}: {old}"));
            lines.push(format!("+ {path}: {new}"));
        }
    }
}
