//! A range of addresses of one family, and what lies in it.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    base: IpAddr,
    length: u32,
}

impl Prefix {
    pub fn parse(text: &str) -> Option<Self> {
        let (base, length) = text.split_once('/')?;
        let (base, length): (IpAddr, u32) = (base.parse().ok()?, length.parse().ok()?);
        (length <= if base.is_ipv4() { 32 } else { 128 }).then_some(Prefix { base, length })
    }

    pub fn has(&self, address: IpAddr) -> bool {
        let head = |bits: u128, width: u32| bits.checked_shr(width - self.length).unwrap_or(0);
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                head(u32::from(base).into(), 32) == head(u32::from(address).into(), 32)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => head(base.into(), 128) == head(address.into(), 128),
            _ => false,
        }
    }

    /// Whether all of `other` lies in this one.
    pub fn holds(&self, other: &Prefix) -> bool {
        self.length <= other.length && self.has(other.base)
    }
}
