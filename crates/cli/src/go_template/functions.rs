//! The functions a template may call: Go's own and kubectl's `exists` and `base64decode`.

use super::format::{printf, quoted, value};
use super::item::Item;
use base64::Engine;

type Answer = Result<Item, String>;
type Function = fn(Vec<Item>) -> Answer;

/// Name, the least and the most arguments, and what it does.
const ALL: &[(&str, usize, usize, Function)] = &[
    ("and", 1, usize::MAX, |mut items| items.pop().ok_or_else(String::new)),
    ("or", 1, usize::MAX, |mut items| items.pop().ok_or_else(String::new)),
    ("not", 1, 1, |items| Ok(Item::Bool(!items[0].is_true()))),
    ("len", 1, 1, len),
    ("index", 1, usize::MAX, index),
    ("slice", 1, 4, slice),
    ("print", 0, usize::MAX, |items| Ok(Item::Text(print(&items)))),
    ("println", 0, usize::MAX, |items| {
        let parts: Vec<String> = items.iter().map(|item| value(item, false)).collect();
        Ok(Item::Text(format!("{}\n", parts.join(" "))))
    }),
    ("printf", 1, usize::MAX, |items| match &items[0] {
        Item::Text(format) => Ok(Item::Text(printf(format, &items[1..]))),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
    }),
    ("eq", 1, usize::MAX, eq),
    ("ne", 2, 2, |items| Ok(Item::Bool(!equal(&items[0], &items[1])?))),
    ("lt", 2, 2, |items| less(&items[0], &items[1]).map(Item::Bool)),
    ("le", 2, 2, |items| Ok(Item::Bool(less(&items[0], &items[1])? || equal(&items[0], &items[1])?))),
    ("gt", 2, 2, |items| Ok(Item::Bool(!less(&items[0], &items[1])? && !equal(&items[0], &items[1])?))),
    ("ge", 2, 2, |items| Ok(Item::Bool(!less(&items[0], &items[1])?))),
    ("html", 1, usize::MAX, |items| Ok(Item::Text(escaped(&print(&items), HTML)))),
    ("js", 1, usize::MAX, |items| Ok(Item::Text(escaped(&print(&items), JAVASCRIPT)))),
    ("urlquery", 1, usize::MAX, |items| {
        let text = percent_encoding::utf8_percent_encode(&print(&items), IN_QUERY).to_string();
        Ok(Item::Text(text.replace("%20", "+")))
    }),
    ("exists", 1, usize::MAX, |items| Ok(Item::Bool(exists(&items)))),
    ("base64decode", 1, 1, base64decode),
];

const IN_QUERY: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const HTML: &[(char, &str)] = &[('"', "&#34;"), ('\'', "&#39;"), ('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")];
const JAVASCRIPT: &[(char, &str)] = &[
    ('\\', "\\\\"),
    ('\'', "\\'"),
    ('"', "\\\""),
    ('<', "\\u003C"),
    ('>', "\\u003E"),
    ('&', "\\u0026"),
    ('=', "\\u003D"),
    ('\n', "\\u000A"),
];

pub fn is_known(name: &str) -> bool {
    ALL.iter().any(|(known, ..)| *known == name)
}

pub fn call(name: &str, arguments: Vec<Item>) -> Answer {
    let Some((_, least, most, function)) = ALL.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("{name:?} is not a defined function"));
    };
    let count = arguments.len();
    if count < *least || count > *most {
        let wanted = if *most == usize::MAX { format!("at least {least}") } else { most.to_string() };
        return Err(format!("wrong number of args for {name}: want {wanted} got {count}"));
    }
    function(arguments).map_err(|why| format!("error calling {name}: {why}"))
}

/// Blanks between what is no text.
fn print(items: &[Item]) -> String {
    let mut out = String::new();
    for (at, item) in items.iter().enumerate() {
        let is_text = matches!(item, Item::Text(_));
        let before = at.checked_sub(1).map(|before| &items[before]);
        if before.is_some_and(|before| !is_text && !matches!(before, Item::Text(_))) {
            out.push(' ');
        }
        out.push_str(&value(item, false));
    }
    out
}

