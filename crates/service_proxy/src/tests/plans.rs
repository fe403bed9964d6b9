//! Services and slices in, fronts and endpoints out.

use super::{endpoint, service, slice};
use crate::layout::Pick;
use crate::objects::{Service, Slice};
use crate::plan::{Backend, Front, Fronts, Place, plan};
use crate::state::{Edit, State};
use client::Key;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

fn fronts_after(service: &Value, slices: &[Value], before: Option<&Fronts>) -> Fronts {
    let service: Service = serde_json::from_value(service.clone()).unwrap();
    let slices: Vec<Slice> = slices.iter().map(|slice| serde_json::from_value(slice.clone()).unwrap()).collect();
    plan(&service, &slices, "here", &[Ipv4Addr::new(10, 96, 0, 10)], before)
}

fn fronts(service: &Value, slices: &[Value]) -> Fronts {
    fronts_after(service, slices, None)
}

/// One line per front: `10.96.0.5/6:80 -> chain: endpoints`.
fn print(fronts: &Fronts) -> Vec<String> {
    let line = |(front, backend): (&Front, &Backend)| {
        let place = match front.place {
            Place::Address(address) => address.to_string(),
            Place::Node => "node".to_owned(),
        };
        let target = match backend {
            Backend::Refuse => "refuse".to_owned(),
            Backend::Drop => "drop".to_owned(),
            Backend::Endpoints { endpoints, .. } => {
                let list: Vec<_> =
                    endpoints.iter().map(|endpoint| format!("{}:{}", endpoint.address, endpoint.port)).collect();
                format!("{}: {}", Pick::of(front, backend).unwrap().chain(), list.join(" "))
            }
        };
        let inside = if front.inside { " inside" } else { "" };
        format!("{place}/{}:{}{inside} -> {target}", front.protocol, front.port)
    };
    fronts.iter().map(line).collect()
}

fn web_ports() -> Value {
    json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
}

fn cluster_ip(extra: Value) -> Value {
    let mut spec = json!({
        "type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"],
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
    });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    service("web", spec)
}

type Case<'a> = (&'a str, Value, &'a [Value], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for (what, service, slices, expected) in cases {
        assert_eq!(print(&fronts(service, slices)), *expected, "{what}");
    }
}

/// A slice with one endpoint here and one there.
fn two() -> [Value; 1] {
    let endpoints = [endpoint("10.244.0.2", "here", true), endpoint("10.244.1.2", "there", true)];
    [slice("web", "web-1", web_ports(), &endpoints)]
}

fn far() -> [Value; 1] {
    [slice("web", "web-1", web_ports(), &[endpoint("10.244.1.2", "there", true)])]
}

fn on_port(port: Value) -> [Value; 1] {
    [slice("web", "web-1", json!([port]), &[endpoint("10.244.0.2", "here", true)])]
}

const BOTH: &str = "10.96.0.5/6:80 -> service-2: 10.244.0.2:8080 10.244.1.2:8080";
const FAR: &str = "10.96.0.5/6:80 -> service-1: 10.244.1.2:8080";
const HERE: &str = "10.96.0.5/6:80 -> service-1: 10.244.0.2:8080";
const REFUSED: &str = "10.96.0.5/6:80 -> refuse";

