//! The table: maps from fronts to chains and from fronts and a number to endpoints. No chain per
//! service: a chain serves all services of one kind with the same count of endpoints.
//!
//! A packet to a front looks up its chain, which draws a number below the count and looks up the
//! endpoint. So a service costs map entries only, and replacing an endpoint changes one of them.

use crate::plan::{Backend, Endpoint, Front, Masquerade, Place};
use std::net::Ipv4Addr;
use std::time::Duration;
use sys::net::Ipv4Net;
use sys::net::nftables::{
    Batch, Chain, ChainKind, Element, Expression, Hook, Key, MapData, NatKind, Register, Set, Table, Type, Verdict,
    rule,
};

/// The bit of the packet mark that asks for masquerade: upstream's default.
const MASQUERADE_MARK: u32 = 1 << 14;
/// Where the entries of fronts seen from inside begin: others may have the same key.
const INSIDE_OFFSET: u32 = 1 << 16;
pub(crate) const HAIRPIN: &str = "hairpin";
const REFUSE: &str = "refuse";
const NODE_PORTS: &str = "node-ports";
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;
const FILTER: i32 = 0;

/// The maps of one sort of place.
pub(crate) struct Maps {
    pub fronts: &'static str,
    pub inside: &'static str,
    pub refused: &'static str,
    pub endpoints: &'static str,
    pub affine: &'static str,
    pub affinity: &'static str,
}

const ADDRESS_MAPS: Maps = Maps {
    fronts: "services",
    inside: "services-inside",
    refused: "services-refused",
    endpoints: "endpoints",
    affine: "services-with-affinity",
    affinity: "affinity",
};

const NODE_MAPS: Maps = Maps {
    fronts: "nodeports",
    inside: "nodeports-inside",
    refused: "nodeports-refused",
    endpoints: "nodeport-endpoints",
    affine: "nodeports-with-affinity",
    affinity: "nodeport-affinity",
};

/// The maps of clients with affinity.
pub(crate) const MEMORIES: [&str; 2] = [ADDRESS_MAPS.affinity, NODE_MAPS.affinity];

const ADDRESS_KEY: &[Type] = &[Type::Ipv4, Type::Protocol, Type::Port];
const NODE_KEY: &[Type] = &[Type::Protocol, Type::Port];
const TARGET: MapData<'static> = MapData::Types(&[Type::Ipv4, Type::Port]);

/// What a chain for endpoints does; there is one for each that any front needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pick {
    node: bool,
    inside: bool,
    masquerade: Masquerade,
    affinity: Option<u32>,
    count: u32,
}

impl Pick {
    /// None: the front leads to no endpoint.
    pub fn of(front: &Front, backend: &Backend) -> Option<Self> {
        let Backend::Endpoints { masquerade, affinity, endpoints } = backend else { return None };
        Some(Pick {
            node: front.place == Place::Node,
            inside: front.inside,
            masquerade: *masquerade,
            affinity: *affinity,
            count: endpoints.len() as u32,
        })
    }

    /// Where there is a front for the inside too, that one sees to both fronts' clients.
    fn remember(&self) -> Option<Common> {
        let seconds = self.affinity.filter(|_| self.masquerade != Masquerade::Nobody)?;
        Some(Common::Remember { node: self.node, seconds })
    }

    pub fn chain(&self) -> String {
        let place = if self.node { "node" } else { "service" };
        let inside = if self.inside { "-inside" } else { "" };
        let masquerade = match self.masquerade {
            Masquerade::Foreign => "",
            Masquerade::Everyone => "-masquerade",
            Masquerade::Nobody => "-direct",
        };
        let affinity = self.affinity.map(|seconds| format!("-{seconds}s")).unwrap_or_default();
        format!("{place}{inside}{masquerade}{affinity}-{}", self.count)
    }

