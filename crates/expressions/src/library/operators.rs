//! Operators: equality, order, arithmetic with overflow as an error, membership, indexing.

use crate::cost::Price;
use crate::evaluate::{Meter, PLACE, index};
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::{List, Value};
use std::cmp::Ordering;
use std::sync::Arc;

use super::time;

const ORDERED: &[&str] = &[
    "(bool, bool) bool",
    "(int, int) bool",
    "(int, uint) bool",
    "(int, double) bool",
    "(uint, uint) bool",
    "(uint, int) bool",
    "(uint, double) bool",
    "(double, double) bool",
    "(double, int) bool",
    "(double, uint) bool",
    "(string, string) bool",
    "(bytes, bytes) bool",
    "(timestamp, timestamp) bool",
    "(duration, duration) bool",
];

const NUMBERS: &[&str] = &["(int, int) int", "(uint, uint) uint", "(double, double) double"];

pub const FUNCTIONS: &[Function] = &[
    // The evaluator runs these three itself: not all of their arguments may be needed.
    Function::new("_&&_", &["(bool, bool) bool"], Price::One, unreachable),
    Function::new("_||_", &["(bool, bool) bool"], Price::One, unreachable),
    Function::new("_?_:_", &["(bool, A, A) A"], Price::One, unreachable),
    Function::new("!_", &["(bool) bool"], Price::One, not),
    Function::new("-_", &["(int) int", "(double) double"], Price::One, negate),
    Function::new("_==_", &["(A, A) bool"], Price::Shorter, equal),
    Function::new("_!=_", &["(A, A) bool"], Price::Shorter, unequal),
    Function::new("_<_", ORDERED, Price::Shorter, |_, values| ordered(values, &[Ordering::Less])),
    Function::new("_<=_", ORDERED, Price::Shorter, |_, values| ordered(values, &[Ordering::Less, Ordering::Equal])),
    Function::new("_>_", ORDERED, Price::Shorter, |_, values| ordered(values, &[Ordering::Greater])),
    Function::new("_>=_", ORDERED, Price::Shorter, |_, values| ordered(values, &[Ordering::Greater, Ordering::Equal])),
    Function::new(
        "_+_",
        &[
            "(int, int) int",
            "(uint, uint) uint",
            "(double, double) double",
            "(string, string) string",
            "(bytes, bytes) bytes",
            "(list(A), list(A)) list(A)",
            "(timestamp, duration) timestamp",
            "(duration, timestamp) timestamp",
            "(duration, duration) duration",
        ],
        Price::Joined,
        add,
    ),
    Function::new(
        "_-_",
        &[
            "(int, int) int",
            "(uint, uint) uint",
            "(double, double) double",
            "(timestamp, timestamp) duration",
            "(timestamp, duration) timestamp",
            "(duration, duration) duration",
        ],
        Price::One,
        subtract,
    ),
    Function::new("_*_", NUMBERS, Price::One, multiply),
    Function::new("_/_", NUMBERS, Price::One, divide),
    Function::new("_%_", &["(int, int) int", "(uint, uint) uint"], Price::One, remainder),
    Function::new("@in", &["(A, list(A)) bool", "(A, map(A, B)) bool"], Price::Inside, contains),
    Function::new(
        "_[_]",
        &[
            "(list(A), int) A",
            "(map(A, B), A) B",
            "(optional(list(A)), int) optional(A)",
            "(optional(map(A, B)), A) optional(B)",
        ],
        Price::One,
        at,
    ),
    Function::new(
        "_[?_]",
        &[
            "(list(A), int) optional(A)",
            "(map(A, B), A) optional(B)",
            "(optional(list(A)), int) optional(A)",
            "(optional(map(A, B)), A) optional(B)",
        ],
        Price::One,
        perhaps_at,
    ),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn unreachable<'a>(_: &mut Meter, _: &[Value<'a>]) -> Result<'a> {
    Err(Fault::no_overload())
}

fn not<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(Fault::no_overload()),
    }
}

fn negate<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(number)] => number.checked_neg().map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        _ => Err(Fault::no_overload()),
    }
}

fn equal<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [a, b] = values else { return Err(Fault::no_overload()) };
    meter.equal(a, b).map(Value::Bool)
}

fn unequal<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [a, b] = values else { return Err(Fault::no_overload()) };
    meter.equal(a, b).map(|equal| Value::Bool(!equal))
}

