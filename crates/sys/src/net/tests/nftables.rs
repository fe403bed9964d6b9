//! Batches and listings; nft(8), where there is one, must print them.

use super::super::Error;
use super::super::nftables::*;
use super::namespace;
use std::net::Ipv4Addr;
use std::time::Duration;

fn table() -> Table {
    Table::of_instance("test", "kt1")
}

fn services() -> Set<'static> {
    Set { name: "services", key: &[Type::Ipv4, Type::Protocol, Type::Port], data: MapData::Verdict, dynamic: false }
}

/// A layout with one of everything that Kutter's rooms use.
fn everything() -> Batch {
    const KEY: &[Type] = &[Type::Ipv4, Type::Protocol, Type::Port, Type::Mark];
    let table = table();
    let mut batch = Batch::new();
    batch.remove_table(&table).add_table(&table);
    batch.add_set(&table, services());
    batch.add_set(
        &table,
        Set { name: "endpoints", key: KEY, data: MapData::Types(&[Type::Ipv4, Type::Port]), dynamic: false },
    );
    let client = &[Type::Ipv4, Type::Ipv4, Type::Protocol, Type::Port];
    batch.add_set(&table, Set { name: "affinity", key: client, data: MapData::Types(&[Type::Mark]), dynamic: true });
    batch.add_set(&table, Set { name: "hairpin", key: &[Type::Ipv4, Type::Ipv4], data: MapData::None, dynamic: false });
    batch.add_chain(&table, Chain { name: "c2", hook: None });
    batch.add_chain(&table, Chain { name: "prerouting", hook: Some((ChainKind::Nat, Hook::Prerouting, -100)) });
    batch.add_chain(&table, Chain { name: "postrouting", hook: Some((ChainKind::Nat, Hook::Postrouting, 100)) });
    batch.add_chain(&table, Chain { name: "forward", hook: Some((ChainKind::Filter, Hook::Forward, 0)) });
    let r = Register;
    let mut mark = rule::source_outside("10.244.0.0/16".parse().unwrap());
    mark.extend(rule::set_mark(0x4000));
    batch.add_rule(&table, "c2", &mark);
    let key = [rule::destination(r(0)), rule::protocol(r(1)), rule::destination_port(r(2))];
    let mut pick = key.to_vec();
    pick.extend([
        Expression::Random { modulus: 2, offset: 0, to: r(3) },
        Expression::Map { map: "endpoints".into(), key: r(0), to: r(0) },
        Expression::Nat { kind: NatKind::Destination, address: r(0), port: Some(r(1)) },
    ]);
    batch.add_rule(&table, "c2", &pick);
    let mut dispatch = key.to_vec();
    dispatch.push(Expression::VerdictMap { map: "services".into(), key: r(0) });
    batch.add_rule(&table, "prerouting", &dispatch);
    let mut remember =
        vec![rule::source(r(0)), rule::destination(r(1)), rule::protocol(r(2)), rule::destination_port(r(3))];
    remember.push(Expression::Immediate { to: r(4), value: 7u32.to_ne_bytes().to_vec() });
    remember.push(Expression::Update {
        map: "affinity".into(),
        key: r(0),
        value: r(4),
        timeout: Duration::from_secs(10800),
    });
    batch.add_rule(&table, "prerouting", &remember);
    let mut local = rule::destination_is_local(true);
    local.extend([rule::address(r(0), Ipv4Addr::UNSPECIFIED), rule::protocol(r(1)), rule::destination_port(r(2))]);
    local.push(Expression::VerdictMap { map: "services".into(), key: r(0) });
    batch.add_rule(&table, "prerouting", &local);
    let mut hairpin = vec![rule::source(r(0)), rule::destination(r(1))];
    hairpin.push(Expression::Member { set: "hairpin".into(), key: r(0), inverted: false });
    hairpin.push(Expression::Masquerade);
    batch.add_rule(&table, "postrouting", &hairpin);
    let mut marked = rule::marked(0x4000);
    marked.extend(rule::clear_mark(0x4000));
    marked.push(Expression::Masquerade);
    batch.add_rule(&table, "postrouting", &marked);
    let mut refuse = rule::connection_is_new();
    refuse.extend([Expression::Counter, Expression::Reject]);
    batch.add_rule(&table, "forward", &refuse);
    let mut accept = rule::input_starts_with("kv");
    accept.push(Expression::Verdict(Verdict::Accept));
    batch.insert_rule(&table, "forward", &accept, "ours");
    batch
}

fn key(last: u8) -> Key {
    Key::new().ipv4(Ipv4Addr::new(10, 96, 0, last)).protocol(6).port(80)
}

