//! The network's nftables table: masquerade towards the world, host ports.

use crate::ports::Entry;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use sys::net::Ipv4Net;
use sys::net::nftables::{
    Batch, Chain, ChainKind, Element, Expression, Hook, Key, MapData, NatKind, Register, Set, Table, Type, Verdict,
    rule,
};

/// Ports of all addresses of the node, and ports of one.
const PORTS: &str = "ports";
const ADDRESSED_PORTS: &str = "addressed-ports";
/// Pods that reach themselves through a host port.
const HAIRPIN: &str = "hairpin";
const HOST_PORTS: &str = "host-ports";
/// Before connection tracking, which turns answers to loopback sources back into such.
const FIRST: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;

pub(crate) type Ports = BTreeMap<Entry, (Ipv4Addr, u16)>;

pub(crate) fn table(instance: &str) -> Table {
    Table::of_instance("pods", instance)
}

/// The whole table, in place of the one that stands. The names of the pods' links start with
/// `links`.
pub(crate) fn build(table: &Table, links: &str, pods: Ipv4Net, cluster: Ipv4Net, ports: &Ports) -> Batch {
    let mut batch = Batch::new();
    batch.remove_table(table).add_table(table);
    let target = MapData::Types(&[Type::Ipv4, Type::Port]);
    batch.add_set(table, Set { name: PORTS, key: &[Type::Protocol, Type::Port], data: target, dynamic: false });
    let key = &[Type::Ipv4, Type::Protocol, Type::Port];
    batch.add_set(table, Set { name: ADDRESSED_PORTS, key, data: target, dynamic: false });
    let key = &[Type::Ipv4, Type::Ipv4];
    batch.add_set(table, Set { name: HAIRPIN, key, data: MapData::None, dynamic: false });
    batch.add_chain(table, Chain { name: HOST_PORTS, hook: None });
    for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
        batch.add_chain(table, Chain { name, hook: Some((ChainKind::Nat, hook, DESTINATION_NAT)) });
        let mut local = rule::destination_is_local(true);
        local.push(Expression::jump(HOST_PORTS));
        batch.add_rule(table, name, &local);
    }
    guard_loopback(&mut batch, table, links);
    host_ports(&mut batch, table);
    let hook = Some((ChainKind::Nat, Hook::Postrouting, SOURCE_NAT));
    batch.add_chain(table, Chain { name: "postrouting", hook });
    masquerade(&mut batch, table, pods, cluster);
    change_ports(&mut batch, table, &Ports::new(), ports);
    batch
}

/// Links of pods with host ports let loopback addresses through (`reconcile::open_loopback`); a pod
/// must not reach the host's own loopback that way.
fn guard_loopback(batch: &mut Batch, table: &Table, links: &str) {
    batch.add_chain(table, Chain { name: "guard", hook: Some((ChainKind::Filter, Hook::Prerouting, FIRST)) });
    for loopback in [rule::destination_in(Ipv4Net::LOOPBACK), rule::source_in(Ipv4Net::LOOPBACK)] {
        let mut intruder = rule::input_starts_with(links);
        intruder.extend(loopback);
        intruder.push(Expression::Verdict(Verdict::Drop));
        batch.add_rule(table, "guard", &intruder);
    }
}

fn host_ports(batch: &mut Batch, table: &Table) {
    let r = Register;
    let translate = Expression::Nat { kind: NatKind::Destination, address: r(0), port: Some(r(1)) };
    let addressed = [
        rule::destination(r(0)),
        rule::protocol(r(1)),
        rule::destination_port(r(2)),
        Expression::Map { map: ADDRESSED_PORTS.into(), key: r(0), to: r(0) },
        translate.clone(),
    ];
    batch.add_rule(table, HOST_PORTS, &addressed);
    let any = [
        rule::protocol(r(0)),
        rule::destination_port(r(1)),
        Expression::Map { map: PORTS.into(), key: r(0), to: r(0) },
        translate,
    ];
    batch.add_rule(table, HOST_PORTS, &any);
}

fn masquerade(batch: &mut Batch, table: &Table, pods: Ipv4Net, cluster: Ipv4Net) {
    let hairpin = [
        rule::source(Register(0)),
        rule::destination(Register(1)),
        Expression::Member { set: HAIRPIN.into(), key: Register(0), inverted: false },
        Expression::Masquerade,
    ];
    batch.add_rule(table, "postrouting", &hairpin);
    // The node's own 127.0.0.1 means nothing to a pod.
    let mut from_loopback = rule::source_in(Ipv4Net::LOOPBACK);
    from_loopback.extend(rule::destination_in(pods));
    from_loopback.push(Expression::Masquerade);
    batch.add_rule(table, "postrouting", &from_loopback);
    let mut leaving = rule::source_in(pods);
    leaving.extend(rule::destination_outside(cluster));
    leaving.extend(rule::destination_outside(Ipv4Net::MULTICAST));
    leaving.push(Expression::Masquerade);
    batch.add_rule(table, "postrouting", &leaving);
}

/// Turns the old ports into the new ones.
pub(crate) fn change_ports(batch: &mut Batch, table: &Table, old: &Ports, new: &Ports) {
    for addressed in [false, true] {
        let differing = |of: &Ports, from: &Ports| -> Vec<Element> {
            let entries = of.iter().filter(|(entry, target)| from.get(*entry) != Some(*target));
            entries.filter(|(entry, _)| entry.address.is_some() == addressed).map(element).collect()
        };
        let map = if addressed { ADDRESSED_PORTS } else { PORTS };
        batch.delete_elements(table, map, &differing(old, new));
        batch.add_elements(table, map, &differing(new, old));
    }
    let pods = |ports: &Ports| ports.values().map(|(pod, _)| *pod).collect::<std::collections::BTreeSet<_>>();
    let (old, new) = (pods(old), pods(new));
    let members = |of: Vec<&Ipv4Addr>| -> Vec<Element> {
        of.into_iter().map(|pod| Element::member(Key::new().ipv4(*pod).ipv4(*pod))).collect()
    };
    batch.delete_elements(table, HAIRPIN, &members(old.difference(&new).collect()));
    batch.add_elements(table, HAIRPIN, &members(new.difference(&old).collect()));
}

fn element((entry, (pod, port)): (&Entry, &(Ipv4Addr, u16))) -> Element {
    let key = entry.address.map_or(Key::new(), |address| Key::new().ipv4(address));
    Element::map(key.protocol(entry.protocol).port(entry.port), Key::new().ipv4(*pod).port(*port))
}
