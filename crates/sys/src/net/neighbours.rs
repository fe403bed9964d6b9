//! Neighbour entries that never have to be asked for, and a VXLAN device's forwarding table.

use super::netlink::{ACK, APPEND, CREATE, REPLACE};
use super::rtnetlink::Changes;
use std::net::Ipv4Addr;

const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const ATTR_DESTINATION: u16 = 1;
const ATTR_LINK_ADDRESS: u16 = 2;
const STATE_PERMANENT: u16 = 0x80;
/// The entry is the device's own, not its bridge's: without it the kernel looks for a bridge.
const FLAG_SELF: u8 = 0x02;

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A locally administered address made of an IPv4 address and a byte that says which end of
    /// the pair it is: both ends know each other's without asking.
    pub fn for_address(end: u8, address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Mac([(end << 2) | 0x02, 0x58, a, b, c, d])
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub link: u32,
    pub address: Ipv4Addr,
    pub mac: Mac,
}

/// Frames for `mac` go to the host `remote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarding {
    pub link: u32,
    pub mac: Mac,
    pub remote: Ipv4Addr,
}

/// `struct ndmsg`.
fn header(family: u8, link: u32, state: u16, flags: u8) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&link.to_ne_bytes());
    bytes[8..10].copy_from_slice(&state.to_ne_bytes());
    bytes[10] = flags;
    bytes
}

impl Changes {
    pub fn replace_neighbour(&mut self, neighbour: &Neighbour) -> &mut Self {
        let header = header(libc::AF_INET as u8, neighbour.link, STATE_PERMANENT, 0);
        self.0.push("cannot set the neighbour", NEW_NEIGHBOUR, ACK | CREATE | REPLACE, &header, |attributes| {
            attributes.bytes(ATTR_DESTINATION, &neighbour.address.octets());
            attributes.bytes(ATTR_LINK_ADDRESS, &neighbour.mac.0);
        });
        self
    }

    pub fn delete_neighbour(&mut self, neighbour: &Neighbour) -> &mut Self {
        let header = header(libc::AF_INET as u8, neighbour.link, 0, 0);
        self.0.push("cannot delete the neighbour", DELETE_NEIGHBOUR, ACK, &header, |attributes| {
            attributes.bytes(ATTR_DESTINATION, &neighbour.address.octets());
        });
        self
    }

    pub fn replace_forwarding(&mut self, entry: &Forwarding) -> &mut Self {
        let header = header(libc::AF_BRIDGE as u8, entry.link, STATE_PERMANENT, FLAG_SELF);
        let flags = ACK | CREATE | REPLACE;
        debug_assert_eq!(flags & APPEND, 0, "appending would add a second remote");
        self.0.push("cannot set the forwarding entry", NEW_NEIGHBOUR, flags, &header, |attributes| {
            attributes.bytes(ATTR_LINK_ADDRESS, &entry.mac.0);
            attributes.bytes(ATTR_DESTINATION, &entry.remote.octets());
        });
        self
    }

    pub fn delete_forwarding(&mut self, entry: &Forwarding) -> &mut Self {
        let header = header(libc::AF_BRIDGE as u8, entry.link, 0, FLAG_SELF);
        self.0.push("cannot delete the forwarding entry", DELETE_NEIGHBOUR, ACK, &header, |attributes| {
            attributes.bytes(ATTR_LINK_ADDRESS, &entry.mac.0);
            attributes.bytes(ATTR_DESTINATION, &entry.remote.octets());
        });
        self
    }
}
