//! Tracked connections: listing those of one protocol and forgetting some, so that a UDP client
//! that never stops sending finds a service's new endpoint.

use super::netlink::{ACK, DUMP, Error, Messages, Parsed, Socket};
use nix::sys::socket::SockProtocol;
use std::net::Ipv4Addr;

const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub protocol: u8,
    pub source: (Ipv4Addr, u16),
    pub destination: (Ipv4Addr, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// As the client sent it: its destination is the service.
    pub original: Tuple,
    /// As answers come back: its source is the endpoint.
    pub reply: Tuple,
}

/// A connection to one network namespace's connection table.
pub struct Conntrack(Socket);

const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

impl Conntrack {
    /// To the calling thread's namespace.
    pub fn open() -> Result<Self, Error> {
        Socket::open(SockProtocol::NetlinkNetFilter).map(Conntrack)
    }

    /// The IPv4 connections that `wanted` picks.
    pub fn list(&mut self, mut wanted: impl FnMut(&Connection) -> bool) -> Result<Vec<Connection>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list connections", GET, DUMP, &HEADER, |_| {});
        let mut found = Vec::new();
        self.0.query(&messages, |payload| found.extend(parse(payload).filter(|connection| wanted(connection))))?;
        Ok(found)
    }

    /// Forgets the connections; one that has ended meanwhile is no error.
    pub fn forget(&mut self, connections: &[Connection]) -> Result<(), Error> {
        for connection in connections {
            let tuple = connection.original;
            let mut messages = Messages::default();
            messages.push("cannot forget the connection", DELETE, ACK, &HEADER, |attributes| {
                attributes.nest(ORIGINAL, |inner| {
                    inner.nest(TUPLE_IP, |ip| {
                        ip.bytes(1, &tuple.source.0.octets());
                        ip.bytes(2, &tuple.destination.0.octets());
                    });
                    inner.nest(TUPLE_PROTOCOL, |protocol| {
                        protocol.u8(1, tuple.protocol);
                        protocol.be16(2, tuple.source.1);
                        protocol.be16(3, tuple.destination.1);
                    });
                });
            });
            match self.0.request(&messages) {
                Err(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse(payload: &[u8]) -> Option<Connection> {
    let attributes = Parsed(payload.get(4..)?);
    Some(Connection { original: tuple(attributes.nested(ORIGINAL))?, reply: tuple(attributes.nested(REPLY))? })
}

fn tuple(attributes: Parsed<'_>) -> Option<Tuple> {
    let (ip, protocol) = (attributes.nested(TUPLE_IP), attributes.nested(TUPLE_PROTOCOL));
    // Protocols without ports (ICMP) have none here and are nobody's service.
    let port = |kind| Some(u16::from_be_bytes(protocol.value(kind)?.try_into().ok()?));
    Some(Tuple {
        protocol: *protocol.value(1)?.first()?,
        source: (ip.ipv4(1)?, port(2)?),
        destination: (ip.ipv4(2)?, port(3)?),
    })
}
