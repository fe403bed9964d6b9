//! The types of values, as the checker sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only when it runs.
    Dyn(Bound),
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String(Bound),
    Bytes(Bound),
    Duration,
    Timestamp,
    List(Arc<Type>, Bound),
    Map(Arc<Type>, Arc<Type>, Bound),
    Object(Arc<ObjectType>),
    /// A type that expressions build values of (`Object.spec`), whose fields are known when it runs.
    Built(Arc<str>),
    Optional(Arc<Type>),
    Opaque(Opaque),
    /// The type of a type.
    Type,
    /// Stands for any type in a function's signature.
    Param(char),
}

/// The most elements, characters or bytes that a value may have. It takes no part in whether two
/// types are the same.
#[derive(Debug, Clone, Copy)]
pub struct Bound(pub u64);

impl Bound {
    pub const UNKNOWN: Bound = Bound(u64::MAX);
}

impl PartialEq for Bound {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// An object with named fields; `name` is what errors call it.
#[derive(Debug, PartialEq, Default)]
pub struct ObjectType {
    pub name: String,
    /// By the name that expressions write, which is escaped where needed.
    pub fields: BTreeMap<String, Field>,
}

#[derive(Debug, PartialEq)]
pub struct Field {
    /// As it stands in the JSON.
    pub json: String,
    pub kind: Type,
}

/// Types whose values only functions of their library can look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opaque {
    Quantity,
    Ip,
    Cidr,
    Url,
    Semver,
    Format,
    Authorizer,
    PathCheck,
    GroupCheck,
    ResourceCheck,
    Decision,
}

impl Opaque {
    pub const ALL: [Opaque; 11] = [
        Opaque::Quantity,
        Opaque::Ip,
        Opaque::Cidr,
        Opaque::Url,
        Opaque::Semver,
        Opaque::Format,
        Opaque::Authorizer,
        Opaque::PathCheck,
        Opaque::GroupCheck,
        Opaque::ResourceCheck,
        Opaque::Decision,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Opaque::Quantity => "kubernetes.Quantity",
            Opaque::Ip => "net.IP",
            Opaque::Cidr => "net.CIDR",
            Opaque::Url => "kubernetes.URL",
            Opaque::Semver => "kubernetes.Semver",
            Opaque::Format => "kubernetes.NamedFormat",
            Opaque::Authorizer => "kubernetes.authorization.Authorizer",
            Opaque::PathCheck => "kubernetes.authorization.PathCheck",
            Opaque::GroupCheck => "kubernetes.authorization.GroupCheck",
            Opaque::ResourceCheck => "kubernetes.authorization.ResourceCheck",
            Opaque::Decision => "kubernetes.authorization.Decision",
        }
    }
}

impl Type {
    pub const DYN: Type = Type::Dyn(Bound::UNKNOWN);
    pub const STRING: Type = Type::String(Bound::UNKNOWN);

    pub fn list(item: Type) -> Type {
        Type::List(Arc::new(item), Bound::UNKNOWN)
    }

    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value), Bound::UNKNOWN)
    }

    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    /// An object whose fields are written as they stand in the JSON.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
        let field = |(json, kind): (&str, Type)| (json.to_owned(), Field { json: json.to_owned(), kind });
        Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: fields.into_iter().map(field).collect() }))
    }

    /// A type that expressions build.
    pub fn built(name: &str) -> Type {
        Type::Built(Arc::from(name))
    }

    pub fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn(_) | Type::Param(_))
    }

    /// How many elements, characters or bytes a value has at most; one for those that have none.
    pub fn bound(&self) -> Bound {
        match self {
            Type::Dyn(bound)
            | Type::String(bound)
            | Type::Bytes(bound)
            | Type::List(_, bound)
            | Type::Map(_, _, bound) => *bound,
            Type::Object(object) => Bound(object.fields.len() as u64),
            Type::Optional(inner) => inner.bound(),
            Type::Param(_) => Bound::UNKNOWN,
            // The bytes of an address.
            Type::Opaque(Opaque::Ip | Opaque::Cidr) => Bound(16),
            _ => Bound(1),
        }
    }

    /// The same type with room for the values of both.
    pub fn widened(&self, other: &Type) -> Type {
        let wider = |a: &Bound, b: &Bound| Bound(a.0.max(b.0));
        match (self, other) {
            (Type::Dyn(a), Type::Dyn(b)) => Type::Dyn(wider(a, b)),
            (Type::String(a), Type::String(b)) => Type::String(wider(a, b)),
            (Type::Bytes(a), Type::Bytes(b)) => Type::Bytes(wider(a, b)),
            (Type::List(item, a), Type::List(other, b)) => Type::List(Arc::new(item.widened(other)), wider(a, b)),
            (Type::Map(key, value, a), Type::Map(other_key, other_value, b)) => {
                Type::Map(Arc::new(key.widened(other_key)), Arc::new(value.widened(other_value)), wider(a, b))
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn(_) => f.write_str("dyn"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String(_) => f.write_str("string"),
            Type::Bytes(_) => f.write_str("bytes"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::List(item, _) => write!(f, "list({item})"),
            Type::Map(key, value, _) => write!(f, "map({key}, {value})"),
            Type::Object(object) => f.write_str(&object.name),
            Type::Built(name) => f.write_str(name),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            Type::Opaque(opaque) => f.write_str(opaque.name()),
            Type::Type => f.write_str("type"),
            Type::Param(name) => write!(f, "{name}"),
        }
    }
}