    fn write(&self, batch: &mut Batch, table: &Table, cluster: Ipv4Net) {
        let chain = self.chain();
        batch.add_chain(table, Chain { name: &chain, hook: None });
        let mut mark = match self.masquerade {
            Masquerade::Foreign => rule::source_outside(cluster),
            Masquerade::Everyone | Masquerade::Nobody => vec![],
        };
        mark.extend(rule::set_mark(MASQUERADE_MARK));
        if self.masquerade != Masquerade::Nobody {
            batch.add_rule(table, &chain, &mark);
        }
        if self.affinity.is_some() {
            // A client that was here before goes where it went.
            let mut again = vec![rule::source(CLIENT)];
            again.extend(front_key(self.node, KEY));
            again.push(Expression::Map { map: maps(self.node).affinity.into(), key: CLIENT, to: FOUND });
            again.push(TRANSLATE);
            batch.add_rule(table, &chain, &again);
        }
        batch.add_rule(table, &chain, &self.draw(self.count));
        // The kernel takes each look-up's newest state: a packet that drew an endpoint which went this
        // very moment gets the first one, which is there as long as any is.
        if self.count > 1 {
            batch.add_rule(table, &chain, &self.draw(1));
        }
    }
}

impl Pick {
    /// Goes to one of the front's first endpoints, so many of them.
    fn draw(&self, modulus: u32) -> Vec<Expression> {
        let mut draw = front_key(self.node, KEY);
        let last = Register(KEY.0 + draw.len() as u8);
        let offset = if self.inside { INSIDE_OFFSET } else { 0 };
        draw.push(Expression::Random { modulus, offset, to: last });
        draw.push(Expression::Map { map: maps(self.node).endpoints.into(), key: KEY, to: FOUND });
        draw.push(TRANSLATE);
        draw
    }
}

fn maps(node: bool) -> &'static Maps {
    if node { &NODE_MAPS } else { &ADDRESS_MAPS }
}

/// A chain that several fronts share. It stands as long as one of them needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Common {
    Pick(Pick),
    /// Notes where a client with affinity went, after the translation: only there does a rule that
    /// nft(8) can print know both the service and the endpoint.
    Remember {
        node: bool,
        seconds: u32,
    },
}

impl Common {
    /// The chains that a front needs.
    pub fn of(front: &Front, backend: &Backend) -> Vec<Common> {
        let Some(pick) = Pick::of(front, backend) else { return vec![] };
        let mut chains = vec![Common::Pick(pick)];
        chains.extend(pick.remember());
        chains
    }

    pub fn chain(&self) -> String {
        match self {
            Common::Pick(pick) => pick.chain(),
            Common::Remember { node: false, seconds } => format!("remember-service-{seconds}s"),
            Common::Remember { node: true, seconds } => format!("remember-node-{seconds}s"),
        }
    }

    pub fn write(&self, batch: &mut Batch, table: &Table, cluster: Ipv4Net) {
        let (node, seconds) = match self {
            Common::Pick(pick) => return pick.write(batch, table, cluster),
            Common::Remember { node, seconds } => (*node, *seconds),
        };
        let chain = self.chain();
        batch.add_chain(table, Chain { name: &chain, hook: None });
        let mut note = vec![rule::source(CLIENT)];
        note.extend(original_key(node, KEY));
        note.extend([rule::destination(FOUND), rule::destination_port(FOUND_PORT)]);
        let timeout = Duration::from_secs(u64::from(seconds));
        note.push(Expression::Update { map: maps(node).affinity.into(), key: CLIENT, value: FOUND, timeout });
        batch.add_rule(table, &chain, &note);
    }
}

const CLIENT: Register = Register(0);
const KEY: Register = Register(1);
const FOUND: Register = Register(8);
const FOUND_PORT: Register = Register(9);
const TRANSLATE: Expression = Expression::Nat { kind: NatKind::Destination, address: FOUND, port: Some(FOUND_PORT) };

fn front_key(node: bool, first: Register) -> Vec<Expression> {
    let after = |count: u8| Register(first.0 + count);
    if node {
        vec![rule::protocol(first), rule::destination_port(after(1))]
    } else {
        vec![rule::destination(first), rule::protocol(after(1)), rule::destination_port(after(2))]
    }
}

