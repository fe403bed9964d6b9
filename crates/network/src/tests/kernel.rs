//! The pod network on hosts and pods made of namespaces.

use crate::pod::NEXT_HOP;
use crate::{Network, NetworkDoors, NetworkOptions};
use base::Env;
use client::events::Style;
use client::fake::FakeApi;
use client::{Caches, Recorder, resource_of};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use sys::net::namespace::Namespace;
use sys::net::nftables::{Batch, Chain, ChainKind, Expression, Family, Hook, Nftables, Table};
use sys::net::{Changes, Ipv4Net, Route, Rtnetlink, sysctl};
use sys::pod_network::{PodIdentity, PodNetwork};
use testkit::net::{Host, OUTSIDE, Room, Server, Shape, World, ask, ask_udp, eventually, inside};

/// A host with Kutter's network on it.
struct Node1 {
    host: Host,
    room: Room,
    network: Arc<Network>,
    folder: tempfile::TempDir,
    name: String,
}

impl Node1 {
    fn start(world: &World, api: &FakeApi, number: u8) -> Self {
        let host = world.host(number);
        let name = format!("node{number}");
        api.put(
            &resource_of::<Node>(),
            json!({
                "metadata": {"name": name},
                "spec": {"podCIDR": format!("10.244.{number}.0/24")},
                "status": {"addresses": [{"type": "InternalIP", "address": host.address.to_string()}]},
            }),
        );
        let folder = tempfile::tempdir().unwrap();
        let (room, network) = Self::bring_up(&host, api, &name, folder.path());
        Node1 { host, room, network, folder, name }
    }

    fn bring_up(host: &Host, api: &FakeApi, name: &str, folder: &std::path::Path) -> (Room, Arc<Network>) {
        let room = Room::start(&host.namespace);
        let options = NetworkOptions::new(name, "kt1", folder, "10.244.0.0/16".parse().unwrap());
        let network = room.run(&host.namespace, async {
            let env = Env::real();
            let caches = Caches::new(Arc::new(api.clone()), &env);
            let events = Recorder::new(Arc::new(api.clone()), &env, "kubelet", name, Style::Core);
            let doors = NetworkDoors { proxy: &caches, kubelet: &caches, events };
            Network::start(&env, doors, options).unwrap()
        });
        eventually("the network is ready", || network.ready().is_ok());
        (room, network)
    }

    /// As after the death of the process: nothing is torn down.
    fn restart(&mut self, api: &FakeApi) {
        self.room = Room::start(&self.host.namespace);
        (self.room, self.network) = Self::bring_up(&self.host, api, &self.name, self.folder.path());
    }

    fn try_pod(&self, sandbox: &str, netns: &Namespace) -> Ipv4Addr {
        let path = netns.path();
        let outcome = self.room.run(&self.host.namespace, self.network.setup(&identity(sandbox), &path)).unwrap();
        match outcome[..] {
            [IpAddr::V4(address)] => address,
            _ => panic!("{outcome:?}"),
        }
    }

    fn pod(&self, sandbox: &str) -> (Namespace, Ipv4Addr) {
        let netns = Namespace::create().unwrap();
        let address = self.try_pod(sandbox, &netns);
        (netns, address)
    }

    fn tear_down(&self, sandbox: &str) {
        self.room.run(&self.host.namespace, self.network.teardown(&identity(sandbox))).unwrap();
    }

    fn pod_links(&self) -> usize {
        let links = inside(&self.host.namespace, || Rtnetlink::open().unwrap().links().unwrap());
        links.iter().filter(|link| link.name.starts_with("kv")).count()
    }
}

fn identity(sandbox: &str) -> PodIdentity {
    let text = |text: &str| text.to_owned();
    PodIdentity { namespace: text("ns"), name: text(sandbox), uid: text(sandbox), sandbox: text(sandbox) }
}

