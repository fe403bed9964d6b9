//! Ranges of addresses and their parts. Numbers only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// More parts than this are not looked through; no cluster has as many nodes.
const PARTS: u128 = 1 << 16;

/// A cluster's range, cut into parts of one size for nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    base: u128,
    bits: u32,
    prefix: u32,
    part: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("invalid CIDR address: {0}")]
    Cidr(String),
    #[error("a node mask of /{part} does not fit a cluster range of /{prefix}")]
    Mask { prefix: u32, part: u32 },
}

impl Range {
    /// `cidr` cut into parts of `/part`; upstream's defaults are /24 for IPv4 and /64 for IPv6.
    pub fn parse(cidr: &str, part: Option<u32>) -> Result<Self, RangeError> {
        let (base, bits, prefix) = split(cidr).ok_or_else(|| RangeError::Cidr(cidr.to_owned()))?;
        let part = part.unwrap_or(if bits == 32 { 24 } else { 64 });
        if part < prefix || part > bits {
            return Err(RangeError::Mask { prefix, part });
        }
        Ok(Range { base: base >> (bits - prefix).min(127) << (bits - prefix).min(127), bits, prefix, part })
    }

    /// The first part that overlaps none of `taken`.
    pub fn first_free(&self, taken: &[String]) -> Option<String> {
        let taken: Vec<(u128, u128)> = taken.iter().filter_map(|cidr| self.span(cidr)).collect();
        let size = 1u128 << (self.bits - self.part);
        let parts = (1u128 << (self.part - self.prefix).min(127)).min(PARTS);
        let starts = (0..parts).map(|number| self.base + number * size);
        let free = |start: &u128| !taken.iter().any(|(from, to)| *from < start + size && *start < *to);
        starts.into_iter().find(free).map(|start| format!("{}/{}", self.address(start), self.part))
    }

    /// From where to where a range of the same family goes.
    fn span(&self, cidr: &str) -> Option<(u128, u128)> {
        let (base, bits, prefix) = split(cidr).filter(|(_, bits, _)| *bits == self.bits)?;
        Some((base, base + (1u128 << (bits - prefix).min(127))))
    }

    fn address(&self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(number) if self.bits == 32 => IpAddr::V4(Ipv4Addr::from(number)),
            _ => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }
}

/// Base, address length and prefix length.
fn split(cidr: &str) -> Option<(u128, u32, u32)> {
    let (address, prefix) = cidr.split_once('/')?;
    let (number, bits) = match address.parse().ok()? {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits)?;
    Some((number, bits, prefix))
}
