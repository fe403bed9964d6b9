//! The functions, by library, and the values that only they can look into.

pub mod authorizer;
mod containers;
mod conversion;
mod format;
mod names;
mod network;
mod operators;
mod optional;
mod quantity;
mod regexes;
pub mod semver;
mod strings;
pub mod time;
mod url;

use crate::functions::Function;
use crate::types::Opaque;
use std::fmt;
use std::net::IpAddr;

/// Every library that expressions of v1.37 have.
pub const ALL: &[&[Function]] = &[
    operators::FUNCTIONS,
    conversion::FUNCTIONS,
    containers::FUNCTIONS,
    strings::FUNCTIONS,
    time::FUNCTIONS,
    optional::FUNCTIONS,
    regexes::FUNCTIONS,
    url::FUNCTIONS,
    quantity::FUNCTIONS,
    network::FUNCTIONS,
    names::FUNCTIONS,
    semver::FUNCTIONS,
    authorizer::FUNCTIONS,
];

/// What an opaque value holds.
pub enum Held<'a> {
    Quantity(meta::Quantity),
    Ip(IpAddr),
    Cidr(network::Cidr),
    Url(url::Url),
    Semver(semver::Version),
    Format(names::Format),
    Authorizer(&'a dyn authorizer::Authorizer, Option<String>),
    Check(authorizer::Pending<'a>),
    Decision(authorizer::Decision),
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())
    }
}

impl Held<'_> {
    pub fn kind(&self) -> Opaque {
        match self {
            Held::Quantity(_) => Opaque::Quantity,
            Held::Ip(_) => Opaque::Ip,
            Held::Cidr(_) => Opaque::Cidr,
            Held::Url(_) => Opaque::Url,
            Held::Semver(_) => Opaque::Semver,
            Held::Format(_) => Opaque::Format,
            Held::Authorizer(..) => Opaque::Authorizer,
            Held::Check(pending) => pending.kind,
            Held::Decision(_) => Opaque::Decision,
        }
    }

    /// Addresses count their bytes.
    pub fn size(&self) -> u64 {
        match self {
            Held::Ip(IpAddr::V4(_)) => 4,
            Held::Ip(IpAddr::V6(_)) => 16,
            Held::Cidr(cidr) => cidr.bits().div_ceil(8).into(),
            _ => 1,
        }
    }

    pub fn equal(&self, other: &Held<'_>) -> bool {
        match (self, other) {
            (Held::Quantity(a), Held::Quantity(b)) => a == b,
            (Held::Ip(a), Held::Ip(b)) => a == b,
            (Held::Cidr(a), Held::Cidr(b)) => a == b,
            (Held::Url(a), Held::Url(b)) => a == b,
            (Held::Semver(a), Held::Semver(b)) => a.cmp(b).is_eq(),
            (Held::Format(a), Held::Format(b)) => a.name == b.name,
            _ => false,
        }
    }
}
