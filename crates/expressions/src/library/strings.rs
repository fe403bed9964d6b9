//! Strings. Positions and lengths count characters, never bytes.

use super::format;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;

pub const FUNCTIONS: &[Function] = &[
    Function::new("startsWith", &["string.(string) bool"], Price::Second, |_, values| {
        two(values, |a, b| a.starts_with(b))
    }),
    Function::new("endsWith", &["string.(string) bool"], Price::Second, |_, values| two(values, |a, b| a.ends_with(b))),
    Function::new("contains", &["string.(string) bool"], Price::Product, |_, values| two(values, |a, b| a.contains(b))),
    Function::new("charAt", &["string.(int) string"], Price::One, char_at),
    Function::new("lowerAscii", &["string.() string"], Price::First(1), |meter, values| {
        mapped(meter, values, str::to_ascii_lowercase)
    }),
    Function::new("upperAscii", &["string.() string"], Price::First(1), |meter, values| {
        mapped(meter, values, str::to_ascii_uppercase)
    }),
    Function::new("trim", &["string.() string"], Price::First(1), |meter, values| {
        mapped(meter, values, |text| text.trim().to_owned())
    }),
    Function::new(
        "replace",
        &["string.(string, string) string", "string.(string, string, int) string"],
        Price::First(2),
        replace,
    ),
    Function::new(
        "split",
        &["string.(string) list(string)", "string.(string, int) list(string)"],
        Price::First(2),
        split,
    ),
    Function::new("substring", &["string.(int) string", "string.(int, int) string"], Price::First(1), substring),
    Function::new("join", &["list(string).() string", "list(string).(string) string"], Price::Result(2), join),
    Function::new("jsonpatch.escapeKey", &["(string) string"], Price::First(2), |meter, values| {
        mapped(meter, values, |text| text.replace('~', "~0").replace('/', "~1"))
    }),
    Function::new("format", &["string.(list(dyn)) string"], Price::First(1), format::run),
    Function::new("strings.quote", &["(string) string"], Price::First(1), quote),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

fn two<'a>(values: &[Value<'a>], test: fn(&str, &str) -> bool) -> Result<'a> {
    match values {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(test(a, b))),
        _ => Err(Fault::no_overload()),
    }
}

fn mapped<'a>(meter: &mut Meter, values: &[Value<'a>], map: fn(&str) -> String) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    meter.work(text.len() as u64)?;
    Ok(Value::string(map(text)))
}

fn out_of_range(at: i64) -> Fault {
    Fault::new(format!("index out of range: {at}"))
}

/// Where the character number `at` starts; its end for one past the last.
fn offset(text: &str, at: i64) -> std::result::Result<usize, Fault> {
    let wanted = usize::try_from(at).map_err(|_| out_of_range(at))?;
    let mut starts = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    starts.nth(wanted).ok_or_else(|| out_of_range(at))
}

fn char_at<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::Int(at)] = values else { return Err(Fault::no_overload()) };
    meter.work(text.len() as u64 / 16)?;
    let rest = &text[offset(text, *at)?..];
    Ok(Value::string(rest.chars().next().map(String::from).unwrap_or_default()))
}

/// `indexOf` and `lastIndexOf` of strings.
pub fn place<'a>(meter: &mut Meter, values: &[Value<'a>], last: bool) -> Result<'a> {
    let (text, sought, limit) = match values {
        [Value::String(text), Value::String(sought)] => (text, sought, None),
        [Value::String(text), Value::String(sought), Value::Int(limit)] => (text, sought, Some(*limit)),
        _ => return Err(Fault::no_overload()),
    };
    meter.work((text.len() + sought.len()) as u64)?;
    let found = match (last, limit) {
        (false, limit) => {
            let start = limit.map_or(Ok(0), |limit| offset(text, limit))?;
            text[start..].find(&**sought).map(|at| start + at)
        }
        (true, None) => text.rfind(&**sought),
        (true, Some(limit)) => {
            let start = offset(text, limit)?;
            // What is found may start at the limit, and end beyond it.
            let end = text[start..].char_indices().map(|(at, _)| start + at).nth(sought.chars().count());
            text[..end.unwrap_or(text.len())].rfind(&**sought)
        }
    };
    Ok(Value::Int(found.map_or(-1, |at| text[..at].chars().count() as i64)))
}

fn limit(values: &[Value<'_>], at: usize) -> std::result::Result<Option<usize>, Fault> {
    match values.get(at) {
        None => Ok(None),
        // Below zero: no limit.
        Some(Value::Int(limit)) => Ok(usize::try_from(*limit).ok()),
        Some(_) => Err(Fault::no_overload()),
    }
}

fn replace<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(sought), Value::String(with), ..] = values else {
        return Err(Fault::no_overload());
    };
    let limit = limit(values, 3)?.unwrap_or(usize::MAX);
    meter.work(text.len() as u64)?;
    let times = text.matches(&**sought).take(limit).count();
    meter.work((text.len() as u64).saturating_add((times as u64).saturating_mul(with.len() as u64)))?;
    Ok(Value::string(text.replacen(&**sought, with, limit)))
}

fn split<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::String(separator), ..] = values else { return Err(Fault::no_overload()) };
    let limit = limit(values, 2)?;
    meter.work(16 * text.len() as u64)?;
    let owned = |part: &str| Value::string(part);
    let parts: Vec<Value<'a>> = match limit {
        Some(0) => Vec::new(),
        // Between all characters, but for the ends.
        limit if separator.is_empty() => {
            let most = limit.unwrap_or(usize::MAX);
            let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).take(most).collect();
            starts.push(text.len());
            starts.windows(2).map(|ends| owned(&text[ends[0]..ends[1]])).collect()
        }
        Some(most) => text.splitn(most, &**separator).map(owned).collect(),
        None => text.split(&**separator).map(owned).collect(),
    };
    Ok(Value::list(parts))
}

fn substring<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let (text, start, end) = match values {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(Fault::no_overload()),
    };
    meter.work(text.len() as u64)?;
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(Fault::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let from = offset(text, start)?;
    let to = end.map_or(Ok(text.len()), |end| offset(text, end))?;
    Ok(Value::string(&text[from..to]))
}

fn join<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let (list, separator) = match values {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return Err(Fault::no_overload()),
    };
    let mut text = String::new();
    for (at, item) in list.iter().enumerate() {
        let item = item.as_str().map(str::to_owned).ok_or_else(Fault::no_overload)?;
        meter.work((item.len() + separator.len()) as u64)?;
        if at > 0 {
            text.push_str(separator);
        }
        text.push_str(&item);
    }
    Ok(Value::string(text))
}

fn quote<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    meter.work(2 * text.len() as u64)?;
    Ok(Value::string(quoted(text)))
}

pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