fn escaped(text: &str, signs: &[(char, &str)]) -> String {
    let one =
        |c: char| signs.iter().find(|(sign, _)| *sign == c).map_or_else(|| c.to_string(), |(_, to)| (*to).to_owned());
    text.chars().map(one).collect()
}

fn count(length: usize) -> Item {
    Item::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn len(items: Vec<Item>) -> Answer {
    match &items[0] {
        Item::Text(text) => Ok(count(text.len())),
        Item::List(list) => Ok(count(list.len())),
        Item::Map(map) => Ok(count(map.len())),
        Item::Nil | Item::Absent => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

fn index(items: Vec<Item>) -> Answer {
    let mut items = items.into_iter();
    let mut found = items.next().unwrap_or(Item::Nil);
    for key in items {
        found = step(found, &key)?;
    }
    Ok(found)
}

fn step(item: Item, key: &Item) -> Answer {
    match (item, key) {
        (Item::Map(mut map), Item::Text(key)) => Ok(map.remove(key).unwrap_or(Item::Absent)),
        (Item::Map(_), other) => Err(format!("value has type {}; should be string", other.type_name())),
        (Item::List(mut list), Item::Int(at)) => match usize::try_from(*at).ok().filter(|at| *at < list.len()) {
            Some(at) => Ok(list.swap_remove(at)),
            None => Err(format!("index out of range: {at}")),
        },
        (Item::Text(text), Item::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at).copied());
            byte.map(|byte| Item::Int(i64::from(byte))).ok_or_else(|| format!("index out of range: {at}"))
        }
        (Item::List(_) | Item::Text(_), other) => {
            Err(format!("cannot index slice/array with type {}", other.type_name()))
        }
        (Item::Nil | Item::Absent, _) => Err("index of untyped nil".to_owned()),
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(items: Vec<Item>) -> Answer {
    let length = match &items[0] {
        Item::Text(text) => text.len(),
        Item::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |at: usize, default: usize| match items.get(at) {
        None => Ok(default),
        Some(Item::Int(bound)) => usize::try_from(*bound)
            .ok()
            .filter(|bound| *bound <= length)
            .ok_or_else(|| format!("index out of range: {bound}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match &items[0] {
        Item::List(list) => Item::List(list[from..to].to_vec()),
        Item::Text(text) => Item::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        _ => Item::Nil,
    })
}

fn eq(items: Vec<Item>) -> Answer {
    let [first, others @ ..] = items.as_slice() else { return Err("missing argument for comparison".to_owned()) };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Item::Bool(true));
        }
    }
    Ok(Item::Bool(false))
}

const INCOMPATIBLE: &str = "incompatible types for comparison";

fn equal(a: &Item, b: &Item) -> Result<bool, String> {
    let absent = |item: &Item| matches!(item, Item::Nil | Item::Absent);
    match (a, b) {
        (Item::Bool(a), Item::Bool(b)) => Ok(a == b),
        (a, b) if absent(a) || absent(b) => Ok(absent(a) && absent(b)),
        (Item::List(_) | Item::Map(_), _) | (_, Item::List(_) | Item::Map(_)) => Err("non-comparable type".to_owned()),
        (a, b) => a.compare(b).map(|order| order.is_eq()).ok_or_else(|| INCOMPATIBLE.to_owned()),
    }
}

fn less(a: &Item, b: &Item) -> Result<bool, String> {
    if matches!(a, Item::Bool(_) | Item::Nil | Item::Absent | Item::List(_) | Item::Map(_)) {
        return Err("invalid type for comparison".to_owned());
    }
    a.compare(b).map(|order| order.is_lt()).ok_or_else(|| INCOMPATIBLE.to_owned())
}

/// Whether there is something at the end of a path of keys.
fn exists(items: &[Item]) -> bool {
    let Some((root, keys)) = items.split_first() else { return false };
    let found = keys.iter().try_fold(root.clone(), |item, key| match step(item, key) {
        Ok(Item::Absent) | Err(_) => None,
        Ok(found) => Some(found),
    });
    found.is_some()
}

fn base64decode(items: Vec<Item>) -> Answer {
    let Item::Text(text) = &items[0] else { return Err("wrong type for value; expected string".to_owned()) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|_| format!("base64 decode failed: illegal base64 data in {}", quoted(text)))?;
    Ok(Item::Text(String::from_utf8_lossy(&bytes).into_owned()))
}
