//! IPv4 routes of the main table.

use super::Ipv4Net;
use super::netlink::{ACK, CREATE, DUMP, Error, Messages, Parsed, REPLACE};
use super::rtnetlink::{Changes, Rtnetlink};
use std::net::Ipv4Addr;

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const ATTR_DESTINATION: u16 = 1;
const ATTR_LINK: u16 = 4;
const ATTR_GATEWAY: u16 = 5;
const ATTR_PRIORITY: u16 = 6;
const ATTR_SOURCE: u16 = 7;
const ATTR_TABLE: u16 = 15;

const TABLE_MAIN: u8 = 254;
/// Made by an administrator: routing daemons leave such routes alone.
const PROTOCOL_STATIC: u8 = 4;
const TYPE_UNICAST: u8 = 1;
const TYPE_LOCAL: u8 = 2;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
/// The gateway need not be in a network of the link.
const ON_LINK: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: Ipv4Net,
    pub link: u32,
    pub gateway: Option<Ipv4Addr>,
    /// The source that the host's own packets get.
    pub source: Option<Ipv4Addr>,
    /// 0 is the best. Doubles as the owner's mark on routes between nodes.
    pub metric: u32,
}

/// How the kernel would send a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteReply {
    pub link: u32,
    pub gateway: Option<Ipv4Addr>,
    pub source: Option<Ipv4Addr>,
    /// The address is this host's own.
    pub local: bool,
}

/// `struct rtmsg`.
fn header(prefix: u8, table: u8, scope: u8, kind: u8, flags: u32) -> [u8; 12] {
    let mut bytes = [libc::AF_INET as u8, prefix, 0, 0, table, PROTOCOL_STATIC, scope, kind, 0, 0, 0, 0];
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

impl Changes {
    pub fn replace_route(&mut self, route: &Route) -> &mut Self {
        self.route("cannot set the route", NEW_ROUTE, ACK | CREATE | REPLACE, route)
    }

    pub fn delete_route(&mut self, route: &Route) -> &mut Self {
        self.route("cannot delete the route", DELETE_ROUTE, ACK, route)
    }

    fn route(&mut self, what: &'static str, kind: u16, flags: u16, route: &Route) -> &mut Self {
        let (scope, on_link) = if route.gateway.is_some() { (SCOPE_UNIVERSE, ON_LINK) } else { (SCOPE_LINK, 0) };
        let header = header(route.destination.prefix(), TABLE_MAIN, scope, TYPE_UNICAST, on_link);
        self.0.push(what, kind, flags, &header, |attributes| {
            if route.destination.prefix() > 0 {
                attributes.bytes(ATTR_DESTINATION, &route.destination.address().octets());
            }
            attributes.u32(ATTR_LINK, route.link);
            if let Some(gateway) = route.gateway {
                attributes.bytes(ATTR_GATEWAY, &gateway.octets());
            }
            if let Some(source) = route.source {
                attributes.bytes(ATTR_SOURCE, &source.octets());
            }
            if route.metric > 0 {
                attributes.u32(ATTR_PRIORITY, route.metric);
            }
        });
        self
    }
}

impl Rtnetlink {
    /// The main table's unicast routes.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut messages = Messages::default();
        messages.push("cannot list routes", GET_ROUTE, DUMP, &header(0, 0, 0, 0, 0), |_| {});
        let mut routes = Vec::new();
        self.0.query(&messages, |payload| routes.extend(parse(payload)))?;
        Ok(routes)
    }

    pub fn route_to(&mut self, address: Ipv4Addr) -> Result<RouteReply, Error> {
        let mut messages = Messages::default();
        messages.push("cannot look a route up", GET_ROUTE, ACK, &header(32, 0, 0, 0, 0), |attributes| {
            attributes.bytes(ATTR_DESTINATION, &address.octets());
        });
        let mut reply = None;
        self.0.query(&messages, |payload| {
            if let Some((head, attributes)) = payload.split_first_chunk::<12>() {
                let attributes = Parsed(attributes);
                reply = Some(RouteReply {
                    link: attributes.u32(ATTR_LINK).unwrap_or(0),
                    gateway: attributes.ipv4(ATTR_GATEWAY),
                    source: attributes.ipv4(ATTR_SOURCE),
                    local: head[7] == TYPE_LOCAL,
                });
            }
        })?;
        reply.ok_or(Error::Truncated)
    }
}

fn parse(payload: &[u8]) -> Option<Route> {
    let (head, attributes) = payload.split_first_chunk::<12>()?;
    let attributes = Parsed(attributes);
    let table = attributes.u32(ATTR_TABLE).unwrap_or_else(|| u32::from(head[4]));
    if table != u32::from(TABLE_MAIN) || head[7] != TYPE_UNICAST {
        return None;
    }
    let destination = attributes.ipv4(ATTR_DESTINATION).unwrap_or(Ipv4Addr::UNSPECIFIED);
    Some(Route {
        destination: Ipv4Net::new(destination, head[1])?,
        link: attributes.u32(ATTR_LINK)?,
        gateway: attributes.ipv4(ATTR_GATEWAY),
        source: attributes.ipv4(ATTR_SOURCE),
        metric: attributes.u32(ATTR_PRIORITY).unwrap_or(0),
    })
}
