//! IP addresses and networks.

use super::Held;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const FUNCTIONS: &[Function] = &[
    Function::new("ip", &["(string) ip", "cidr.() ip"], Price::First(1), ip),
    Function::new("isIP", &["(string) bool"], Price::First(1), |_, values| {
        Ok(Value::Bool(parse_ip(text(values, 0)?).is_ok()))
    }),
    Function::new("ip.isCanonical", &["(string) bool"], Price::First(2), is_canonical),
    Function::new("family", &["ip.() int"], Price::One, |_, values| {
        Ok(Value::Int(if address(values)?.is_ipv4() { 4 } else { 6 }))
    }),
    Function::new("isUnspecified", &["ip.() bool"], Price::One, |_, values| test(values, |ip| ip.is_unspecified())),
    Function::new("isLoopback", &["ip.() bool"], Price::One, |_, values| test(values, |ip| ip.is_loopback())),
    Function::new("isLinkLocalMulticast", &["ip.() bool"], Price::One, |_, values| {
        test(values, is_link_local_multicast)
    }),
    Function::new("isLinkLocalUnicast", &["ip.() bool"], Price::One, |_, values| test(values, is_link_local)),
    Function::new("isGlobalUnicast", &["ip.() bool"], Price::One, |_, values| test(values, is_global_unicast)),
    Function::new("cidr", &["(string) cidr"], Price::First(1), cidr),
    Function::new("isCIDR", &["(string) bool"], Price::First(1), |_, values| {
        Ok(Value::Bool(Cidr::parse(text(values, 0)?).is_ok()))
    }),
    Function::new("containsIP", &["cidr.(ip) bool", "cidr.(string) bool"], Price::First(2), contains_ip),
    Function::new("containsCIDR", &["cidr.(cidr) bool", "cidr.(string) bool"], Price::First(3), contains_cidr),
    Function::new("masked", &["cidr.() cidr"], Price::One, |_, values| {
        Ok(Value::held(Held::Cidr(network(values)?.masked())))
    }),
    Function::new("prefixLength", &["cidr.() int"], Price::One, |_, values| {
        Ok(Value::Int(network(values)?.length.into()))
    }),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

/// An address and how many of its first bits name the network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    fn parse(text: &str) -> std::result::Result<Cidr, Fault> {
        let wrong = || {
            Fault::new(format!(
                "network address parse error during conversion from string: netip.ParsePrefix({text:?})"
            ))
        };
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address = parse_ip(address).map_err(|_| wrong())?;
        let plain = length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let cidr = Cidr { address, length };
        if plain && length <= cidr.bits() { Ok(cidr) } else { Err(wrong()) }
    }

    pub fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn masked(self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        };
        Cidr { address, ..self }
    }

    fn contains(self, address: IpAddr) -> bool {
        let other = Cidr { address, length: self.length };
        self.address.is_ipv4() == address.is_ipv4() && self.masked() == other.masked()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// No zones, no IPv4 in IPv6's clothes.
fn parse_ip(text: &str) -> std::result::Result<IpAddr, Fault> {
    let wrong = |why: &str| Fault::new(format!("IP Address {text:?} parse error during conversion from string: {why}"));
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(wrong("IPv4-mapped IPv6 address is not allowed"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(wrong(&format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn text<'v>(values: &'v [Value<'_>], at: usize) -> std::result::Result<&'v str, Fault> {
    values.get(at).and_then(Value::as_str).ok_or_else(Fault::no_overload)
}

fn address(values: &[Value<'_>]) -> std::result::Result<IpAddr, Fault> {
    match values.first() {
        Some(Value::Opaque(held)) => match &**held {
            Held::Ip(address) => Ok(*address),
            _ => Err(Fault::no_overload()),
        },
        _ => Err(Fault::no_overload()),
    }
}

fn network(values: &[Value<'_>]) -> std::result::Result<Cidr, Fault> {
    match values.first() {
        Some(Value::Opaque(held)) => match &**held {
            Held::Cidr(cidr) => Ok(*cidr),
            _ => Err(Fault::no_overload()),
        },
        _ => Err(Fault::no_overload()),
    }
}

fn ip<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let address = match values.first() {
        Some(Value::String(text)) => parse_ip(text)?,
        _ => network(values)?.address,
    };
    Ok(Value::held(Held::Ip(address)))
}

fn is_canonical<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let text = text(values, 0)?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == text))
}

fn test<'a>(values: &[Value<'a>], holds: fn(IpAddr) -> bool) -> Result<'a> {
    address(values).map(|address| Value::Bool(holds(address)))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_global_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !is_link_local(address)
}

fn cidr<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    Cidr::parse(text(values, 0)?).map(|cidr| Value::held(Held::Cidr(cidr)))
}

fn contains_ip<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let other = match values.get(1) {
        Some(Value::String(text)) => parse_ip(text)?,
        _ => address(values.get(1..).unwrap_or_default())?,
    };
    Ok(Value::Bool(network(values)?.contains(other)))
}

fn contains_cidr<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    let own = network(values)?;
    let other = match values.get(1) {
        Some(Value::String(text)) => Cidr::parse(text)?,
        _ => network(values.get(1..).unwrap_or_default())?,
    };
    Ok(Value::Bool(own.length <= other.length && own.contains(other.address)))
}
