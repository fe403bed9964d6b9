//! Links, addresses, routes, neighbours and sysctls.

use super::super::*;
use super::namespace;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn a_veth_pair_with_addresses_routes_and_neighbours() {
    let (host, pod) = (namespace(), namespace());
    let pod_path = pod.path();
    host.run(|| {
        let mut here = Rtnetlink::open().unwrap();
        let mut changes = Changes::new();
        let (mac, peer_mac) = (Mac::for_address(1, ip("10.0.0.2")), Mac::for_address(2, ip("10.0.0.2")));
        changes.add_veth(&Veth {
            name: "kt0",
            mac,
            mtu: 1400,
            peer_name: "eth0",
            peer_mac,
            peer_namespace: pod.as_fd(),
        });
        here.apply(&changes).unwrap();
        assert!(here.apply(&changes).unwrap_err().already_exists(), "the second one must be refused");
        let link = here.link("kt0").unwrap();
        assert_eq!((link.mtu, link.mac, link.kind.as_str(), link.up), (1400, Some(mac), "veth", true));
        let mut there = Rtnetlink::open_in(&pod_path).unwrap();
        let eth0 = there.link("eth0").unwrap();
        assert_eq!(eth0.mac, Some(peer_mac));
        let gateway = ip("169.254.1.1");
        let mut changes = Changes::new();
        changes.set_up(1).set_up(eth0.index).add_address(eth0.index, ip("10.0.0.2"), 32, Scope::Global, "");
        let direct =
            Route { destination: Ipv4Net::host(gateway), link: eth0.index, gateway: None, source: None, metric: 0 };
        changes.replace_route(&direct);
        let default = Route { destination: Ipv4Net::ANY, gateway: Some(gateway), ..direct };
        changes.replace_route(&default);
        changes.replace_neighbour(&Neighbour { link: eth0.index, address: gateway, mac });
        there.apply(&changes).unwrap();
        assert_eq!(there.routes().unwrap(), [default, direct]);
        assert_eq!(there.route_to(ip("8.8.8.8")).unwrap().gateway, Some(gateway));
        assert!(there.route_to(ip("10.0.0.2")).unwrap().local);
        let listed = there.addresses().unwrap();
        assert!(listed.iter().any(|address| address.link == eth0.index && address.address == ip("10.0.0.2")));

        let mut changes = Changes::new();
        changes.delete_route(&default);
        there.apply(&changes).unwrap();
        assert!(there.apply(&changes).unwrap_err().is_absent());
        assert!(matches!(here.link("nothing"), Err(Error::NoLink(_))));
    })
    .unwrap();
}

#[test]
fn a_vxlan_device_with_its_forwarding_table() {
    let host = namespace();
    host.run(|| {
        let mut here = Rtnetlink::open().unwrap();
        let mut changes = Changes::new();
        let mac = Mac::for_address(3, ip("10.244.1.1"));
        changes.set_up(1).add_bridge("kt-br").add_vxlan(&Vxlan {
            name: "kx0",
            id: 27508,
            port: 8472,
            local: ip("192.0.2.1"),
            mac,
            mtu: 1450,
        });
        here.apply(&changes).unwrap();
        let link = here.link("kx0").unwrap();
        assert_eq!((link.kind.as_str(), link.mac, link.up), ("vxlan", Some(mac), true));
        let mut changes = Changes::new();
        let remote = Forwarding { link: link.index, mac: Mac([2, 0, 0, 0, 0, 9]), remote: ip("192.0.2.9") };
        changes.replace_forwarding(&remote).replace_forwarding(&Forwarding { remote: ip("192.0.2.8"), ..remote });
        here.apply(&changes).unwrap();
        let printed = std::process::Command::new("/proc/self/exe").arg("--list").output().is_ok();
        assert!(printed, "processes can be started from the namespace");
        let mut changes = Changes::new();
        changes.delete_forwarding(&Forwarding { remote: ip("192.0.2.8"), ..remote }).delete_link(link.index);
        here.apply(&changes).unwrap();
        assert!(here.links().unwrap().iter().all(|link| link.name != "kx0"));
    })
    .unwrap();
}

#[test]
fn sysctls_are_those_of_the_namespace() {
    let host = namespace();
    let before = sysctl::get("ipv4/ip_forward").unwrap();
    host.run(|| {
        let other = if before == "1" { "0" } else { "1" };
        sysctl::set("ipv4/ip_forward", other).unwrap();
        assert_eq!(sysctl::get("ipv4/ip_forward").unwrap(), other);
        assert!(sysctl::set("ipv4/no_such_thing", "1").unwrap_err().to_string().contains("net/ipv4/no_such_thing"));
    })
    .unwrap();
    assert_eq!(sysctl::get("ipv4/ip_forward").unwrap(), before);
}