/// The same key of a packet that has been translated.
fn original_key(node: bool, first: Register) -> Vec<Expression> {
    let after = |count: u8| Register(first.0 + count);
    if node {
        vec![rule::protocol(first), Expression::CtOriginalPort { to: after(1) }]
    } else {
        vec![
            Expression::CtOriginalAddress { to: first },
            rule::protocol(after(1)),
            Expression::CtOriginalPort { to: after(2) },
        ]
    }
}

/// A front's entries: the name of each map, and the entry.
pub(crate) fn elements(front: &Front, backend: &Backend) -> Vec<(&'static str, Element)> {
    let maps = maps(front.place == Place::Node);
    let key = key(front);
    let Some(pick) = Pick::of(front, backend) else {
        // The front that others see has the same key and says as much.
        if front.inside {
            return vec![];
        }
        let verdict = if *backend == Backend::Drop { Verdict::Drop } else { Verdict::Goto(REFUSE.into()) };
        return vec![(maps.refused, Element::verdict(key, verdict))];
    };
    let map = if front.inside { maps.inside } else { maps.fronts };
    let mut elements = vec![(map, Element::verdict(key, Verdict::Goto(pick.chain())))];
    let Backend::Endpoints { endpoints, .. } = backend else { return elements };
    let offset = if front.inside { INSIDE_OFFSET } else { 0 };
    for (index, endpoint) in endpoints.iter().enumerate() {
        elements.push((maps.endpoints, Element::map(key.mark(offset + index as u32), target(endpoint))));
    }
    if let Some(remember) = pick.remember() {
        elements.push((maps.affine, Element::verdict(key, Verdict::Goto(remember.chain()))));
    }
    elements
}

pub(crate) fn key(front: &Front) -> Key {
    let start = match front.place {
        Place::Address(address) => Key::new().ipv4(address),
        Place::Node => Key::new(),
    };
    start.protocol(front.protocol).port(front.port)
}

pub(crate) fn target(endpoint: &Endpoint) -> Key {
    Key::new().ipv4(endpoint.address).port(endpoint.port)
}

/// The entry for an endpoint on this node, which may reach itself through a service.
pub(crate) fn hairpin(address: Ipv4Addr) -> Key {
    Key::new().ipv4(address).ipv4(address)
}

/// The table without any service, in place of the one that stands.
pub(crate) fn skeleton(batch: &mut Batch, table: &Table, cluster: Ipv4Net, services: Ipv4Net) {
    batch.remove_table(table).add_table(table);
    for (maps, key) in [(&ADDRESS_MAPS, ADDRESS_KEY), (&NODE_MAPS, NODE_KEY)] {
        add_maps(batch, table, maps, key);
    }
    let pair = &[Type::Ipv4, Type::Ipv4];
    batch.add_set(table, Set { name: HAIRPIN, key: pair, data: MapData::None, dynamic: false });
    batch.add_chain(table, Chain { name: REFUSE, hook: None });
    // The kernel sends no ICMP for what goes out through loopback, as the host's own packets to an
    // unknown service do; a reset it sends always.
    let mut tcp = rule::is_tcp();
    tcp.push(Expression::Reset);
    batch.add_rule(table, REFUSE, &tcp);
    batch.add_rule(table, REFUSE, &[Expression::Reject]);
    translate(batch, table, cluster);
    masquerade(batch, table);
    remember(batch, table);
    refuse(batch, table, services);
}

fn add_maps(batch: &mut Batch, table: &Table, maps: &Maps, key: &[Type]) {
    for name in [maps.fronts, maps.inside, maps.refused, maps.affine] {
        batch.add_set(table, Set { name, key, data: MapData::Verdict, dynamic: false });
    }
    let numbered = [key, &[Type::Mark]].concat();
    batch.add_set(table, Set { name: maps.endpoints, key: &numbered, data: TARGET, dynamic: false });
    let client = [&[Type::Ipv4], key].concat();
    batch.add_set(table, Set { name: maps.affinity, key: &client, data: TARGET, dynamic: true });
}

