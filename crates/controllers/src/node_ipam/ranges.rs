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

    /// The parts that overlap none of `taken`, in order. Goes once over both, so that a thousand nodes
    /// without a range cost one look, not a thousand.
    pub fn free(&self, taken: &[String]) -> impl Iterator<Item = String> + use<> {
        let range = self.clone();
        let mut spans: Vec<(u128, u128)> = taken.iter().filter_map(|cidr| range.span(cidr)).collect();
        spans.sort_unstable();
        let mut spans = spans.into_iter().peekable();
        let size = 1u128 << (range.bits - range.part);
        let parts = (1u128 << (range.part - range.prefix).min(127)).min(PARTS);
        let mut number = 0;
        std::iter::from_fn(move || {
            while number < parts {
                let start = range.base + number * size;
                while spans.next_if(|(_, to)| *to <= start).is_some() {}
                match spans.peek() {
                    Some((from, to)) if *from < start.saturating_add(size) => {
                        number = (to - range.base).div_ceil(size);
                    }
                    _ => {
                        number += 1;
                        return Some(format!("{}/{}", range.address(start), range.part));
                    }
                }
            }
            None
        })
    }

    /// From where to where a range of the same family goes.
    fn span(&self, cidr: &str) -> Option<(u128, u128)> {
        let (base, bits, prefix) = split(cidr).filter(|(_, bits, _)| *bits == self.bits)?;
        Some((base, base.saturating_add(1u128 << (bits - prefix).min(127))))
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
