//! Optional values.

use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use std::sync::Arc;

pub const FUNCTIONS: &[Function] = &[
    Function::new("optional.of", &["(A) optional(A)"], Price::One, of),
    Function::new("optional.none", &["() optional(A)"], Price::One, |_, _| Ok(Value::Optional(None))),
    Function::new("optional.ofNonZeroValue", &["(A) optional(A)"], Price::One, of_non_zero),
    Function::new("hasValue", &["optional(A).() bool"], Price::One, has_value),
    Function::new("value", &["optional(A).() A"], Price::One, value),
    // The evaluator runs these two itself: the other value may not be needed.
    Function::new("or", &["optional(A).(optional(A)) optional(A)"], Price::One, |_, _| Err(Fault::no_overload())),
    Function::new("orValue", &["optional(A).(A) A"], Price::One, |_, _| Err(Fault::no_overload())),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn of<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let inner = values.first().cloned().ok_or_else(Fault::no_overload)?;
    Ok(Value::Optional(Some(Arc::new(inner))))
}

fn of_non_zero<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let is_zero = match values.first() {
        None | Some(Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0)) => true,
        Some(Value::Double(number)) => *number == 0.0,
        Some(value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))) => value.size() == 0,
        Some(Value::Optional(inner)) => inner.is_none(),
        Some(_) => false,
    };
    if is_zero { Ok(Value::Optional(None)) } else { of(meter, values) }
}

fn has_value<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(Fault::no_overload()),
    }
}

fn value<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Optional(Some(inner))] => Ok((**inner).clone()),
        [Value::Optional(None)] => Err(Fault::new("optional.none() dereference")),
        _ => Err(Fault::no_overload()),
    }
}
