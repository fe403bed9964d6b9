//! Links: veth pairs, VXLAN devices, bridges; up, down, gone.

use super::Mac;
use super::netlink::{ACK, CREATE, DUMP, EXCLUSIVE, Error, Messages, Parsed};
use super::rtnetlink::{Changes, Rtnetlink};
use nix::errno::Errno;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;

const ATTR_ADDRESS: u16 = 1;
const ATTR_NAME: u16 = 3;
const ATTR_MTU: u16 = 4;
const ATTR_MASTER: u16 = 10;
const ATTR_INFO: u16 = 18;
const ATTR_NETNS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const VXLAN_ID: u16 = 1;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_LEARNING: u16 = 7;
const VXLAN_PORT: u16 = 15;

const UP: u32 = 1;
const RUNNING: u32 = 0x40;

/// A link as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    /// Its carrier is there and its queue has been started: what is sent leaves.
    pub running: bool,
    pub mtu: u32,
    pub mac: Option<Mac>,
    /// `veth`, `vxlan`…; empty for hardware and loopback.
    pub kind: String,
}

/// A pair of which one end is made in another namespace.
pub struct Veth<'a> {
    pub name: &'a str,
    pub mac: Mac,
    pub mtu: u32,
    pub peer_name: &'a str,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
}

/// A VXLAN device without learning: every remote is told to it.
pub struct Vxlan<'a> {
    pub name: &'a str,
    pub id: u32,
    pub port: u16,
    pub local: Ipv4Addr,
    pub mac: Mac,
    pub mtu: u32,
}

/// `struct ifinfomsg`.
pub(super) fn header(family: u8, index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

impl Changes {
    /// Makes the pair; the end that stays here is up at once, the peer is not.
    pub fn add_veth(&mut self, veth: &Veth<'_>) -> &mut Self {
        self.0.push("cannot create the veth pair", NEW_LINK, ACK | CREATE | EXCLUSIVE, &header(0, 0, UP, UP), |link| {
            link.text(ATTR_NAME, veth.name);
            link.bytes(ATTR_ADDRESS, &veth.mac.0);
            link.u32(ATTR_MTU, veth.mtu);
            link.nest(ATTR_INFO, |info| {
                info.text(INFO_KIND, "veth");
                info.nest(INFO_DATA, |data| {
                    data.nest(VETH_PEER, |peer| {
                        peer.raw(&header(0, 0, 0, 0));
                        peer.text(ATTR_NAME, veth.peer_name);
                        peer.bytes(ATTR_ADDRESS, &veth.peer_mac.0);
                        peer.u32(ATTR_MTU, veth.mtu);
                        peer.u32(ATTR_NETNS_FD, veth.peer_namespace.as_raw_fd() as u32);
                    });
                });
            });
        });
        self
    }

    pub fn add_vxlan(&mut self, vxlan: &Vxlan<'_>) -> &mut Self {
        self.0.push(
            "cannot create the VXLAN link",
            NEW_LINK,
            ACK | CREATE | EXCLUSIVE,
            &header(0, 0, UP, UP),
            |link| {
                link.text(ATTR_NAME, vxlan.name);
                link.bytes(ATTR_ADDRESS, &vxlan.mac.0);
                link.u32(ATTR_MTU, vxlan.mtu);
                link.nest(ATTR_INFO, |info| {
                    info.text(INFO_KIND, "vxlan");
                    info.nest(INFO_DATA, |data| {
                        data.u32(VXLAN_ID, vxlan.id);
                        data.bytes(VXLAN_LOCAL, &vxlan.local.octets());
                        data.u8(VXLAN_LEARNING, 0);
                        data.be16(VXLAN_PORT, vxlan.port);
                    });
                });
            },
        );
        self
    }

    pub fn add_bridge(&mut self, name: &str) -> &mut Self {
        self.0.push("cannot create the bridge", NEW_LINK, ACK | CREATE | EXCLUSIVE, &header(0, 0, UP, UP), |link| {
            link.text(ATTR_NAME, name);
            link.nest(ATTR_INFO, |info| info.text(INFO_KIND, "bridge"));
        });
        self
    }

    pub fn set_up(&mut self, index: u32) -> &mut Self {
        self.0.push("cannot bring the link up", NEW_LINK, ACK, &header(0, index, UP, UP), |_| {});
        self
    }

    /// Puts the link under a bridge.
    pub fn set_master(&mut self, index: u32, master: u32) -> &mut Self {
        let what = "cannot put the link under its bridge";
        self.0.push(what, NEW_LINK, ACK, &header(0, index, 0, 0), |link| link.u32(ATTR_MASTER, master));
        self
    }

    pub fn delete_link(&mut self, index: u32) -> &mut Self {
        self.0.push("cannot delete the link", DELETE_LINK, ACK, &header(0, index, 0, 0), |_| {});
        self
    }
}

impl Rtnetlink {
    pub fn link(&mut self, name: &str) -> Result<Link, Error> {
        let mut messages = Messages::default();
        messages.push("cannot look the link up", GET_LINK, ACK, &header(0, 0, 0, 0), |link| link.text(ATTR_NAME, name));
        let mut found = None;
        match self.0.query(&messages, |payload| found = found.take().or_else(|| parse(payload))) {
            Err(Error::Refused { errno: Errno::ENODEV, .. }) => Err(Error::NoLink(name.to_owned())),
            Err(error) => Err(error),
            Ok(()) => found.ok_or_else(|| Error::NoLink(name.to_owned())),
        }
    }

    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list links", GET_LINK, DUMP, &header(0, 0, 0, 0), |_| {});
        let mut links = Vec::new();
        self.0.query(&messages, |payload| links.extend(parse(payload)))?;
        Ok(links)
    }
}

fn parse(payload: &[u8]) -> Option<Link> {
    let (head, attributes) = payload.split_first_chunk::<16>()?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let attributes = Parsed(attributes);
    Some(Link {
        index: word(4),
        name: attributes.text(ATTR_NAME)?.to_owned(),
        up: word(8) & UP != 0,
        running: word(8) & RUNNING != 0,
        mtu: attributes.u32(ATTR_MTU).unwrap_or(0),
        mac: attributes.value(ATTR_ADDRESS).and_then(|value| value.try_into().ok()).map(Mac),
        kind: attributes.nested(ATTR_INFO).text(INFO_KIND).unwrap_or_default().to_owned(),
    })
}
