//! `'%s is %d'.format([a, b])`.

use super::conversion::shown_double;
use super::time;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::value::Value;
use std::fmt::Write as _;

/// More digits after the point are refused.
const MAX_PRECISION: usize = 1000;
/// Deeper values are refused: printing recurses.
const MAX_DEPTH: usize = 64;

pub fn run<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    let [Value::String(pattern), Value::List(args)] = values else { return Err(Fault::no_overload()) };
    let mut text = String::new();
    let mut rest: &str = pattern;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let precision = precision(&mut rest)?;
        let verb = rest.chars().next().ok_or_else(|| Fault::new("unexpected end of string"))?;
        rest = &rest[verb.len_utf8()..];
        let arg = args.get(next).ok_or_else(|| Fault::new(format!("index {next} out of range")))?;
        next += 1;
        let before = text.len();
        clause(meter, &mut text, verb, precision, &arg)?;
        meter.work((text.len() - before) as u64)?;
    }
    text.push_str(rest);
    meter.work(text.len() as u64)?;
    Ok(Value::string(text))
}

fn precision(rest: &mut &str) -> Result<Option<usize>, Fault> {
    let Some(after) = rest.strip_prefix('.') else { return Ok(None) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    *rest = &after[digits..];
    let wrong = || Fault::new("error while converting precision to integer");
    let precision: usize = after[..digits].parse().map_err(|_| wrong())?;
    if precision > MAX_PRECISION { Err(wrong()) } else { Ok(Some(precision)) }
}

fn clause(
    meter: &mut Meter,
    text: &mut String,
    verb: char,
    precision: Option<usize>,
    arg: &Value<'_>,
) -> Result<(), Fault> {
    let wrong = |wanted: &str| {
        Fault::new(format!(
            "error during formatting: {wanted} clause can only be used on numbers, was given {}",
            arg.type_name()
        ))
    };
    let put = |text: &mut String, shown: String| text.push_str(&shown);
    match (verb, arg) {
        ('s', arg) => print(meter, text, arg, 0)?,
        ('d', Value::Int(number)) => put(text, number.to_string()),
        ('d', Value::Uint(number)) => put(text, number.to_string()),
        ('d', Value::Double(number)) if !number.is_finite() => put(text, named_double(*number)),
        ('d', _) => return Err(wrong("decimal")),
        ('f', arg) => match as_double(arg).ok_or_else(|| wrong("fixed-point"))? {
            number if number.is_finite() => put(text, format!("{number:.*}", precision.unwrap_or(6))),
            number => put(text, named_double(number)),
        },
        ('e', arg) => match as_double(arg).ok_or_else(|| wrong("scientific"))? {
            number if number.is_finite() => put(text, scientific(number, precision.unwrap_or(6))),
            number => put(text, named_double(number)),
        },
        ('b', Value::Int(number)) => put(text, signed(*number, |number| format!("{number:b}"))),
        ('b', Value::Uint(number)) => put(text, format!("{number:b}")),
        ('b', Value::Bool(value)) => put(text, u8::from(*value).to_string()),
        ('b', _) => return Err(wrong("binary")),
        ('o', Value::Int(number)) => put(text, signed(*number, |number| format!("{number:o}"))),
        ('o', Value::Uint(number)) => put(text, format!("{number:o}")),
        ('o', _) => return Err(wrong("octal")),
        ('x' | 'X', arg) => {
            let hex = hexadecimal(arg).ok_or_else(|| wrong("hex"))?;
            put(text, if verb == 'X' { hex.to_ascii_uppercase() } else { hex });
        }
        (other, _) => {
            return Err(Fault::new(format!(
                "could not parse formatting clause: unrecognized formatting clause {other:?}"
            )));
        }
    }
    Ok(())
}

fn as_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

fn named_double(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN",
        number if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
    .to_owned()
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

fn signed(number: i64, show: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", show(number.unsigned_abs()))
}

fn hexadecimal(value: &Value<'_>) -> Option<String> {
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    Some(match value {
        Value::Int(number) => signed(*number, |number| format!("{number:x}")),
        Value::Uint(number) => format!("{number:x}"),
        Value::String(text) => bytes(text.as_bytes()),
        Value::Bytes(found) => bytes(found),
        _ => return None,
    })
}

/// As `%s` shows a value, inside of others too.
fn print(meter: &mut Meter, text: &mut String, value: &Value<'_>, depth: usize) -> Result<(), Fault> {
    meter.work(1 + text.len() as u64 / 1024)?;
    if depth > MAX_DEPTH {
        return Err(Fault::new("value is nested too deeply to be formatted"));
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Uint(number) => text.push_str(&number.to_string()),
        Value::Double(number) if !number.is_finite() => text.push_str(&named_double(*number)),
        Value::Double(number) => text.push_str(&shown_double(*number)),
        Value::String(inner) => text.push_str(inner),
        Value::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
        Value::Duration(nanos) => text.push_str(&time::seconds(*nanos)),
        Value::Timestamp(moment) => text.push_str(&moment.to_string()),
        Value::Type(name) => text.push_str(name),
        Value::List(list) => {
            text.push('[');
            for (at, item) in list.iter().enumerate() {
                text.push_str(if at > 0 { ", " } else { "" });
                print(meter, text, &item, depth + 1)?;
            }
            text.push(']');
        }
        Value::Map(map) => {
            text.push('{');
            for (at, (key, item)) in map.entries().into_iter().enumerate() {
                text.push_str(if at > 0 { ", " } else { "" });
                print(meter, text, &key, depth + 1)?;
                text.push_str(": ");
                print(meter, text, &item, depth + 1)?;
            }
            text.push('}');
        }
        Value::Optional(_) | Value::Opaque(_) => {
            let name = value.type_name();
            return Err(Fault::new(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {name}"
            )));
        }
    }
    Ok(())
}