#[test]
fn pods_reach_pods_hosts_and_the_world() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let (one, two) = (Node1::start(&world, &api, 1), Node1::start(&world, &api, 2));
    let ((a, a_ip), (b, b_ip), (c, c_ip)) = (one.pod("a"), one.pod("b"), two.pod("c"));
    assert_eq!([a_ip, b_ip, c_ip], [[10, 244, 1, 2], [10, 244, 1, 3], [10, 244, 2, 2]].map(Ipv4Addr::from));
    let _servers = [
        Server::start(&b, "b", 80),
        Server::start(&c, "c", 80),
        Server::start(&one.host.namespace, "one", 80),
        Server::start(&world.outside, "world", 80),
    ];
    assert_eq!(ask(&a, b_ip, 80).unwrap(), "b 10.244.1.2", "on the same node");
    eventually("the other node's routes stand", || ask(&a, c_ip, 80).is_ok());
    assert_eq!(ask(&a, c_ip, 80).unwrap(), "c 10.244.1.2", "on another node, unmasked");
    assert_eq!(ask_udp(&c, b_ip, 80).unwrap(), "b 10.244.2.2");
    assert_eq!(ask(&a, OUTSIDE, 80).unwrap(), "world 192.0.2.1", "masqueraded as its node");
    assert_eq!(ask(&a, one.host.address, 80).unwrap(), "one 10.244.1.2");
    assert_eq!(ask(&one.host.namespace, b_ip, 80).unwrap(), "b 10.244.1.1", "the host is the network's gateway");
    assert_eq!(ask(&one.host.namespace, c_ip, 80).unwrap(), "c 192.0.2.1");
    // A pod reaches itself by its own address.
    let _own = Server::start(&a, "a", 80);
    assert_eq!(ask(&a, a_ip, 80).unwrap(), "a 10.244.1.2");
}

#[test]
fn nodes_behind_routers_use_the_tunnel() {
    let (world, api) = (World::new(Shape::Router), FakeApi::new());
    let (one, two) = (Node1::start(&world, &api, 1), Node1::start(&world, &api, 2));
    let ((a, _), (b, b_ip)) = (one.pod("a"), two.pod("b"));
    let _server = Server::start(&b, "b", 80);
    eventually("both ends of the tunnel stand", || ask(&a, b_ip, 80).is_ok());
    assert_eq!(ask(&a, b_ip, 80).unwrap(), "b 10.244.1.2");
    assert_eq!(ask_udp(&a, b_ip, 80).unwrap(), "b 10.244.1.2");
    assert_eq!(
        ask(&one.host.namespace, b_ip, 80).unwrap(),
        "b 10.244.1.1",
        "the host's answers come through the tunnel"
    );
    let later = one.pod("later").0;
    let mtu = inside(&later, || Rtnetlink::open().unwrap().link("eth0").unwrap().mtu);
    assert_eq!(mtu, 1450);

    // The node moves, then leaves.
    api.remove(&resource_of::<Node>(), "", "node2");
    eventually("the route is gone", || {
        let routes = inside(&one.host.namespace, || Rtnetlink::open().unwrap().routes().unwrap());
        routes.iter().all(|route| route.destination.to_string() != "10.244.2.0/24")
    });
}

