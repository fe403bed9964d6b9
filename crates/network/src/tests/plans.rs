//! Addresses, paths and ports: what is decided without the kernel.

use crate::addresses::Addresses;
use crate::nodes::{self, Node, Path};
use crate::ports::{self, Entry, PodPorts};
use client::Projection;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use sys::pod_network::PodNetworkError;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn addresses(folder: &std::path::Path, network: &str) -> Addresses {
    let mut addresses = Addresses::load(folder.join("addresses")).unwrap();
    addresses.use_network(network.parse().unwrap());
    addresses
}

#[test]
fn addresses_skip_the_reserved_ones_and_come_back_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut addresses = addresses(folder.path(), "10.244.7.0/29");
    let mut take = |sandbox: &str| addresses.take(sandbox).map(|address| address.to_string());
    assert_eq!(take("a").unwrap(), "10.244.7.2");
    assert_eq!(take("b").unwrap(), "10.244.7.3");
    assert_eq!(take("a").unwrap(), "10.244.7.2", "the same sandbox, the same address");
    addresses.release("a");
    addresses.release("a");
    let rest: Vec<_> = ["c", "d", "e", "f"].iter().map(|sandbox| addresses.take(sandbox).unwrap()).collect();
    assert_eq!(rest, [ip("10.244.7.4"), ip("10.244.7.5"), ip("10.244.7.6"), ip("10.244.7.2")]);
    let full = addresses.take("g").unwrap_err();
    assert_eq!(full.to_string(), "no pod address is free in 10.244.7.0/29");
    assert_eq!(addresses.gateway(), Some(ip("10.244.7.1")));
}

#[test]
fn addresses_survive_a_restart_until_the_kubelet_says_who_lives() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = addresses(folder.path(), "10.244.7.0/24");
    for sandbox in ["a", "b", "c"] {
        before.take(sandbox).unwrap();
    }
    drop(before);
    let mut after = addresses(folder.path(), "10.244.7.0/24");
    assert_eq!(after.find("b"), Some(ip("10.244.7.3")));
    assert_eq!(after.take("d").unwrap(), ip("10.244.7.5"));
    after.restore(BTreeMap::from([(ip("10.244.7.3"), "b".to_owned()), (ip("10.244.7.9"), "x".to_owned())]));
    assert!(!after.holds(ip("10.244.7.2")) && after.holds(ip("10.244.7.9")));
    let again = Addresses::load(folder.path().join("addresses")).unwrap();
    assert_eq!((again.find("x"), again.find("a")), (Some(ip("10.244.7.9")), None));
}

#[test]
fn without_a_network_nothing_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut addresses = Addresses::load(folder.path().join("addresses")).unwrap();
    assert!(matches!(addresses.take("a"), Err(PodNetworkError::NotReady)));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Addresses::load(file.join("addresses")).is_err(), "a folder that cannot be made");
}

#[test]
fn other_nodes_are_reached_over_their_link_or_the_tunnel() {
    let node = |pods: &str, address: &str| Node { pods: pods.parse().ok(), address: address.parse().ok() };
    let nodes = BTreeMap::from([
        ("own".to_owned(), node("10.244.0.0/24", "192.0.2.1")),
        ("near".to_owned(), node("10.244.1.0/24", "192.0.2.2")),
        ("far".to_owned(), node("10.244.2.0/24", "198.51.100.3")),
        ("new".to_owned(), node("", "192.0.2.4")),
        ("unaddressed".to_owned(), node("10.244.5.0/24", "")),
        ("twin".to_owned(), node("10.244.6.0/24", "192.0.2.1")),
    ]);
    let paths = nodes::plan("own", &nodes, |address| (address == ip("192.0.2.2")).then_some(7));
    let expected = BTreeMap::from([
        ("10.244.1.0/24".parse().unwrap(), Path::Link { link: 7, node: ip("192.0.2.2") }),
        ("10.244.2.0/24".parse().unwrap(), Path::Tunnel { node: ip("198.51.100.3") }),
    ]);
    assert_eq!(paths, expected);
}

#[test]
fn nodes_and_host_ports_are_read_from_their_objects() {
    let node = json!({
        "spec": {"podCIDR": "10.244.3.0/24", "podCIDRs": ["10.244.3.0/24"]},
        "status": {"addresses": [
            {"type": "Hostname", "address": "n"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "InternalIP", "address": "192.0.2.3"},
        ]},
    });
    let node = Node::project(node.to_string().as_bytes()).unwrap();
    assert_eq!(node, Node { pods: "10.244.3.0/24".parse().ok(), address: Some(ip("192.0.2.3")) });

    let pod = |host_network: bool, phase: &str| {
        let pod = json!({
            "spec": {"hostNetwork": host_network, "containers": [{"ports": [
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "192.0.2.3"},
                {"containerPort": 81},
            ]}]},
            "status": {"phase": phase, "podIP": "10.244.3.5"},
        });
        PodPorts::project(pod.to_string().as_bytes()).unwrap()
    };
    let entries = ports::plan([pod(false, "Running"), pod(true, "Running"), pod(false, "Failed")].iter());
    let expected = BTreeMap::from([
        (Entry { address: None, protocol: 6, port: 8080 }, (ip("10.244.3.5"), 80)),
        (Entry { address: Some(ip("192.0.2.3")), protocol: 17, port: 53 }, (ip("10.244.3.5"), 53)),
    ]);
    assert_eq!(entries, expected);
}
