//! Services on two hosts with a pod each.

use super::{endpoint, service, slice};
use crate::{ProxyOptions, ServiceProxy};
use base::Env;
use client::fake::FakeApi;
use client::{Caches, resource_of};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use sys::net::namespace::Namespace;
use sys::net::nftables::{Batch, Nftables};
use testkit::net::{Host, Room, Server, Shape, World, ask, ask_from, ask_here, ask_udp, eventually, inside};

const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 5);

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// A proxy on a host; the test plays the pod network.
struct Node {
    host: Host,
    room: Room,
    name: String,
}

impl Node {
    fn start(world: &World, api: &FakeApi, number: u8) -> Self {
        let host = world.host(number);
        let name = format!("node{number}");
        let room = Self::bring_up(&host, api, &name);
        Node { host, room, name }
    }

    fn bring_up(host: &Host, api: &FakeApi, name: &str) -> Room {
        let room = Room::start(&host.namespace);
        let options = ProxyOptions {
            node_name: name.to_owned(),
            instance: "kt1".to_owned(),
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            answered_here: vec![ip("10.96.0.10")],
        };
        room.run(&host.namespace, async {
            let env = Env::real();
            let proxy =
                ServiceProxy::start(&env, &Caches::new(std::sync::Arc::new(api.clone()), &env), options).unwrap();
            proxy.synced().await;
        });
        room
    }

    /// How many entries a map has.
    fn count(&self, map: &str) -> usize {
        inside(&self.host.namespace, || Nftables::open().unwrap().count_elements(&crate::table("kt1"), map).unwrap())
    }

    fn restart(&mut self, api: &FakeApi) {
        self.room = Room::start(&self.host.namespace);
        self.room = Self::bring_up(&self.host, api, &self.name);
    }
}

fn put_service(api: &FakeApi, name: &str, spec: Value) {
    api.put(&resource_of::<Service>(), service(name, spec));
}

/// Endpoints by address and node.
fn put_endpoints(api: &FakeApi, service: &str, endpoints: &[(&str, &str)]) {
    let endpoints: Vec<_> = endpoints.iter().map(|(address, node)| endpoint(address, node, true)).collect();
    let ports = json!([
        {"name": "tcp", "port": 8080, "protocol": "TCP"},
        {"name": "udp", "port": 8080, "protocol": "UDP"},
    ]);
    api.put(&resource_of::<EndpointSlice>(), slice(service, &format!("{service}-1"), ports, &endpoints));
}

fn web(extra: Value) -> Value {
    let mut spec = json!({
        "type": "NodePort", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"],
        "ports": [
            {"name": "tcp", "port": 80, "protocol": "TCP", "nodePort": 30001},
            {"name": "udp", "port": 80, "protocol": "UDP", "nodePort": 30001},
        ],
    });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    spec
}

/// Two nodes with a pod each, `a` on the first and `b` on the second, and the pods' servers.
struct Cluster {
    world: World,
    api: FakeApi,
    one: Node,
    two: Node,
    a: Namespace,
    b: Namespace,
    _servers: [Server; 2],
}

const A: (&str, &str) = ("10.244.1.2", "node1");
const B: (&str, &str) = ("10.244.2.2", "node2");

impl Cluster {
    fn new() -> Self {
        let (world, api) = (World::new(Shape::Switch), FakeApi::new());
        let (one, two) = (Node::start(&world, &api, 1), Node::start(&world, &api, 2));
        one.host.route("10.244.2.0/24", two.host.address);
        two.host.route("10.244.1.0/24", one.host.address);
        let (a, b) = (one.host.pod(ip(A.0)), two.host.pod(ip(B.0)));
        let servers = [Server::start(&a, "a", 8080), Server::start(&b, "b", 8080)];
        Cluster { world, api, one, two, a, b, _servers: servers }
    }

    fn serve(&self, extra: Value, endpoints: &[(&str, &str)]) {
        put_endpoints(&self.api, "web", endpoints);
        put_service(&self.api, "web", web(extra));
        eventually("both nodes know the service", || {
            [&self.one, &self.two].iter().all(|node| node.count("services") + node.count("services-refused") >= 2)
        });
    }

    /// Who answers, over enough connections to meet everyone.
    fn answers(&self, from: &Namespace, address: Ipv4Addr, port: u16) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        inside(from, || {
            for _ in 0..60 {
                let answer = ask_here(address, port).unwrap_or_else(|error| error.kind().to_string());
                *seen.entry(answer).or_default() += 1;
            }
        });
        seen
    }
}

fn names(answers: &BTreeMap<String, usize>) -> Vec<&str> {
    answers.keys().map(String::as_str).collect()
}

