//! Proxied requests, services with two protocols on one port, slices written by hand, and the
//! endpoints of services.

use bytes::Bytes;
use cluster_tests::admin::{self, run};
use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;
use testkit::net::ask_from;

const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const MEBIBYTE: usize = 1 << 20;

/// Every method gets through to pods and services, with a path and without one.
pub fn proxies(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.ready_pods("app=server", 1);
    until("the service has its endpoint", 20, || {
        let found = kubectl.try_json("get endpointslices -l kubernetes.io/service-name=proxied");
        holds(found["items"][0]["endpoints"].as_array().is_some_and(|all| all.len() == 1), found)
    });
    let seen = run(kutter, async {
        let https = admin::https(kutter).await;
        let mut wrong = Vec::new();
        for target in ["pods/server:8080", "services/proxied:web"] {
            for path in ["/", "/some/path/with/parts"] {
                for method in METHODS {
                    let whole = format!("/api/v1/namespaces/default/{target}/proxy{path}");
                    let verb: Method = method.parse().unwrap();
                    let answer = match https.raw(verb, &whole, HeaderMap::new(), Bytes::new()).await {
                        Ok(answer) => answer.into_body().collect(MEBIBYTE).await.map_err(|error| error.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    let text = answer.map(|body| String::from_utf8_lossy(&body).into_owned());
                    let line = format!("request: {method} {path}\n");
                    if !text.as_ref().is_ok_and(|text| method == "HEAD" || text.contains(&line)) {
                        wrong.push(format!("{method} {whole}: {text:?}"));
                    }
                }
            }
        }
        wrong
    });
    assert_eq!(seen, Vec::<String>::new());
}

fn by_tcp(kutter: &Kutter, address: Ipv4Addr, port: u16) -> Result<(), String> {
    kutter.inside(|| {
        let wrong = |error: std::io::Error| error.to_string();
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), patience).map_err(wrong)?;
        stream.set_read_timeout(Some(patience)).map_err(wrong)?;
        stream.write_all(b"tcp?").map_err(wrong)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).map_err(wrong)?;
        holds(answer == *b"tcp?", answer)
    })
}

fn by_udp(kutter: &Kutter, address: Ipv4Addr, port: u16) -> Result<(), String> {
    kutter.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
        let answer = ask_from(&socket, address, port).map_err(|error| error.to_string())?;
        holds(answer == "?", answer)
    })
}

pub fn one_port_two_protocols(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let address: Ipv4Addr = kubectl.ok("get service both -o jsonpath={.spec.clusterIP}").parse().unwrap();
    until("TCP answers", 20, || by_tcp(kutter, address, 90));
    until("UDP answers", 20, || by_udp(kutter, address, 90));
    let only = |name: &str, protocol: &str| {
        let port = json!([{"name": name, "port": 90, "targetPort": 9000, "protocol": protocol}]);
        let patch = json!([{"op": "replace", "path": "/spec/ports", "value": port}]).to_string();
        kubectl.ok_args(&["patch", "service", "both", "--type=json", "-p", &patch]);
    };
    only("tcp", "TCP");
    until("UDP is gone", 20, || holds(by_udp(kutter, address, 90).is_err(), "it answers"));
    until("TCP has stayed", 20, || by_tcp(kutter, address, 90));
    only("udp", "UDP");
    until("UDP is back", 20, || by_udp(kutter, address, 90));
    until("TCP is gone", 20, || holds(by_tcp(kutter, address, 90).is_err(), "it answers"));
}

fn pod_address(kubectl: &Kubectl<'_>, pod: &str) -> String {
    kubectl.container(pod, "running", "");
    until("the pod's address is told", 20, || {
        let address = kubectl.json(&format!("get pod {pod}"))["status"]["podIP"].as_str().map(str::to_owned);
        address.ok_or_else(|| "none".to_owned())
    })
}

fn slice(name: &str, address: &str, ports: &[(&str, u16)]) -> String {
    let ports: Vec<Value> = ports.iter().map(|(name, port)| json!({"name": name, "port": port})).collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": ports,
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "slices"}},
        "endpoints": [{"addresses": [address]}]})
    .to_string()
}

/// Which pods answer at a port of the service, asked until all that are expected have.
#[track_caller]
fn answer(kutter: &Kutter, address: &str, port: u16, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    until(&format!("{expected:?} answer at port {port}"), 30, || {
        let answers = (0..20).map(|_| kutter.get(address, port, "/hostname"));
        let names: BTreeSet<String> = answers.flatten().map(|(_, body)| body.trim().to_owned()).collect();
        holds(names == expected, names)
    });
}

pub fn slices_by_hand(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let (first, second) = (pod_address(&kubectl, "server"), pod_address(&kubectl, "server-2"));
    let service = kubectl.ok("get service slices -o jsonpath={.spec.clusterIP}");
    // Several addresses, a slice for each: all serve.
    kubectl.apply(&slice("by-hand-1", &first, &[("a", 8080)]));
    kubectl.apply(&slice("by-hand-2", &second, &[("a", 8080)]));
    answer(kutter, &service, 80, &["server", "server-2"]);
    // One address with several ports, a slice for each.
    kubectl.ok("delete endpointslice by-hand-1 by-hand-2");
    kubectl.apply(&slice("by-hand-3", &first, &[("a", 8080)]));
    kubectl.apply(&slice("by-hand-4", &first, &[("b", 8081)]));
    for port in [80, 81] {
        answer(kutter, &service, port, &["server"]);
    }
    kubectl.ok("delete endpointslice by-hand-3 by-hand-4");
}

/// Services with pods have endpoints and slices with their addresses; with none, both are empty; and
/// both go with the service.
pub fn endpoints_of_services(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let address = pod_address(&kubectl, "server");
    for (service, expected) in [("proxied", vec![address.as_str()]), ("nobody", Vec::new())] {
        until(&format!("endpoints of {service}"), 20, || {
            let endpoints = kubectl.try_json(&format!("get endpoints {service}"));
            let slices = kubectl.json(&format!("get endpointslices -l kubernetes.io/service-name={service}"));
            let of_subsets = texts(&endpoints, "/subsets/0/addresses", "/ip");
            let of_slices = texts(&slices, "/items/0/endpoints", "/addresses/0");
            let there = endpoints["metadata"]["name"] == service
                && slices["items"].as_array().is_some_and(|all| all.len() == 1);
            holds(there && of_subsets == expected && of_slices == expected, (endpoints, slices))
        });
    }
    kubectl.ok("delete service nobody proxied");
    for service in ["nobody", "proxied"] {
        until("nothing is left", 40, || {
            let endpoints = kubectl.say(&format!("get endpoints {service}"));
            let slices = kubectl.json(&format!("get endpointslices -l kubernetes.io/service-name={service}"));
            let gone = endpoints.err.contains("not found") && slices["items"] == json!([]);
            holds(gone, (endpoints, slices))
        });
    }
}

fn texts(object: &Value, list: &str, field: &str) -> Vec<String> {
    let items = object.pointer(list).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.pointer(field)?.as_str().map(str::to_owned)).collect()
}