#[test]
fn endpoints_are_the_ready_ones_of_the_port() {
    let unready = [slice("web", "web-1", web_ports(), &[endpoint("10.244.0.2", "here", false)])];
    let mut leaving = endpoint("10.244.0.2", "here", false);
    leaving["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    let terminating = [slice("web", "web-1", web_ports(), std::slice::from_ref(&leaving))];
    let one_leaving = [slice("web", "web-1", web_ports(), &[leaving, endpoint("10.244.1.2", "there", true)])];
    let other_port = on_port(json!({"name": "admin", "port": 9, "protocol": "TCP"}));
    let udp = on_port(json!({"name": "web", "port": 8080, "protocol": "UDP"}));
    let six = [json!({"addressType": "IPv6", "endpoints": [endpoint("fd00::1", "here", true)], "ports": web_ports()})];
    let nothing = [json!({"addressType": "IPv4", "endpoints": null, "ports": null})];
    let plain = || cluster_ip(json!({}));
    check(&[
        ("two endpoints", plain(), &two(), &[BOTH]),
        ("no slice", plain(), &[], &[REFUSED]),
        ("an empty slice", plain(), &nothing, &[REFUSED]),
        ("not ready", plain(), &unready, &[REFUSED]),
        ("only terminating", plain(), &terminating, &[HERE]),
        ("terminating beside ready", plain(), &one_leaving, &[FAR]),
        ("another port's name", plain(), &other_port, &[REFUSED]),
        ("another protocol", plain(), &udp, &[REFUSED]),
        ("an IPv6 slice", plain(), &six, &[REFUSED]),
    ]);
}

#[test]
fn some_services_are_not_served() {
    let mut other_proxy = cluster_ip(json!({}));
    other_proxy["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "mine"});
    check(&[
        ("headless", cluster_ip(json!({"clusterIP": "None", "clusterIPs": ["None"]})), &two(), &[]),
        ("external name", cluster_ip(json!({"type": "ExternalName"})), &two(), &[]),
        ("another proxy's", other_proxy, &two(), &[]),
        ("answered by the node", cluster_ip(json!({"clusterIP": "10.96.0.10", "clusterIPs": []})), &[], &[]),
    ]);
}

#[test]
fn affinity_and_local_policies_choose_other_chains() {
    let sixty = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    let local = json!({"internalTrafficPolicy": "Local"});
    check(&[
        ("affinity", cluster_ip(sixty), &far(), &["10.96.0.5/6:80 -> service-60s-1: 10.244.1.2:8080"]),
        (
            "affinity by default",
            cluster_ip(json!({"sessionAffinity": "ClientIP"})),
            &far(),
            &["10.96.0.5/6:80 -> service-10800s-1: 10.244.1.2:8080"],
        ),
        ("internal policy Local", cluster_ip(local.clone()), &two(), &[HERE]),
        ("internal policy Local, none here", cluster_ip(local), &far(), &["10.96.0.5/6:80 -> drop"]),
    ]);
}

#[test]
fn services_are_open_to_the_outside() {
    let node_port = |extra: Value| {
        let ports = json!([{"name": "web", "port": 80, "protocol": "TCP", "nodePort": 30001}]);
        let mut spec = json!({"type": "NodePort", "ports": ports});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        cluster_ip(spec)
    };
    let mut balanced = node_port(json!({"type": "LoadBalancer", "externalIPs": ["198.51.100.7"]}));
    let ingress = json!([{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}, {"hostname": "x"}]);
    balanced["status"] = json!({"loadBalancer": {"ingress": ingress}});
    check(&[
        ("node port", node_port(json!({})), &far(), &[FAR, "node/6:30001 -> node-masquerade-1: 10.244.1.2:8080"]),
        (
            "node port, external policy Local",
            node_port(json!({"externalTrafficPolicy": "Local"})),
            &two(),
            &[
                BOTH,
                "node/6:30001 -> node-direct-1: 10.244.0.2:8080",
                "node/6:30001 inside -> node-inside-2: 10.244.0.2:8080 10.244.1.2:8080",
            ],
        ),
        (
            "load balancer and external address",
            balanced,
            &far(),
            &[
                FAR,
                "198.51.100.7/6:80 -> service-masquerade-1: 10.244.1.2:8080",
                "203.0.113.9/6:80 -> service-masquerade-1: 10.244.1.2:8080",
                "node/6:30001 -> node-masquerade-1: 10.244.1.2:8080",
            ],
        ),
    ]);
}

fn endpoints_of(fronts: &Fronts) -> Vec<u8> {
    match fronts.values().next().unwrap() {
        Backend::Endpoints { endpoints, .. } => endpoints.iter().map(|endpoint| endpoint.address.octets()[3]).collect(),
        _ => vec![],
    }
}

#[test]
fn endpoints_keep_their_places() {
    let with = |last: &[u8]| {
        let endpoints: Vec<_> = last.iter().map(|last| endpoint(&format!("10.244.0.{last}"), "here", true)).collect();
        [slice("web", "web-1", web_ports(), &endpoints)]
    };
    let service = cluster_ip(json!({}));
    let first = fronts(&service, &with(&[2, 3, 4, 5]));
    let cases: &[(&[u8], &[u8], &str)] = &[
        (&[2, 3, 9, 5], &[2, 3, 9, 5], "one replaced"),
        (&[2, 3, 4, 5, 1], &[2, 3, 4, 5, 1], "one added"),
        (&[3, 4, 5], &[5, 3, 4], "one removed: the last takes its place"),
        (&[4], &[4], "one left"),
        (&[7, 8], &[7, 8], "all replaced"),
    ];
    for (now, expected, what) in cases {
        assert_eq!(endpoints_of(&fronts_after(&service, &with(now), Some(&first))), *expected, "{what}");
    }
}

#[test]
fn of_two_services_with_one_address_the_first_has_it_until_it_goes() {
    let (mut state, mut edit) = (State::default(), Edit::default());
    let fronts = fronts(&cluster_ip(json!({})), &[]);
    let (first, second) = (Key::new("ns", "a"), Key::new("ns", "b"));
    assert!(state.set(&first, fronts.clone(), &mut edit).is_empty());
    assert_eq!(state.set(&second, fronts.clone(), &mut edit).len(), 1);
    assert!(state.set(&first, fronts.clone(), &mut edit).is_empty(), "again");
    assert!(state.set(&first, Fronts::new(), &mut edit).is_empty());
    assert_eq!(state.take_losers().into_iter().collect::<Vec<_>>(), std::slice::from_ref(&second));
    assert!(state.set(&second, fronts, &mut edit).is_empty());
}
