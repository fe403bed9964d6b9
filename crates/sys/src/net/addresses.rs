//! IPv4 addresses on links.

use super::netlink::{ACK, CREATE, DUMP, Error, Messages, Parsed, REPLACE};
use super::rtnetlink::{Changes, Rtnetlink};
use std::net::Ipv4Addr;

const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const ATTR_ADDRESS: u16 = 1;
const ATTR_LOCAL: u16 = 2;
const ATTR_LABEL: u16 = 3;

/// Who may see an address. One of host scope is never chosen as the source of outgoing packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Global = 0,
    Link = 253,
    Host = 254,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub link: u32,
    pub address: Ipv4Addr,
    pub prefix: u8,
    /// Empty, or the link's name, a colon and an owner's mark.
    pub label: String,
}

/// `struct ifaddrmsg`.
fn header(prefix: u8, scope: u8, link: u32) -> [u8; 8] {
    let index = link.to_ne_bytes();
    [libc::AF_INET as u8, prefix, 0, scope, index[0], index[1], index[2], index[3]]
}

impl Changes {
    /// Adds the address or leaves the one that is there.
    pub fn add_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8, scope: Scope, label: &str) -> &mut Self {
        let header = header(prefix, scope as u8, link);
        self.0.push("cannot add the address", NEW_ADDRESS, ACK | CREATE | REPLACE, &header, |attributes| {
            attributes.bytes(ATTR_LOCAL, &address.octets());
            attributes.bytes(ATTR_ADDRESS, &address.octets());
            if !label.is_empty() {
                attributes.text(ATTR_LABEL, label);
            }
        });
        self
    }

    pub fn delete_address(&mut self, link: u32, address: Ipv4Addr, prefix: u8) -> &mut Self {
        self.0.push("cannot delete the address", DELETE_ADDRESS, ACK, &header(prefix, 0, link), |attributes| {
            attributes.bytes(ATTR_LOCAL, &address.octets());
        });
        self
    }
}

impl Rtnetlink {
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list addresses", GET_ADDRESS, DUMP, &header(0, 0, 0), |_| {});
        let mut addresses = Vec::new();
        self.0.query(&messages, |payload| addresses.extend(parse(payload)))?;
        Ok(addresses)
    }
}

fn parse(payload: &[u8]) -> Option<Address> {
    let (head, attributes) = payload.split_first_chunk::<8>()?;
    let attributes = Parsed(attributes);
    Some(Address {
        link: u32::from_ne_bytes([head[4], head[5], head[6], head[7]]),
        address: attributes.ipv4(ATTR_LOCAL)?,
        prefix: head[1],
        label: attributes.text(ATTR_LABEL).unwrap_or_default().to_owned(),
    })
}
