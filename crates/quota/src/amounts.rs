//! Lists of named quantities, as resource lists of the API.

use meta::Quantity;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub type Amounts = BTreeMap<String, Quantity>;

/// Reads a resource list; what is no quantity is left out.
pub fn amounts(value: &Value) -> Amounts {
    let read = |(name, amount): (&String, &Value)| {
        let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
        Some((name.clone(), Quantity::parse(&text).ok()?))
    };
    value.as_object().into_iter().flatten().filter_map(read).collect()
}

pub fn to_json(amounts: &Amounts) -> Value {
    let entry = |(name, amount): (&String, &Quantity)| (name.clone(), Value::String(amount.to_string()));
    Value::Object(amounts.iter().map(entry).collect::<Map<_, _>>())
}

/// Adds `more` to `total`, name by name.
pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match total.get_mut(name) {
            Some(sum) => *sum += *amount,
            None => drop(total.insert(name.clone(), *amount)),
        }
    }
}

/// What `new` has more than `old`; never less than nothing. Names that only `old` has are not asked
/// for any more.
pub fn subtract(new: &Amounts, old: &Amounts) -> Amounts {
    let mut rest = new.clone();
    for (name, amount) in rest.iter_mut() {
        if let Some(before) = old.get(name) {
            *amount -= *before;
        }
        if amount.is_negative() {
            *amount = Quantity::ZERO;
        }
    }
    rest
}

/// Each name's larger amount.
pub(crate) fn raise(total: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        if total.get(name).is_none_or(|own| own < amount) {
            total.insert(name.clone(), *amount);
        }
    }
}

/// Only the names that `by` has, too.
pub fn masked(amounts: &Amounts, by: &Amounts) -> Amounts {
    amounts.iter().filter(|(name, _)| by.contains_key(*name)).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// The parts of `amounts` that are beyond `limits`.
pub fn exceeding(amounts: &Amounts, limits: &Amounts) -> Amounts {
    let beyond = |(name, amount): &(&String, &Quantity)| limits.get(*name).is_some_and(|limit| *amount > limit);
    amounts.iter().filter(beyond).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// As upstream's messages show them: `pods=1,requests.cpu=200m`.
pub fn pretty(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

/// The names alone, as upstream's messages show them.
pub fn names<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(",")
}