#[test]
fn host_ports_lead_to_pods() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let node = Node1::start(&world, &api, 1);
    let (pod, address) = node.pod("a");
    let (other, _) = node.pod("b");
    let _server = Server::start(&pod, "a", 80);
    let pods = resource_of::<Pod>();
    api.put(
        &pods,
        json!({
            "metadata": {"namespace": "ns", "name": "a"},
            "spec": {"nodeName": "node1", "containers": [{"ports": [
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 80, "hostPort": 8053, "protocol": "UDP", "hostIP": node.host.address.to_string()},
            ]}]},
            "status": {"phase": "Running", "podIP": address.to_string()},
        }),
    );
    eventually("the port is open", || ask(&world.outside, node.host.address, 8080).is_ok());
    assert_eq!(ask(&world.outside, node.host.address, 8080).unwrap(), "a 192.0.2.254");
    assert_eq!(ask_udp(&world.outside, node.host.address, 8053).unwrap(), "a 192.0.2.254");
    assert_eq!(ask(&other, node.host.address, 8080).unwrap(), "a 10.244.1.3");
    assert!(ask(&node.host.namespace, node.host.address, 8080).unwrap().starts_with("a "), "from the node itself");
    assert!(ask(&pod, node.host.address, 8080).unwrap().starts_with("a "), "from the pod itself");
    let here = Ipv4Addr::LOCALHOST;
    assert!(ask(&node.host.namespace, here, 8080).unwrap().starts_with("a "), "from the node's own loopback");
    let _own = Server::start(&node.host.namespace, "the host's own", 81);
    assert_eq!(ask(&node.host.namespace, here, 81).unwrap(), "the host's own 127.0.0.1");
    inside(&pod, || {
        let mut hostile = Rtnetlink::open().unwrap();
        let link = hostile.link("eth0").unwrap().index;
        sysctl::set("ipv4/conf/eth0/route_localnet", "1").unwrap();
        let mut changes = Changes::new();
        changes.delete_address(1, here, 8);
        let route = Route { destination: Ipv4Net::LOOPBACK, link, gateway: None, source: None, metric: 0 };
        changes.replace_route(&Route { gateway: Some(NEXT_HOP), ..route });
        hostile.apply(&changes).unwrap();
    });
    assert!(ask(&pod, here, 81).is_err(), "a pod does not reach the host's loopback");
    assert!(ask(&world.outside, node.host.address, 80).is_err());
    api.remove(&pods, "ns", "a");
    eventually("the port is closed", || ask(&world.outside, node.host.address, 8080).is_err());
}

#[test]
fn what_is_set_up_survives_restarts_and_flushes_and_is_cleared_away() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let mut node = Node1::start(&world, &api, 1);
    let (a, a_ip) = node.pod("a");
    let (b, b_ip) = node.pod("b");
    let _servers = [Server::start(&a, "a", 80), Server::start(&world.outside, "world", 80)];
    assert_eq!(node.try_pod("a", &a), a_ip, "setting up again changes nothing");
    assert_eq!(ask(&b, a_ip, 80).unwrap(), "a 10.244.1.3");

    node.restart(&api);
    let live = [(identity("a"), vec![IpAddr::V4(a_ip)]), (identity("b"), vec![IpAddr::V4(b_ip)])];
    node.room.run(&node.host.namespace, node.network.restore(&live)).unwrap();
    assert_eq!(ask(&b, a_ip, 80).unwrap(), "a 10.244.1.3", "pods go on through a restart");
    assert_eq!(node.try_pod("a", &a), a_ip);

    inside(&node.host.namespace, || {
        let mut batch = Batch::new();
        batch.remove_table(&crate::rules::table("kt1"));
        Nftables::open().unwrap().commit(batch).unwrap();
    });
    eventually("the masquerade is back", || ask(&b, OUTSIDE, 80).is_ok_and(|answer| answer == "world 192.0.2.1"));

    node.tear_down("b");
    node.tear_down("b");
    assert!(ask(&node.host.namespace, b_ip, 80).is_err());
    assert_eq!(node.pod_links(), 2);
    drop(b);
    eventually("the link goes with its namespace", || node.pod_links() == 1);
    // A pod whose namespace somebody still holds: its link is swept.
    node.tear_down("a");
    eventually("the leftover is swept", || node.pod_links() == 0);

    inside(&node.host.namespace, || crate::remove("kt1").unwrap());
    inside(&node.host.namespace, || crate::remove("kt1").unwrap());
    let standing =
        inside(&node.host.namespace, || Nftables::open().unwrap().table(&crate::rules::table("kt1")).unwrap());
    assert_eq!(standing, None);
}

