//! Services of every form, on one node.

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use testkit::net::{Shape, World, ask_from};

#[test]
fn services() {
    let world = World::new(Shape::Switch);
    let kutter = Kutter::up(&world, 1);
    kutter.kubectl().apply_file("services.yaml");
    kutter.kubectl().apply_file("client.yaml");
    kutter.kubectl().ready_pods("app=echo", 3);
    kutter.kubectl().ready_pods("app=client", 1);
    kutter.kubectl().ready_pods("app=alone", 1);
    headless_names_every_pod(&kutter.kubectl());
    a_client_stays_with_its_pod(&kutter);
    datagrams_follow_the_pods(&kutter);
    endpoints_made_by_hand(&kutter);
    a_pod_reaches_itself(&kutter.kubectl());
    kutter.down();
}

fn addresses(kubectl: &Kubectl<'_>) -> BTreeSet<String> {
    let pods = kubectl.pods("app=echo");
    pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned()).collect()
}

fn headless_names_every_pod(kubectl: &Kubectl<'_>) {
    let expected = addresses(kubectl);
    until("a name for all pods", 10, || {
        let said = kubectl.shell("client", "nslookup headless.default.svc.cluster.local");
        let words = said.out.split_whitespace().filter(|word| word.starts_with("10.244."));
        let found: BTreeSet<String> = words.map(str::to_owned).collect();
        holds(found == expected, (&expected, said))
    });
}

fn a_client_stays_with_its_pod(kutter: &Kutter) {
    let address = kutter.kubectl().ok("get service sticky -o jsonpath={.spec.clusterIP}");
    let answers: BTreeSet<_> = (0..15).map(|_| kutter.get(&address, 80, "/hostname")).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// One socket, as a client that never stops has: when its pod is gone, another answers.
fn datagrams_follow_the_pods(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let address: Ipv4Addr = kubectl.ok("get service sticky -o jsonpath={.spec.clusterIP}").parse().unwrap();
    let socket = kutter.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let ask = || kutter.inside(|| ask_from(&socket, address, 80)).map_err(|error| error.to_string());
    until("a datagram back", 10, || ask().and_then(|text| holds(text == "?", text)));
    kubectl.ok("delete pods -l app=echo --wait=false");
    kubectl.ready_pods("app=echo", 3);
    until("the old pods are gone", 20, || {
        let all = kubectl.json("get pods -l app=echo")["items"].as_array().unwrap().len();
        holds(all == 3, all)
    });
    until("a datagram back from the new pods", 10, || ask().and_then(|text| holds(text == "?", text)));
}

fn endpoints_made_by_hand(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let pod = addresses(&kubectl).pop_first().unwrap();
    kubectl.apply(&format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: by-hand-1, labels: \
         {{kubernetes.io/service-name: by-hand}}}}, addressType: IPv4, ports: [{{name: web, port: 8080}}], \
         endpoints: [{{addresses: [{pod}]}}]}}"
    ));
    let address = kubectl.ok("get service by-hand -o jsonpath={.spec.clusterIP}");
    until("an endpoint made by hand", 10, || {
        let (code, body) = kutter.get(&address, 80, "/healthz")?;
        holds(code == 200, (code, body))
    });
    kubectl.ok("delete endpointslice by-hand-1");
    until("nothing without it", 10, || {
        let answer = kutter.get(&address, 80, "/healthz");
        holds(answer.as_ref().is_err_and(|error| error.contains("refused")), answer)
    });
}

/// Through its service: its bare name is its own host name.
fn a_pod_reaches_itself(kubectl: &Kubectl<'_>) {
    let said = kubectl.shell("alone", "timeout 5 wget -q -O - http://alone.default/hostname");
    assert_eq!(said.out, "alone\n", "{said:?}");
}
