//! Sizes, and the lists and sets libraries. Names that strings have as well (`indexOf`) stand here
//! for both.

use super::{operators, strings};
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::{List, Value};
use std::cmp::Ordering;

const SORTED: &[&str] = &[
    "list(int).() bool",
    "list(uint).() bool",
    "list(double).() bool",
    "list(bool).() bool",
    "list(duration).() bool",
    "list(timestamp).() bool",
    "list(string).() bool",
    "list(bytes).() bool",
];

const EXTREMES: &[&str] = &[
    "list(int).() int",
    "list(uint).() uint",
    "list(double).() double",
    "list(bool).() bool",
    "list(duration).() duration",
    "list(timestamp).() timestamp",
    "list(string).() string",
    "list(bytes).() bytes",
];

pub const FUNCTIONS: &[Function] = &[
    Function::new(
        "size",
        &[
            "(string) int",
            "(bytes) int",
            "(list(A)) int",
            "(map(A, B)) int",
            "string.() int",
            "bytes.() int",
            "list(A).() int",
            "map(A, B).() int",
        ],
        Price::One,
        size,
    ),
    Function::new("isSorted", SORTED, Price::Elements, is_sorted),
    Function::new(
        "sum",
        &["list(int).() int", "list(uint).() uint", "list(double).() double", "list(duration).() duration"],
        Price::Elements,
        sum,
    ),
    Function::new("min", EXTREMES, Price::Elements, |_, values| extreme("min", values, Ordering::Less)),
    Function::new("max", EXTREMES, Price::Elements, |_, values| extreme("max", values, Ordering::Greater)),
    Function::new(
        "indexOf",
        &["list(A).(A) int", "string.(string) int", "string.(string, int) int"],
        Price::Elements,
        |meter, values| place(meter, values, false),
    ),
    Function::new(
        "lastIndexOf",
        &["list(A).(A) int", "string.(string) int", "string.(string, int) int"],
        Price::Elements,
        |meter, values| place(meter, values, true),
    ),
    Function::new("sets.contains", &["(list(A), list(A)) bool"], Price::Pairs, sets_contains),
    Function::new("sets.intersects", &["(list(A), list(A)) bool"], Price::Pairs, sets_intersect),
    Function::new("sets.equivalent", &["(list(A), list(A)) bool"], Price::Pairs, sets_equivalent),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn size<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn is_sorted<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = values else { return Err(Fault::no_overload()) };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before
            && before.compare(&item).ok_or_else(Fault::no_overload)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = values else { return Err(Fault::no_overload()) };
    let mut items = list.iter();
    let Some(mut total) = items.next() else { return Ok(Value::Int(0)) };
    for item in items {
        total = operators::add(meter, &[total, item])?;
    }
    Ok(total)
}

fn extreme<'a>(name: &str, values: &[Value<'a>], wanted: Ordering) -> Result<'a> {
    let [Value::List(list)] = values else { return Err(Fault::no_overload()) };
    let mut items = list.iter();
    let mut best = items.next().ok_or_else(|| Fault::new(format!("{name} called on empty list")))?;
    for item in items {
        if item.compare(&best).ok_or_else(Fault::no_overload)? == wanted {
            best = item;
        }
    }
    Ok(best)
}

fn place<'a>(meter: &mut Meter, values: &[Value<'a>], last: bool) -> Result<'a> {
    let [Value::List(list), wanted] = values else { return strings::place(meter, values, last) };
    let mut found = -1;
    for (at, item) in list.iter().enumerate() {
        if meter.equal(&item, wanted)? {
            found = at as i64;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}

fn has(meter: &mut Meter, list: &List<'_>, wanted: &Value<'_>) -> std::result::Result<bool, Fault> {
    for item in list.iter() {
        if meter.equal(&item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the first list has all of the second.
fn covers(meter: &mut Meter, list: &List<'_>, other: &List<'_>) -> std::result::Result<bool, Fault> {
    for item in other.iter() {
        if !has(meter, list, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sets_contains<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::List(a), Value::List(b)] = values else { return Err(Fault::no_overload()) };
    covers(meter, a, b).map(Value::Bool)
}

fn sets_intersect<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::List(a), Value::List(b)] = values else { return Err(Fault::no_overload()) };
    for item in b.iter() {
        if has(meter, a, &item)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn sets_equivalent<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::List(a), Value::List(b)] = values else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(covers(meter, a, b)? && covers(meter, b, a)?))
}