fn look_up(mut matches: Vec<Expression>, node: bool, map: &str) -> Vec<Expression> {
    matches.extend(front_key(node, KEY));
    matches.push(Expression::VerdictMap { map: map.to_owned(), key: KEY });
    matches
}

fn translate(batch: &mut Batch, table: &Table, cluster: Ipv4Net) {
    for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
        let node_ports = format!("{NODE_PORTS}-{name}");
        batch.add_chain(table, Chain { name: &node_ports, hook: None });
        batch.add_chain(table, Chain { name, hook: Some((ChainKind::Nat, hook, DESTINATION_NAT)) });
        // What the node itself sends is inside whatever its source is.
        let inside = || if hook == Hook::Output { vec![] } else { rule::source_in(cluster) };
        batch.add_rule(table, name, &look_up(inside(), false, ADDRESS_MAPS.inside));
        batch.add_rule(table, name, &look_up(vec![], false, ADDRESS_MAPS.fronts));
        let mut to_node = rule::destination_is_local(true);
        to_node.extend(rule::destination_outside(Ipv4Net::LOOPBACK));
        to_node.push(Expression::jump(&node_ports));
        batch.add_rule(table, name, &to_node);
        batch.add_rule(table, &node_ports, &look_up(inside(), true, NODE_MAPS.inside));
        batch.add_rule(table, &node_ports, &look_up(vec![], true, NODE_MAPS.fronts));
    }
}

fn masquerade(batch: &mut Batch, table: &Table) {
    let name = "postrouting";
    batch.add_chain(table, Chain { name, hook: Some((ChainKind::Nat, Hook::Postrouting, SOURCE_NAT)) });
    let mut marked = rule::marked(MASQUERADE_MARK);
    marked.extend(rule::clear_mark(MASQUERADE_MARK));
    marked.push(Expression::Masquerade);
    batch.add_rule(table, name, &marked);
    // A pod that reaches itself through a service would answer itself directly.
    let hairpin = [
        rule::source(CLIENT),
        rule::destination(KEY),
        Expression::Member { set: HAIRPIN.into(), key: CLIENT, inverted: false },
        Expression::Masquerade,
    ];
    batch.add_rule(table, name, &hairpin);
}

/// Before the source is translated: the client is still to be seen.
fn remember(batch: &mut Batch, table: &Table) {
    for (name, hook) in [("remember-input", Hook::Input), ("remember-postrouting", Hook::Postrouting)] {
        batch.add_chain(table, Chain { name, hook: Some((ChainKind::Filter, hook, FILTER)) });
        for node in [false, true] {
            let mut matches = rule::connection_is_new();
            matches.extend(rule::connection_is_translated());
            matches.extend(original_key(node, KEY));
            matches.push(Expression::VerdictMap { map: maps(node).affine.into(), key: KEY });
            batch.add_rule(table, name, &matches);
        }
    }
}

/// Packets to fronts without endpoints, and to addresses of the service network that are nobody's.
fn refuse(batch: &mut Batch, table: &Table, services: Ipv4Net) {
    for (name, hook) in
        [("refuse-input", Hook::Input), ("refuse-forward", Hook::Forward), ("refuse-output", Hook::Output)]
    {
        batch.add_chain(table, Chain { name, hook: Some((ChainKind::Filter, hook, FILTER)) });
        batch.add_rule(table, name, &look_up(rule::connection_is_new(), false, ADDRESS_MAPS.refused));
        if hook != Hook::Forward {
            let mut to_node = rule::connection_is_new();
            to_node.extend(rule::destination_is_local(true));
            to_node.extend(rule::destination_outside(Ipv4Net::LOOPBACK));
            batch.add_rule(table, name, &look_up(to_node, true, NODE_MAPS.refused));
        }
        if hook != Hook::Input {
            let mut unknown = rule::destination_in(services);
            unknown.extend(rule::connection_is_new());
            unknown.extend(rule::destination_is_local(false));
            unknown.push(Expression::goto(REFUSE));
            batch.add_rule(table, name, &unknown);
        }
    }
}