#[test]
fn cluster_addresses_lead_to_all_endpoints_from_pods_and_hosts() {
    let cluster = Cluster::new();
    cluster.serve(json!({}), &[A, B]);
    let seen = cluster.answers(&cluster.a, WEB, 80);
    // To itself the pod comes as its node, or it would answer itself directly.
    assert_eq!(names(&seen), ["a 192.0.2.1", "b 10.244.1.2"]);
    assert!(seen.values().all(|count| *count > 10), "evenly: {seen:?}");
    assert!(ask_udp(&cluster.b, WEB, 80).is_ok());
    let seen = cluster.answers(&cluster.one.host.namespace, WEB, 80);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.keys().all(|answer| answer.starts_with("a ") || answer.starts_with("b ")), "{seen:?}");
    let unknown = ask(&cluster.a, WEB, 81).unwrap_err();
    assert_eq!(unknown.kind(), std::io::ErrorKind::ConnectionRefused, "a port that the service has not");
    let nobody = ask(&cluster.one.host.namespace, ip("10.96.99.99"), 80).unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::ConnectionRefused, "an address that is no service's");
}

#[test]
fn node_ports_are_open_on_every_node() {
    let cluster = Cluster::new();
    cluster.serve(json!({}), &[A, B]);
    for node in [&cluster.one, &cluster.two] {
        let address = node.host.address;
        let seen = cluster.answers(&cluster.world.outside, address, 30001);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen.keys().all(|answer| answer.ends_with(&address.to_string())), "masqueraded: {seen:?}");
        assert!(ask_udp(&cluster.world.outside, address, 30001).is_ok());
    }
    assert!(ask(&cluster.one.host.namespace, cluster.one.host.address, 30001).is_ok(), "from the node itself");
    assert!(ask(&cluster.a, cluster.one.host.address, 30001).is_ok(), "from a pod");
    assert!(ask(&cluster.a, cluster.two.host.address, 30001).is_ok(), "from a pod to another node");
    assert!(ask(&cluster.one.host.namespace, Ipv4Addr::LOCALHOST, 30001).is_err(), "not on loopback");

    // External addresses, wherever they are routed.
    cluster.serve(json!({"externalIPs": ["192.0.2.1"]}), &[A, B]);
    eventually("the external address", || ask(&cluster.world.outside, cluster.one.host.address, 80).is_ok());
}

#[test]
fn local_policies_keep_packets_on_the_node_with_their_source() {
    let cluster = Cluster::new();
    cluster.serve(json!({"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}), &[B]);
    let (one, two) = (cluster.one.host.address, cluster.two.host.address);
    eventually("the policy holds", || {
        ask(&cluster.world.outside, two, 30001).is_ok_and(|answer| answer == "b 192.0.2.254")
    });
    assert!(ask(&cluster.world.outside, one, 30001).is_err(), "no endpoint on this node");
    assert_eq!(ask(&cluster.a, one, 30001).unwrap(), "b 10.244.1.2", "pods reach all endpoints");
    assert!(ask(&cluster.one.host.namespace, one, 30001).is_ok(), "and so does the node");
    assert_eq!(ask(&cluster.b, WEB, 80).unwrap(), "b 192.0.2.2");
    assert!(ask(&cluster.a, WEB, 80).is_err(), "the cluster address leads to nobody here");
}

#[test]
fn without_endpoints_connections_are_refused_until_there_are_some() {
    let cluster = Cluster::new();
    cluster.serve(json!({}), &[]);
    let refused = |from: &Namespace, address, port| {
        let error = ask(from, address, port).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}:{port}");
    };
    refused(&cluster.a, WEB, 80);
    refused(&cluster.one.host.namespace, WEB, 80);
    refused(&cluster.world.outside, cluster.one.host.address, 30001);
    refused(&cluster.one.host.namespace, cluster.one.host.address, 30001);
    let error = ask_udp(&cluster.a, WEB, 80).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    put_endpoints(&cluster.api, "web", &[A]);
    eventually("the service answers", || ask(&cluster.b, WEB, 80).is_ok());
    cluster.api.remove(&resource_of::<Service>(), "ns", "web");
    eventually("the service is gone", || ask(&cluster.b, WEB, 80).is_err());
}

/// nft(8) is not needed to run Kutter; where there is one, it must be able to print our table.
fn print_with_nft(namespace: &Namespace) {
    let output = inside(namespace, || std::process::Command::new("nft").args(["list", "ruleset"]).output());
    let Ok(output) = output else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("map affinity"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn affinity_survives_a_restart() {
    let mut cluster = Cluster::new();
    cluster.serve(json!({"sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local"}), &[A, B]);
    let who = |cluster: &Cluster| {
        let seen = cluster.answers(&cluster.a, WEB, 80);
        assert_eq!(seen.len(), 1, "always the same: {seen:?}");
        seen.into_keys().next().unwrap()
    };
    let before = who(&cluster);
    for _ in 0..3 {
        cluster.one.restart(&cluster.api);
        assert_eq!(who(&cluster), before);
    }
    assert_eq!(cluster.one.count("affinity"), 1);
    // Both sorts of clients of a local policy, each with its own endpoints.
    assert_eq!(names(&cluster.answers(&cluster.world.outside, cluster.one.host.address, 30001)), ["a 192.0.2.254"]);
    assert_eq!(cluster.answers(&cluster.a, cluster.one.host.address, 30001).len(), 1);
    assert_eq!(cluster.one.count("nodeport-affinity"), 2);
}

#[test]
fn clients_with_affinity_come_back_to_their_endpoint_until_it_goes() {
    let cluster = Cluster::new();
    let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 2}}});
    cluster.serve(spec, &[A, B]);
    let own = |from: &Namespace, address, port| {
        let seen = cluster.answers(from, address, port);
        assert_eq!(seen.len(), 1, "always the same: {seen:?}");
        names(&seen)[0].chars().next().unwrap()
    };
    let first = own(&cluster.a, WEB, 80);
    own(&cluster.world.outside, cluster.two.host.address, 30001);
    print_with_nft(&cluster.one.host.namespace);
    // The endpoint goes: the client moves, and stays with the new one when the old comes back.
    put_endpoints(&cluster.api, "web", if first == 'a' { &[B] } else { &[A] });
    eventually("the client moves", || ask(&cluster.a, WEB, 80).is_ok_and(|answer| !answer.starts_with(first)));
    put_endpoints(&cluster.api, "web", &[A, B]);
    eventually("both are back", || cluster.one.count("endpoints") == 4);
    assert_ne!(own(&cluster.a, WEB, 80), first);
    // Memories end: within enough pauses the draw falls on the other one.
    let mut seen = std::collections::BTreeSet::new();
    eventually("the memory ends", || {
        std::thread::sleep(std::time::Duration::from_millis(2200));
        seen.insert(ask(&cluster.a, WEB, 80).unwrap());
        seen.len() == 2
    });
}

