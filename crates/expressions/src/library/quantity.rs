//! Quantities.

use super::Held;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use meta::Quantity;

pub const FUNCTIONS: &[Function] = &[
    Function::new("quantity", &["(string) quantity"], Price::First(1), quantity),
    Function::new("isQuantity", &["(string) bool"], Price::First(1), is_quantity),
    Function::new("sign", &["quantity.() int"], Price::One, sign),
    Function::new("isInteger", &["quantity.() bool"], Price::One, |_, values| {
        Ok(Value::Bool(whole(&held(values, 0)?).is_some()))
    }),
    Function::new("asInteger", &["quantity.() int"], Price::One, as_integer),
    Function::new("asApproximateFloat", &["quantity.() double"], Price::One, as_float),
    Function::new("add", &["quantity.(quantity) quantity", "quantity.(int) quantity"], Price::One, |_, values| {
        Ok(Value::held(Held::Quantity(held(values, 0)? + held(values, 1)?)))
    }),
    Function::new("sub", &["quantity.(quantity) quantity", "quantity.(int) quantity"], Price::One, |_, values| {
        Ok(Value::held(Held::Quantity(held(values, 0)? - held(values, 1)?)))
    }),
    // Versions are compared by functions of the same names.
    Function::new("isGreaterThan", &["quantity.(quantity) bool", "semver.(semver) bool"], Price::One, |_, values| {
        Ok(Value::Bool(order(values)?.is_gt()))
    }),
    Function::new("isLessThan", &["quantity.(quantity) bool", "semver.(semver) bool"], Price::One, |_, values| {
        Ok(Value::Bool(order(values)?.is_lt()))
    }),
    Function::new("compareTo", &["quantity.(quantity) int", "semver.(semver) int"], Price::One, |_, values| {
        Ok(Value::Int(order(values)? as i64))
    }),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn quantity<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    let parsed = Quantity::parse(text);
    parsed.map(|quantity| Value::held(Held::Quantity(quantity))).map_err(|error| Fault::new(error.to_string()))
}

fn is_quantity<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(Quantity::parse(text).is_ok()))
}

/// A quantity, or an integer in the place of one.
fn held(values: &[Value<'_>], at: usize) -> std::result::Result<Quantity, Fault> {
    match values.get(at) {
        Some(Value::Opaque(held)) => match &**held {
            Held::Quantity(quantity) => Ok(*quantity),
            _ => Err(Fault::no_overload()),
        },
        Some(Value::Int(number)) => Ok(Quantity::new(*number, meta::quantity::Format::DecimalSi)),
        _ => Err(Fault::no_overload()),
    }
}

fn order(values: &[Value<'_>]) -> std::result::Result<std::cmp::Ordering, Fault> {
    if let [Value::Opaque(a), Value::Opaque(b)] = values
        && let (Held::Semver(a), Held::Semver(b)) = (&**a, &**b)
    {
        return Ok(a.cmp(b));
    }
    Ok(held(values, 0)?.cmp(&held(values, 1)?))
}

fn sign<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let quantity = held(values, 0)?;
    Ok(Value::Int(if quantity.is_zero() {
        0
    } else if quantity.is_negative() {
        -1
    } else {
        1
    }))
}

/// The amount where it is a whole number that an int can hold.
fn whole(quantity: &Quantity) -> Option<i64> {
    let units = quantity.value();
    let same = *quantity == Quantity::new(units, meta::quantity::Format::DecimalSi);
    (quantity.is_whole() && same).then_some(units)
}

fn as_integer<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    whole(&held(values, 0)?).map(Value::Int).ok_or_else(|| Fault::new("cannot convert value to integer"))
}

fn as_float<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let quantity = held(values, 0)?;
    if quantity.is_whole() {
        return Ok(Value::Double(quantity.value() as f64));
    }
    // What is finer than thousandths tells only in what is below one million.
    let units = Quantity::new(quantity.value(), meta::quantity::Format::DecimalSi);
    let rest = quantity - units;
    Ok(Value::Double(quantity.value() as f64 + rest.milli_value() as f64 / 1000.0))
}
