//! `set` and `unset`: one property, by the path of its names.

use super::edit::words;
use super::file::{File, has};
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean};
use crate::output::line;
use crate::session::Session;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub static SET: Command = Command {
    name: "set",
    usage: "config set PROPERTY_NAME PROPERTY_VALUE [options]",
    short: "Set an individual value in a kubeconfig file",
    flags: &[&[boolean(
        "set-raw-bytes",
        "When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding.",
    )]],
    run: Some(set),
    ..Command::EMPTY
};

pub static UNSET: Command = Command {
    name: "unset",
    usage: "config unset PROPERTY_NAME [options]",
    short: "Unset an individual value in a kubeconfig file",
    run: Some(unset),
    ..Command::EMPTY
};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    /// Left out where it is empty or false.
    Optional,
    Truth,
    /// In base64.
    Bytes,
    /// More than one value: only to be unset.
    Whole,
}

/// A list of entries, what one has its fields in, and those.
type List = (&'static str, &'static str, &'static [(&'static str, Kind)]);

const LISTS: [List; 3] = [
    (
        "clusters",
        "cluster",
        &[
            ("certificate-authority", Kind::Optional),
            ("certificate-authority-data", Kind::Bytes),
            ("disable-compression", Kind::Truth),
            ("extensions", Kind::Whole),
            ("insecure-skip-tls-verify", Kind::Truth),
            ("proxy-url", Kind::Optional),
            ("server", Kind::Text),
            ("tls-server-name", Kind::Optional),
        ],
    ),
    (
        "contexts",
        "context",
        &[("cluster", Kind::Text), ("extensions", Kind::Whole), ("namespace", Kind::Optional), ("user", Kind::Text)],
    ),
    (
        "users",
        "user",
        &[
            ("as", Kind::Optional),
            ("as-groups", Kind::Whole),
            ("as-uid", Kind::Optional),
            ("as-user-extra", Kind::Whole),
            ("auth-provider", Kind::Whole),
            ("client-certificate", Kind::Optional),
            ("client-certificate-data", Kind::Bytes),
            ("client-key", Kind::Optional),
            ("client-key-data", Kind::Bytes),
            ("exec", Kind::Whole),
            ("extensions", Kind::Whole),
            ("password", Kind::Optional),
            ("token", Kind::Optional),
            ("tokenFile", Kind::Optional),
            ("username", Kind::Optional),
        ],
    ),
];

/// What a path leads to.
enum Place {
    CurrentContext,
    Preferences { field: bool },
    List(&'static str),
    Entry { list: &'static str, name: String },
    Field { list: &'static str, key: &'static str, name: String, field: &'static str, kind: Kind },
}

impl Place {
    fn of(path: &str) -> Outcome<Place> {
        let parts: Vec<&str> = path.split('.').collect();
        match parts.as_slice() {
            ["current-context"] => return Ok(Place::CurrentContext),
            ["preferences"] => return Ok(Place::Preferences { field: false }),
            ["preferences", "colors"] => return Ok(Place::Preferences { field: true }),
            _ => {}
        }
        let Some((list, key, fields)) = LISTS.into_iter().find(|(list, ..)| *list == parts[0]) else {
            return Err(match parts[0] {
                "current-context" | "preferences" => unparsed(path),
                first => Failure::message(format!("unable to parse {first} after [] at api.Config")),
            });
        };
        if parts.len() == 1 {
            return Ok(Place::List(list));
        }
        // Names have points too: one ends before the first field that is known.
        let known = |part: &&str| fields.iter().find(|(field, _)| field == part);
        let end = parts.iter().skip(2).position(|part| known(part).is_some()).map(|at| at + 2);
        let name = parts[1..end.unwrap_or(parts.len())].join(".");
        match end.and_then(|end| Some((known(&parts[end])?, parts.len() == end + 1))) {
            None => Ok(Place::Entry { list, name }),
            Some((_, false)) => Err(unparsed(path)),
            Some(((field, kind), true)) => Ok(Place::Field { list, key, name, field, kind: *kind }),
        }
    }

    fn stands_in(&self, content: &Value) -> bool {
        match self {
            Place::CurrentContext => content["current-context"].as_str().is_some_and(|name| !name.is_empty()),
            Place::Preferences { .. } | Place::List(_) => true,
            Place::Entry { list, name } | Place::Field { list, name, .. } => has(content, list, name),
        }
    }
}

fn unparsed(path: &str) -> Failure {
    Failure::message(format!("unable to parse one or more field values of {path}"))
}

fn set(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [path, value] = words(session, &args)?;
        if value.is_empty() {
            return Err(Failure::message("you cannot use set to unset a property"));
        }
        let place = Place::of(path)?;
        let mut file = File::of(session, |content| place.stands_in(content))?;
        match &place {
            Place::CurrentContext => file.content["current-context"] = json!(value),
            Place::Preferences { field: true } => put(&mut file.content["preferences"], "colors", truth(value)?),
            Place::Preferences { .. } | Place::List(_) | Place::Entry { .. } => {
                return Err(Failure::message("can't set a map to a value: map[]"));
            }
            Place::Field { list, key, name, field, kind } => {
                let value = match kind {
                    Kind::Text | Kind::Optional => json!(value),
                    Kind::Truth => truth(value)?,
                    Kind::Bytes if args.bool("set-raw-bytes") => json!(STANDARD.encode(value)),
                    Kind::Bytes => json!(STANDARD.encode(decoded(value)?)),
                    Kind::Whole => return Err(unparsed(path)),
                };
                let Some((entry, _)) = file.entry(list, key, name) else { return Err(unparsed(path)) };
                put(entry, field, value);
            }
        }
        file.write()?;
        line(&format!("Property {path:?} set."));
        Ok(())
    })
}

fn unset(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [path] = words(session, &args)?;
        let place = Place::of(path)?;
        let mut file = File::of(session, |content| place.stands_in(content))?;
        match &place {
            Place::CurrentContext => file.content["current-context"] = json!(""),
            Place::Preferences { field: true } => put(&mut file.content["preferences"], "colors", Value::Null),
            Place::Preferences { field: false } => file.content["preferences"] = json!({}),
            Place::List(list) => file.content[list] = Value::Null,
            Place::Entry { list, name } => file.remove(list, name),
            Place::Field { list, key, name, field, kind } => {
                if !has(&file.content, list, name) {
                    return Err(Failure::message(format!("current map key `{name}` is invalid")));
                }
                let Some((entry, _)) = file.entry(list, key, name) else { return Err(unparsed(path)) };
                let nothing = if *kind == Kind::Text { json!("") } else { Value::Null };
                put(entry, field, nothing);
            }
        }
        file.write()?;
        line(&format!("Property {path:?} unset."));
        Ok(())
    })
}

/// Null takes the field away.
fn put(entry: &mut Value, field: &str, value: Value) {
    if !entry.is_object() {
        *entry = json!({});
    }
    if let Some(fields) = entry.as_object_mut() {
        match value {
            Value::Null => fields.remove(field),
            value => fields.insert(field.to_owned(), value),
        };
    }
}

/// As Go reads it; what is false is not written.
fn truth(value: &str) -> Outcome<Value> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(json!(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Null),
        _ => Err(Failure::message(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))),
    }
}

fn decoded(value: &str) -> Outcome<Vec<u8>> {
    STANDARD.decode(value).map_err(|why| {
        let at = match why {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => value.len(),
        };
        Failure::message(format!("error decoding input value: illegal base64 data at input byte {at}"))
    })
}
