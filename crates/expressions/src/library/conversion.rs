//! Conversions between types, `type()` and `dyn()`.

use super::{Held, time};
use crate::cost::Price;
use crate::environment::Environment;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;

pub const FUNCTIONS: &[Function] = &[
    Function::new("dyn", &["(A) dyn"], Price::One, |_, values| one(values).cloned()),
    Function::new("type", &["(A) type"], Price::One, |_, values| one(values).map(kind)),
    Function::new("bool", &["(bool) bool", "(string) bool"], Price::One, boolean),
    Function::new(
        "int",
        &["(int) int", "(uint) int", "(double) int", "(string) int", "(timestamp) int", "(duration) int"],
        Price::One,
        int,
    ),
    Function::new("uint", &["(uint) uint", "(int) uint", "(double) uint", "(string) uint"], Price::One, uint),
    Function::new(
        "double",
        &["(double) double", "(int) double", "(uint) double", "(string) double"],
        Price::One,
        double,
    ),
    Function::new(
        "string",
        &[
            "(string) string",
            "(bool) string",
            "(int) string",
            "(uint) string",
            "(double) string",
            "(bytes) string",
            "(timestamp) string",
            "(duration) string",
            "(ip) string",
            "(cidr) string",
        ],
        Price::One,
        string,
    ),
    Function::new("bytes", &["(bytes) bytes", "(string) bytes"], Price::First(1), bytes),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn one<'v, 'a>(values: &'v [Value<'a>]) -> std::result::Result<&'v Value<'a>, Fault> {
    values.first().ok_or_else(Fault::no_overload)
}

fn kind<'a>(value: &Value<'a>) -> Value<'a> {
    Value::Type(Environment::type_name(value.type_name()).unwrap_or("dyn"))
}

fn boolean<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match one(values)? {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(Fault::new(format!("strconv.ParseBool: parsing {other:?}: invalid syntax"))),
        },
        _ => Err(Fault::no_overload()),
    }
}

fn int<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match one(values)? {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::Uint(number) => i64::try_from(*number).map(Value::Int).map_err(|_| Fault::overflow()),
        // The ends themselves are no exact doubles.
        Value::Double(number) if number.abs() < 9_223_372_036_854_775_807.0 => Ok(Value::Int(number.trunc() as i64)),
        Value::Double(_) => Err(Fault::overflow()),
        Value::String(text) => {
            text.parse().map(Value::Int).map_err(|error: std::num::ParseIntError| parse_fault("ParseInt", text, &error))
        }
        Value::Timestamp(moment) => Ok(Value::Int(moment.as_nanosecond().div_euclid(1_000_000_000) as i64)),
        Value::Duration(nanos) => Ok(Value::Int(*nanos)),
        _ => Err(Fault::no_overload()),
    }
}

fn parse_fault(function: &str, text: &str, error: &std::num::ParseIntError) -> Fault {
    let why = match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    Fault::new(format!("strconv.{function}: parsing {text:?}: {why}"))
}

fn uint<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let overflow = || Fault::new("unsigned integer overflow");
    match one(values)? {
        Value::Uint(number) => Ok(Value::Uint(*number)),
        Value::Int(number) => u64::try_from(*number).map(Value::Uint).map_err(|_| overflow()),
        Value::Double(number) if *number >= 0.0 && *number < 18_446_744_073_709_551_615.0 => {
            Ok(Value::Uint(*number as u64))
        }
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text.parse().map(Value::Uint).map_err(|error| parse_fault("ParseUint", text, &error)),
        _ => Err(Fault::no_overload()),
    }
}

fn double<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match one(values)? {
        Value::Double(number) => Ok(Value::Double(*number)),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::Uint(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => {
            let parsed = text.parse().map(Value::Double);
            parsed.map_err(|_| Fault::new(format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text)))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn string<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let value = one(values)?;
    meter.work(value.size())?;
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(value) => Value::string(value.to_string()),
        Value::Int(number) => Value::string(number.to_string()),
        Value::Uint(number) => Value::string(number.to_string()),
        Value::Double(number) => Value::string(shown_double(*number)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::string(text),
            Err(_) => return Err(Fault::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Timestamp(moment) => Value::string(moment.to_string()),
        Value::Duration(nanos) => Value::string(time::seconds(*nanos)),
        Value::Opaque(held) => match &**held {
            Held::Ip(ip) => Value::string(ip.to_string()),
            Held::Cidr(cidr) => Value::string(cidr.to_string()),
            _ => return Err(Fault::no_overload()),
        },
        _ => return Err(Fault::no_overload()),
    })
}

/// As Go's `%g` has it.
pub fn shown_double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = number.abs();
    if number != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
        return format!("{digits}e{sign}{power:0>2}");
    }
    number.to_string()
}

fn bytes<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match one(values)? {
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
        Value::String(text) => {
            meter.work(text.len() as u64)?;
            Ok(Value::Bytes(text.as_bytes().into()))
        }
        _ => Err(Fault::no_overload()),
    }
}
