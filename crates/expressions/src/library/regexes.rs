//! Regular expressions. The engine takes linear time whatever the pattern.

use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;

pub const FUNCTIONS: &[Function] = &[
    Function::new("matches", &["string.(string) bool", "(string, string) bool"], Price::Pattern, matches),
    Function::new("find", &["string.(string) string"], Price::Pattern, find),
    Function::new(
        "findAll",
        &["string.(string) list(string)", "string.(string, int) list(string)"],
        Price::Pattern,
        find_all,
    ),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn matches<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(pattern)] = values else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(meter.pattern(pattern)?.is_match(text)))
}

fn find<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(pattern)] = values else { return Err(Fault::no_overload()) };
    let pattern = meter.pattern(pattern)?;
    Ok(Value::string(pattern.find(text).map_or("", |found| found.as_str())))
}

fn find_all<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(pattern), ..] = values else { return Err(Fault::no_overload()) };
    let most = match values.get(2) {
        None => usize::MAX,
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        Some(_) => return Err(Fault::no_overload()),
    };
    meter.work(16 * text.len() as u64)?;
    let pattern = meter.pattern(pattern)?;
    Ok(Value::list(pattern.find_iter(text).take(most).map(|found| Value::string(found.as_str())).collect()))
}
