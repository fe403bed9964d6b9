//! The short text in which functions say what they take and give: `string.(int) list(A)` is a
//! method of strings, `(A, A) bool` a function of two arguments of one type.

use crate::types::{Opaque, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, PartialEq)]
pub struct Signature {
    pub receiver: Option<Type>,
    pub args: Vec<Type>,
    pub result: Type,
}

const SHORT: [(&str, Opaque); 11] = [
    ("quantity", Opaque::Quantity),
    ("ip", Opaque::Ip),
    ("cidr", Opaque::Cidr),
    ("url", Opaque::Url),
    ("semver", Opaque::Semver),
    ("format", Opaque::Format),
    ("authorizer", Opaque::Authorizer),
    ("path_check", Opaque::PathCheck),
    ("group_check", Opaque::GroupCheck),
    ("resource_check", Opaque::ResourceCheck),
    ("decision", Opaque::Decision),
];

impl Signature {
    pub fn parse(text: &str) -> Option<Signature> {
        let mut reader = Reader { rest: text };
        let receiver = if text.starts_with('(') { None } else { Some(reader.kind()?) };
        if receiver.is_some() {
            reader.take(".")?;
        }
        reader.take("(")?;
        let mut args = Vec::new();
        while reader.take(")").is_none() {
            args.push(reader.kind()?);
            let _ = reader.take(",");
        }
        Some(Signature { receiver, args, result: reader.kind()? })
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn take(&mut self, mark: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(mark)?;
        Some(())
    }

    fn kind(&mut self) -> Option<Type> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        self.rest = rest;
        Some(match name {
            "dyn" => Type::DYN,
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::STRING,
            "bytes" => Type::Bytes(crate::types::Bound::UNKNOWN),
            "duration" => Type::Duration,
            "timestamp" => Type::Timestamp,
            "type" => Type::Type,
            "list" | "optional" => {
                self.take("(")?;
                let inner = self.kind()?;
                self.take(")")?;
                if name == "list" { Type::list(inner) } else { Type::optional(inner) }
            }
            "map" => {
                self.take("(")?;
                let key = self.kind()?;
                self.take(",")?;
                let value = self.kind()?;
                self.take(")")?;
                Type::map(key, value)
            }
            _ if name.len() == 1 => Type::Param(name.chars().next()?),
            _ => SHORT.iter().find(|(short, _)| *short == name).map(|(_, opaque)| Type::Opaque(*opaque))?,
        })
    }
}

/// What the type parameters of a signature stand for in one call.
#[derive(Default)]
pub struct Substitution(BTreeMap<char, Type>);

impl Substitution {
    /// Whether a value of `given` may stand where `wanted` is.
    pub fn fits(&mut self, wanted: &Type, given: &Type) -> bool {
        match (wanted, given) {
            (Type::Param(name), given) => match self.0.get(name).cloned() {
                None => {
                    self.0.insert(*name, given.clone());
                    true
                }
                Some(known) if known.is_dyn() || given.is_dyn() => true,
                Some(known) => match join(&known, given) {
                    Some(joined) => {
                        self.0.insert(*name, joined);
                        true
                    }
                    None => false,
                },
            },
            (wanted, given) if wanted.is_dyn() || given.is_dyn() => true,
            (Type::List(wanted, _), Type::List(given, _)) | (Type::Optional(wanted), Type::Optional(given)) => {
                self.fits(wanted, given)
            }
            (Type::Map(key, value, _), Type::Map(given_key, given_value, _)) => {
                self.fits(key, given_key) && self.fits(value, given_value)
            }
            // Objects are maps to functions that take any.
            (Type::Map(..), Type::Object(_)) => true,
            (wanted, given) => wanted == given,
        }
    }

    pub fn apply(&self, kind: &Type) -> Type {
        match kind {
            Type::Param(name) => self.0.get(name).cloned().unwrap_or(Type::DYN),
            Type::List(item, bound) => Type::List(Arc::new(self.apply(item)), *bound),
            Type::Optional(inner) => Type::optional(self.apply(inner)),
            Type::Map(key, value, bound) => Type::Map(Arc::new(self.apply(key)), Arc::new(self.apply(value)), *bound),
            other => other.clone(),
        }
    }
}

/// The type of values of either; None: they have none in common.
pub fn join(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (a, b) if a == b => Some(a.widened(b)),
        (a, b) if a.is_dyn() || b.is_dyn() => Some(if a.is_dyn() { a.clone() } else { b.clone() }),
        (Type::List(a, x), Type::List(b, y)) => {
            Some(Type::List(Arc::new(join(a, b)?), crate::types::Bound(x.0.max(y.0))))
        }
        (Type::Optional(a), Type::Optional(b)) => Some(Type::optional(join(a, b)?)),
        (Type::Map(k, v, x), Type::Map(l, w, y)) => {
            Some(Type::Map(Arc::new(join(k, l)?), Arc::new(join(v, w)?), crate::types::Bound(x.0.max(y.0))))
        }
        // Null stands beside what may be absent.
        (
            Type::Null,
            other @ (Type::Object(_) | Type::Timestamp | Type::Duration | Type::Opaque(_) | Type::Optional(_)),
        )
        | (
            other @ (Type::Object(_) | Type::Timestamp | Type::Duration | Type::Opaque(_) | Type::Optional(_)),
            Type::Null,
        ) => Some(other.clone()),
        _ => None,
    }
}
