//! The kernel's network: links, addresses, routes and neighbours over rtnetlink, nftables in atomic
//! batches, connection tracking, network namespaces, sysctls.
//!
//! Speaks the netlink wire format itself: what Kutter needs of it is small, and one blocking
//! request takes microseconds, so there is no socket task, no buffer pool and no waiting. Nothing
//! here knows pods or services; callers name every object, and put an instance id into the name.

mod addresses;
pub mod conntrack;
mod links;
mod listeners;
pub mod namespace;
mod neighbours;
mod netlink;
pub mod nftables;
mod routes;
mod rtnetlink;
pub mod sysctl;

pub use addresses::{Address, Scope};
pub use links::{Link, Veth, Vxlan};
pub use listeners::Listeners;
pub use neighbours::{Forwarding, Mac, Neighbour};
pub use netlink::Error;
pub use routes::{Route, RouteReply};
pub use rtnetlink::{Changes, Rtnetlink};

/// An IPv4 network: address and prefix length. The host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Net {
    address: std::net::Ipv4Addr,
    prefix: u8,
}

impl Ipv4Net {
    pub const ANY: Ipv4Net = Ipv4Net { address: std::net::Ipv4Addr::UNSPECIFIED, prefix: 0 };
    pub const LOOPBACK: Ipv4Net = Ipv4Net { address: std::net::Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };
    pub const MULTICAST: Ipv4Net = Ipv4Net { address: std::net::Ipv4Addr::new(224, 0, 0, 0), prefix: 4 };

    /// The network that `address` lies in. None: the prefix is longer than 32.
    pub fn new(address: std::net::Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        let network = Ipv4Net { address, prefix };
        Some(Ipv4Net { address: (address.to_bits() & network.mask()).into(), prefix })
    }

    /// One address.
    pub const fn host(address: std::net::Ipv4Addr) -> Self {
        Ipv4Net { address, prefix: 32 }
    }

    pub fn address(self) -> std::net::Ipv4Addr {
        self.address
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// The highest address.
    pub fn last(self) -> std::net::Ipv4Addr {
        (self.address.to_bits() | !self.mask()).into()
    }

    pub fn contains(self, address: std::net::Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.address.to_bits()
    }
}

impl std::fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A text that is no `ADDRESS/PREFIX` of IPv4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network such as 10.244.0.0/16")]
pub struct NotANetwork(String);

impl std::str::FromStr for Ipv4Net {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Ipv4Net::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

/// A name's 16-bit mark: links and routes have no room for a whole instance id.
pub fn tag(instance: &str) -> u16 {
    let hash = instance.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) as u16
}

#[cfg(test)]
mod tests;