#[test]
fn the_kernel_takes_the_layout_and_nft_prints_it() {
    namespace()
        .run(|| {
            let mut nft = Nftables::open().unwrap();
            let mut batch = everything();
            batch.add_elements(&table(), "services", &[Element::verdict(key(1), Verdict::Goto("c2".into()))]);
            let endpoints: Vec<_> = (0..2)
                .map(|index| {
                    let pod = Key::new().ipv4(Ipv4Addr::new(10, 244, 0, 2 + index)).port(8080);
                    Element::map(key(1).mark(u32::from(index)), pod)
                })
                .collect();
            batch.add_elements(&table(), "endpoints", &endpoints);
            let pod = Ipv4Addr::new(10, 244, 0, 2);
            batch.add_elements(&table(), "hairpin", &[Element::member(Key::new().ipv4(pod).ipv4(pod))]);
            nft.commit(batch).unwrap();
            // nft(8) is not needed to run Kutter; where there is one, it must be able to print our tables.
            let Ok(printed) = std::process::Command::new("nft").args(["list", "ruleset"]).output() else { return };
            let text = String::from_utf8_lossy(&printed.stdout);
            assert!(printed.status.success(), "{text}{}", String::from_utf8_lossy(&printed.stderr));
            for part in [
                "ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000",
                "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @endpoints",
                "10.96.0.1 . tcp . 80 : goto c2",
                "10.96.0.1 . tcp . 80 . 0x00000001 : 10.244.0.3 . 8080",
                "fib daddr type local",
                "ip saddr . ip daddr @hairpin masquerade",
                "comment \"ours\"",
                "reject",
            ] {
                assert!(text.contains(part), "no {part:?} in:\n{text}");
            }
        })
        .unwrap();
}

#[test]
fn a_batch_happens_as_a_whole_or_not_at_all() {
    namespace()
        .run(|| {
            let mut nft = Nftables::open().unwrap();
            nft.commit(everything()).unwrap();
            let good = Element::verdict(key(1), Verdict::Goto("c2".into()));
            let mut batch = Batch::new();
            batch.add_elements(&table(), "services", std::slice::from_ref(&good));
            batch.add_elements(&table(), "services", &[Element::verdict(key(2), Verdict::Goto("nowhere".into()))]);
            let error = nft.commit(batch).unwrap_err();
            assert!(error.is_absent() && error.to_string().contains("nftables set"), "{error}");
            assert_eq!(nft.count_elements(&table(), "services").unwrap(), 0);

            let mut batch = Batch::new();
            batch.add_elements(&table(), "services", std::slice::from_ref(&good));
            nft.commit(batch).unwrap();
            let mut replace = Batch::new();
            replace.delete_elements(&table(), "services", std::slice::from_ref(&good));
            replace.add_elements(&table(), "services", &[Element::verdict(key(1), Verdict::Drop)]);
            nft.commit(replace).unwrap();
            assert_eq!(nft.count_elements(&table(), "services").unwrap(), 1);
            nft.commit(Batch::new()).unwrap();
        })
        .unwrap();
}

#[test]
fn tables_chains_and_rules_are_found_and_removed() {
    namespace()
        .run(|| {
            let mut nft = Nftables::open().unwrap();
            assert_eq!(nft.table(&table()).unwrap(), None);
            nft.commit(everything()).unwrap();
            let first = nft.table(&table()).unwrap().unwrap();
            let chains = nft.chains().unwrap();
            let forward = chains.iter().find(|chain| chain.name == "forward").unwrap();
            assert_eq!((forward.hook, forward.drops_by_default), (Some(2), false));
            let ours = nft.rules(&table(), "forward").unwrap();
            assert_eq!(ours.iter().map(|rule| rule.comment.as_str()).collect::<Vec<_>>(), ["ours", ""]);
            let mut batch = Batch::new();
            batch.delete_rule(&table(), "forward", ours[0].handle);
            nft.commit(batch).unwrap();
            assert_eq!(nft.rules(&table(), "forward").unwrap().len(), 1);
            nft.commit(everything()).unwrap();
            assert_ne!(nft.table(&table()).unwrap(), Some(first), "made anew");
            let mut batch = Batch::new();
            batch.remove_table(&table());
            nft.commit(batch).unwrap();
            assert_eq!(nft.table(&table()).unwrap(), None);
            assert!(
                matches!(nft.rules(&table(), "forward"), Ok(rules) if rules.is_empty()) || {
                    matches!(nft.rules(&table(), "forward"), Err(Error::Refused { .. }))
                }
            );
        })
        .unwrap();
}

#[test]
fn ten_thousand_services_fit_into_one_batch() {
    namespace()
        .run(|| {
            let mut nft = Nftables::open().unwrap();
            let mut batch = everything();
            let keys: Vec<_> =
                (0..10_000u32).map(|n| Key::new().ipv4((0x0a60_0000 + n).into()).protocol(6).port(80)).collect();
            let verdicts: Vec<_> = keys.iter().map(|key| Element::verdict(*key, Verdict::Goto("c2".into()))).collect();
            let endpoints: Vec<_> = keys
                .iter()
                .flat_map(|key| (0..2).map(|index| Element::map(key.mark(index), Key::new().mark(0).port(80))))
                .collect();
            batch.add_elements(&table(), "services", &verdicts);
            batch.add_elements(&table(), "endpoints", &endpoints);
            nft.commit(batch).unwrap();
            assert_eq!(nft.count_elements(&table(), "services").unwrap(), 10_000);
            assert_eq!(nft.count_elements(&table(), "endpoints").unwrap(), 20_000);
        })
        .unwrap();
}
