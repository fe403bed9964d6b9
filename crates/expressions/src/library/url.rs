//! URLs: absolute ones, and paths.

use super::Held;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::{Key, Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const FUNCTIONS: &[Function] = &[
    Function::new("url", &["(string) url"], Price::First(1), url),
    Function::new("isURL", &["(string) bool"], Price::First(1), is_url),
    Function::new("getScheme", &["url.() string"], Price::One, |_, values| part(values, |url| url.scheme.clone())),
    Function::new("getHost", &["url.() string"], Price::One, |_, values| part(values, |url| url.host.clone())),
    Function::new("getHostname", &["url.() string"], Price::One, |_, values| {
        part(values, |url| url.hostname().to_owned())
    }),
    Function::new("getPort", &["url.() string"], Price::One, |_, values| part(values, |url| url.port().to_owned())),
    Function::new("getEscapedPath", &["url.() string"], Price::One, |_, values| part(values, |url| url.path.clone())),
    Function::new("getQuery", &["url.() map(string, list(string))"], Price::One, query),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

#[derive(PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// With its port.
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Option<Url> {
        if text.is_empty() || text.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return None;
        }
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = match text.split_once(':') {
            _ if text.starts_with('/') => ("", text),
            Some((scheme, rest)) => (scheme, rest),
            None => return None,
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme_is_right = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits);
        if !scheme.is_empty() && !scheme_is_right || (scheme.is_empty() && !text.starts_with('/')) {
            return None;
        }
        let (host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let url = Url {
            scheme: scheme.to_ascii_lowercase(),
            host: decode(host, false)?,
            path: escaped(path)?,
            query: query.to_owned(),
        };
        url.host_is_right().then_some(url)
    }

    fn host_is_right(&self) -> bool {
        let (bracketed, port) = match self.host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((_, port)) => (true, port.strip_prefix(':').or(port.is_empty().then_some(""))),
                None => return false,
            },
            None => (false, Some(self.port())),
        };
        let colons = !bracketed && self.host.matches(':').count() > 1;
        !colons
            && port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            && !self.host.contains(['<', '>', '"', '\\', '^', '`', '{', '|', '}'])
    }

    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or(rest, |(inside, _)| inside),
            None => self.host.split_once(':').map_or(&self.host, |(name, _)| name),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(0, |end| end + 1);
        self.host[after..].split_once(':').map_or("", |(_, port)| port)
    }
}

/// Percent escapes into what they stand for.
fn decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            b'+' if plus => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path with everything escaped that must be; None: an escape is broken.
fn escaped(path: &str) -> Option<String> {
    decode(path, false)?;
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte) => {
                text.push(char::from(byte))
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(text)
}

fn url<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    meter.work(3 * text.len() as u64)?;
    let wrong = || {
        Fault::new(format!(
            "URL parse error during conversion from string: parse {:?}: invalid URI for request",
            &**text
        ))
    };
    Url::parse(text).map(|url| Value::held(Held::Url(url))).ok_or_else(wrong)
}

fn is_url<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = values else { return Err(Fault::no_overload()) };
    meter.work(3 * text.len() as u64)?;
    Ok(Value::Bool(Url::parse(text).is_some()))
}

fn held<'v>(values: &'v [Value<'_>]) -> std::result::Result<&'v Url, Fault> {
    match values {
        [Value::Opaque(held)] => match &**held {
            Held::Url(url) => Ok(url),
            _ => Err(Fault::no_overload()),
        },
        _ => Err(Fault::no_overload()),
    }
}

fn part<'a>(values: &[Value<'a>], of: fn(&Url) -> String) -> Result<'a> {
    held(values).map(|url| Value::string(of(url)))
}

fn query<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let url = held(values)?;
    meter.work(16 * url.query.len() as u64)?;
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (decode(key, true), decode(value, true)) else { continue };
        found.entry(key).or_default().push(Value::string(value));
    }
    let entry = |(key, list): (String, Vec<Value<'a>>)| {
        let key: Arc<str> = key.into();
        (Key::String(key.clone()), (Value::string(key), Value::list(list)))
    };
    Ok(Value::Map(Map::Own(Arc::new(found.into_iter().map(entry).collect()))))
}