#[test]
fn docker_s_forward_policy_is_opened_and_other_firewalls_are_reported() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let docker = Table { family: Family::Ip, name: "filter".to_owned() };
    let node = Node1::start(&world, &api, 2);
    inside(&node.host.namespace, || {
        let mut batch = Batch::new();
        batch.add_table(&docker);
        batch.add_chain(&docker, Chain { name: "DOCKER-USER", hook: None });
        batch.add_chain(&docker, Chain { name: "FORWARD", hook: Some((ChainKind::Filter, Hook::Forward, 0)) });
        batch.add_rule(&docker, "FORWARD", &[Expression::jump("DOCKER-USER")]);
        batch.drop_by_default(&docker, "FORWARD");
        Nftables::open().unwrap().commit(batch).unwrap();
    });
    let ((a, _), (b, b_ip)) = (node.pod("a"), node.pod("b"));
    let _server = Server::start(&b, "b", 80);
    eventually("our rule lets pods through", || ask(&a, b_ip, 80).is_ok());
    assert_eq!(node.network.problem(), None);
    let rules = || inside(&node.host.namespace, || Nftables::open().unwrap().rules(&docker, "DOCKER-USER").unwrap());
    assert_eq!(rules().iter().filter(|rule| rule.comment == "kutter-kt1").count(), 2);

    let strange = Table { family: Family::Inet, name: "strict".to_owned() };
    inside(&node.host.namespace, || {
        let mut batch = Batch::new();
        batch.add_table(&strange);
        batch.add_chain(&strange, Chain { name: "fwd", hook: Some((ChainKind::Filter, Hook::Forward, 5)) });
        batch.drop_by_default(&strange, "fwd");
        Nftables::open().unwrap().commit(batch).unwrap();
    });
    let input = Table { family: Family::Inet, name: "guard".to_owned() };
    eventually("the firewall is reported", || node.network.problem().is_some());
    let problem = node.network.problem().unwrap();
    assert!(problem.contains("chain fwd of table strict") && problem.contains("10.244.2.0/24"), "{problem}");
    let event = json!(["node2", "FirewallBlocksPods", problem]);
    let said = |event: &Value| json!([event["involvedObject"]["name"], event["reason"], event["message"]]);
    eventually("it is an event of the node", || {
        api.all(&resource_of::<Event>()).iter().map(said).any(|it| it == event)
    });
    inside(&node.host.namespace, || {
        let mut batch = Batch::new();
        batch.remove_table(&strange).add_table(&input);
        batch.add_chain(&input, Chain { name: "in", hook: Some((ChainKind::Filter, Hook::Input, 5)) });
        batch.drop_by_default(&input, "in");
        Nftables::open().unwrap().commit(batch).unwrap();
    });
    eventually("the other one is reported", || node.network.problem().is_some_and(|problem| problem.contains("DNS")));
    inside(&node.host.namespace, || crate::remove("kt1").unwrap());
    assert_eq!(rules().len(), 0);
}

#[test]
fn the_first_packet_to_a_pod_arrives() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let node = Node1::start(&world, &api, 1);
    for index in 0..40 {
        let netns = Namespace::create().unwrap();
        let inner = inside(&netns, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9000)).unwrap());
        inner.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let outer = inside(&node.host.namespace, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        let address = node.try_pod(&format!("s{index}"), &netns);
        outer.send_to(b"first", (address, 9000)).unwrap();
        let mut buffer = [0; 16];
        let (length, host) = inner.recv_from(&mut buffer).unwrap_or_else(|error| panic!("pod {index}: {error}"));
        inner.send_to(&buffer[..length], host).unwrap();
    }
}

#[test]
fn a_pod_is_set_up_in_about_a_millisecond() {
    let (world, api) = (World::new(Shape::Switch), FakeApi::new());
    let node = Node1::start(&world, &api, 1);
    let spaces: Vec<_> = (0..60).map(|_| Namespace::create().unwrap()).collect();
    let clock = base::Clock::real();
    let mut times: Vec<_> = node.room.run(&node.host.namespace, async {
        let mut times = Vec::new();
        for (index, netns) in spaces.iter().enumerate() {
            let started = clock.instant();
            node.network.setup(&identity(&format!("s{index}")), &netns.path()).await.unwrap();
            times.push(started.elapsed());
        }
        times
    });
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("pod network set-up: median {median:?}, worst {worst:?}");
    // Far above what it takes: a busy machine must not fail the test, a wait for the kernel should.
    assert!(median.as_millis() < 20, "{times:?}");
}
