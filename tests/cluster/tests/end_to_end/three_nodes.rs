//! A server and two agents, each on a host of its own.

use cluster_tests::kubectl::{Kubectl, is_ready, name};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::net::{Shape, World};

#[test]
fn three_nodes() {
    let world = World::new(Shape::Switch);
    let mut server = Kutter::up(&world, 1);
    let agents = [Kutter::join(&world, 2, &server), Kutter::join(&world, 3, &server)];
    nodes_join(&server.kubectl());
    server.kubectl().apply_file("spread.yaml");
    server.kubectl().apply_file("client.yaml");
    let pods = server.kubectl().ready_pods("app=spread", 3);
    server.kubectl().ready_pods("app=mover", 1);
    server.kubectl().ready_pods("app=client", 1);
    one_service_across_nodes(&server, &agents, &pods);
    logs_and_exec_on_every_node(&server.kubectl(), &pods);
    a_restart_of_the_server_touches_no_pod(&mut server, &agents);
    a_node_cut_off_and_back(&world, &server, &agents[1]);
    let [second, third] = agents;
    third.down();
    second.down();
    server.down();
}

fn nodes_join(kubectl: &Kubectl<'_>) {
    until("three nodes are ready", 40, || {
        let nodes = kubectl.try_json("get nodes")["items"].as_array().cloned().unwrap_or_default();
        let ready: Vec<String> = nodes.iter().filter(|node| is_ready(node)).map(name).collect();
        holds(
            ready == ["n1", "n2", "n3"],
            nodes.iter().map(|node| node["status"]["conditions"].to_string()).collect::<Vec<_>>(),
        )
    });
    let ranges = kubectl.ok("get nodes -o jsonpath={.items[*].spec.podCIDR}");
    assert_eq!(ranges.split(' ').collect::<BTreeSet<_>>().len(), 3, "each has pod addresses of its own: {ranges}");
}

/// From every host, by the service's address, all three pods answer in the end; and so in a pod, by name.
fn one_service_across_nodes(server: &Kutter, agents: &[Kutter], pods: &[String]) {
    let kubectl = server.kubectl();
    let nodes = kubectl.ok("get pods -l app=spread -o jsonpath={.items[*].spec.nodeName}");
    assert_eq!(nodes.split(' ').collect::<BTreeSet<_>>(), BTreeSet::from(["n1", "n2", "n3"]));
    let address = kubectl.ok("get service spread -o jsonpath={.spec.clusterIP}");
    let all: BTreeSet<&str> = pods.iter().map(String::as_str).collect();
    for host in std::iter::once(server).chain(agents) {
        let mut seen = BTreeSet::new();
        until(&format!("all pods answer {}", host.name), 20, || {
            seen.insert(host.get(&address, 80, "/hostname")?.1.trim().to_owned());
            holds(seen.iter().map(String::as_str).eq(all.iter().copied()), &seen)
        });
    }
    for host in std::iter::once(server).chain(agents) {
        let (code, pod) = agents[0].get(&host.address(), 8081, "/hostname").unwrap();
        assert!(code == 200 && all.contains(pod.trim()), "the host port of {}: {code} {pod}", host.name);
    }
    let mut seen = BTreeSet::new();
    until("all pods answer a pod", 20, || {
        let said = kubectl.shell("client", "for i in 1 2 3 4 5 6; do wget -q -O - http://spread/hostname; done");
        seen.extend(said.out.lines().map(str::to_owned));
        holds(seen.iter().map(String::as_str).eq(all.iter().copied()), (&seen, said))
    });
}

fn logs_and_exec_on_every_node(kubectl: &Kubectl<'_>, pods: &[String]) {
    for pod in pods {
        let log = kubectl.ok(&format!("logs {pod}"));
        assert!(log.starts_with("serving on 8080\n"), "{pod}: {log}");
        let said = kubectl.shell(pod, "hostname; exit 5");
        assert_eq!((said.code, said.out.trim()), (5, &**pod), "{said:?}");
    }
}

fn a_restart_of_the_server_touches_no_pod(server: &mut Kutter, agents: &[Kutter]) {
    let before: Vec<_> = std::iter::once(&*server).chain(agents).map(Kutter::workloads).collect();
    assert!(before.iter().all(|of| !of.is_empty()), "{before:?}");
    server.stop();
    server.start();
    nodes_join(&server.kubectl());
    server.kubectl().ready_pods("app=spread", 3);
    let after: Vec<_> = std::iter::once(&*server).chain(agents).map(Kutter::workloads).collect();
    assert_eq!(after, before);
}

fn a_node_cut_off_and_back(world: &World, server: &Kutter, cut: &Kutter) {
    let kubectl = server.kubectl();
    let mover = kubectl.pods("app=mover").remove(0);
    assert_eq!(mover["spec"]["nodeName"], cut.name.as_str(), "it prefers that node");
    cut.unplug(world);
    until("the node counts as gone", 75, || {
        let node = kubectl.try_json(&format!("get node {}", cut.name));
        let state = ready_condition(&node);
        holds(state["status"] == "Unknown" && state["reason"] == "NodeStatusUnknown" && tainted(&node), &node)
    });
    let row = kubectl.ok(&format!("get node {} --no-headers", cut.name));
    assert_eq!(row.split_whitespace().nth(1), Some("NotReady"));
    let address = kubectl.ok("get service spread -o jsonpath={.spec.clusterIP}");
    until("the service goes without that node", 20, || {
        let answers: Vec<_> = (0..12).map(|_| server.get(&address, 80, "/hostname").map(|(code, _)| code)).collect();
        holds(answers.iter().all(|answer| *answer == Ok(200)), answers)
    });
    until("the pod moves", 20, || {
        let pods = kubectl.pods("app=mover");
        let moved = pods.len() == 1 && is_ready(&pods[0]) && pods[0]["spec"]["nodeName"] != cut.name.as_str();
        holds(moved, &pods)
    });
    cut.plug_in(world);
    until("the node is back", 60, || {
        let node = kubectl.try_json(&format!("get node {}", cut.name));
        holds(is_ready(&node) && !tainted(&node), &node)
    });
    until("the old pod is gone from its node", 40, || {
        let left = cut.workloads();
        holds(!left.values().any(|line| line.starts_with("sleep 3600")), left)
    });
    kubectl.ready_pods("app=spread", 3);
}

fn ready_condition(node: &Value) -> Value {
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default()
}

fn tainted(node: &Value) -> bool {
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let has = |effect: &str| {
        taints.iter().any(|taint| taint["key"] == "node.kubernetes.io/unreachable" && taint["effect"] == effect)
    };
    has("NoSchedule") && has("NoExecute")
}
