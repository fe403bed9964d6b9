//! Amounts that are a number or a percentage of a whole, as maxSurge and maxUnavailable are.

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    Up,
    Down,
}

/// The amount of `total`; None where nothing is said.
pub fn of(value: &Value, total: i64, round: Round) -> Option<i64> {
    let percent: i64 = match value {
        Value::Number(number) => return Some(number.as_i64().unwrap_or(0)),
        Value::String(text) => text.strip_suffix('%').and_then(|text| text.parse().ok()).unwrap_or(0),
        _ => return None,
    };
    let product = total.saturating_mul(percent);
    Some(if round == Round::Up { product.saturating_add(99) / 100 } else { product / 100 })
}