#[test]
fn udp_clients_that_never_stop_find_the_new_endpoint() {
    let cluster = Cluster::new();
    cluster.serve(json!({}), &[B]);
    inside(&cluster.a, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 4321)).unwrap();
        assert_eq!(ask_from(&socket, WEB, 80).unwrap(), "b 10.244.1.2");
        put_endpoints(&cluster.api, "web", &[A]);
        eventually("the flow is forgotten", || ask_from(&socket, WEB, 80).is_ok_and(|answer| answer.starts_with("a ")));
    });
}

#[test]
fn packets_on_their_way_to_a_former_endpoint_are_still_masqueraded() {
    let cluster = Cluster::new();
    cluster.serve(json!({}), &[A, B]);
    eventually("the pod's own entry", || cluster.one.count("hairpin") == 1);
    put_endpoints(&cluster.api, "web", &[B]);
    eventually("the endpoint is gone", || cluster.one.count("endpoints") == 2);
    assert_eq!(cluster.one.count("hairpin"), 1, "at first");
    eventually("it is forgotten when all is quiet", || cluster.one.count("hairpin") == 0);
    put_endpoints(&cluster.api, "web", &[A]);
    eventually("it is back", || cluster.one.count("hairpin") == 1);
    assert_eq!(ask(&cluster.a, WEB, 80).unwrap(), "a 192.0.2.1");
}

#[test]
fn endpoints_come_and_go_without_a_failed_connection() {
    let mut cluster = Cluster::new();
    cluster.serve(json!({}), &[A, B]);
    let stop = AtomicBool::new(false);
    let (a, outside, one) = (&cluster.a, &cluster.world.outside, cluster.one.host.address);
    let load = |from, address, port| {
        let stop = &stop;
        move || {
            inside(from, || {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    ask_here(address, port).unwrap_or_else(|error| panic!("after {asked}: {error}"));
                    asked += 1;
                }
                asked
            })
        }
    };
    // Both endpoints live all the time: whatever the rules are changed to, connections must succeed.
    let (api, host) = (&cluster.api, &cluster.one.host);
    let (inner, outer) = std::thread::scope(|scope| {
        let inner = scope.spawn(load(a, WEB, 80));
        let outer = scope.spawn(load(outside, one, 30001));
        for round in 0..200 {
            let endpoints: &[_] = [&[A][..], &[B], &[A, B], &[B, A]][round % 4];
            put_endpoints(api, "web", endpoints);
            if round % 50 == 49 {
                // Another process starts over while this one runs: it replaces the table as a whole.
                drop(Node::bring_up(host, api, "node1"));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        (inner.join().unwrap(), outer.join().unwrap())
    });
    assert!(inner > 200 && outer > 200, "{inner} and {outer} connections");
    println!("{inner} and {outer} connections through 200 changes");

    cluster.one.restart(&cluster.api);
    inside(&cluster.one.host.namespace, || {
        let mut batch = Batch::new();
        batch.remove_table(&crate::table("kt1"));
        Nftables::open().unwrap().commit(batch).unwrap();
    });
    eventually("a flushed table is built again", || ask(&cluster.a, WEB, 80).is_ok());
    inside(&cluster.two.host.namespace, || crate::remove("kt1").unwrap());
    inside(&cluster.two.host.namespace, || crate::remove("kt1").unwrap());
    assert!(ask(&cluster.b, WEB, 80).is_err());
}