fn ordered<'a>(values: &[Value<'a>], wanted: &[Ordering]) -> Result<'a> {
    let [a, b] = values else { return Err(Fault::no_overload()) };
    let is_nan = |value: &Value<'_>| matches!(value, Value::Double(number) if number.is_nan());
    match a.compare(b) {
        Some(order) => Ok(Value::Bool(wanted.contains(&order))),
        None if is_nan(a) || is_nan(b) => Ok(Value::Bool(false)),
        None => Err(Fault::no_overload()),
    }
}

fn unsigned_overflow() -> Fault {
    Fault::new("unsigned integer overflow")
}

pub fn add<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(a), Value::Int(b)] => a.checked_add(*b).map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Uint(a), Value::Uint(b)] => a.checked_add(*b).map(Value::Uint).ok_or_else(unsigned_overflow),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => {
            meter.work((a.len() + b.len()) as u64)?;
            Ok(Value::string([&**a, &**b].concat()))
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            meter.work((a.len() + b.len()) as u64)?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        [Value::List(a), Value::List(b)] => concat(meter, a, b),
        [Value::Timestamp(moment), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(moment)] => {
            time::shift(*moment, i128::from(*nanos))
        }
        [Value::Duration(a), Value::Duration(b)] => {
            a.checked_add(*b).map(Value::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn concat<'a>(meter: &mut Meter, a: &List<'a>, b: &List<'a>) -> Result<'a> {
    // Upstream asks one for it; memory has to be found for all of it.
    meter.work(PLACE * (a.len() + b.len()) as u64)?;
    Ok(Value::list(a.iter().chain(b.iter()).collect()))
}

fn subtract<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(a), Value::Int(b)] => a.checked_sub(*b).map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Uint(a), Value::Uint(b)] => a.checked_sub(*b).map(Value::Uint).ok_or_else(unsigned_overflow),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            let nanos = i64::try_from(a.as_nanosecond() - b.as_nanosecond());
            nanos.map(Value::Duration).map_err(|_| Fault::new("timestamp overflow"))
        }
        [Value::Timestamp(moment), Value::Duration(nanos)] => time::shift(*moment, -i128::from(*nanos)),
        [Value::Duration(a), Value::Duration(b)] => {
            a.checked_sub(*b).map(Value::Duration).ok_or_else(|| Fault::new("duration overflow"))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn multiply<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(a), Value::Int(b)] => a.checked_mul(*b).map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Uint(a), Value::Uint(b)] => a.checked_mul(*b).map(Value::Uint).ok_or_else(unsigned_overflow),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Fault::no_overload()),
    }
}

fn divide<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::new("division by zero")),
        [Value::Int(a), Value::Int(b)] => a.checked_div(*b).map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a / b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Fault::no_overload()),
    }
}

fn remainder<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Fault::new("modulus by zero")),
        [Value::Int(a), Value::Int(b)] => a.checked_rem(*b).map(Value::Int).ok_or_else(Fault::overflow),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a % b)),
        _ => Err(Fault::no_overload()),
    }
}

fn contains<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [wanted, Value::List(list)] => {
            for item in list.iter() {
                if meter.equal(wanted, &item)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [wanted, Value::Map(map)] => Ok(Value::Bool(map.has(wanted))),
        _ => Err(Fault::no_overload()),
    }
}

fn at<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(inner)), key] => Ok(Value::Optional(index(inner, key)?.map(Arc::new))),
        [container, key] => index(container, key)?.ok_or_else(|| match (container, key) {
            (Value::List(_), Value::Int(at)) => Fault::new(format!("index out of bounds: {at}")),
            (_, Value::String(name)) => Fault::no_key(&**name),
            (_, Value::Int(number)) => Fault::no_key(number),
            (_, Value::Uint(number)) => Fault::no_key(number),
            (_, Value::Bool(value)) => Fault::no_key(value),
            _ => Fault::no_overload(),
        }),
        _ => Err(Fault::no_overload()),
    }
}

fn perhaps_at<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(inner)), key] => Ok(Value::Optional(index(inner, key)?.map(Arc::new))),
        [container, key] => Ok(Value::Optional(index(container, key)?.map(Arc::new))),
        _ => Err(Fault::no_overload()),
    }
}
