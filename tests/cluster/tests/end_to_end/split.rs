//! Server and node as two processes: what is left when one of them dies.

use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::process::Command;
use testkit::net::{Shape, World};

#[test]
fn a_node_outlives_its_server() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.add_arguments(&["--split"]);
    kutter.import_all();
    kutter.start();
    kutter.kubectl().apply_file("client.yaml");
    kutter.kubectl().ready_pods("app=client", 1);
    let workloads = kutter.workloads();

    kutter.kill();
    assert_eq!(kutter.node_processes(), 1, "the node goes on");
    until("names are answered without a server", 5, || names_are_answered(&kutter));
    assert_eq!(kutter.workloads(), workloads);

    kutter.start();
    assert_eq!(kutter.node_processes(), 1, "the new server's node has taken over");
    assert_eq!(kutter.workloads(), workloads);
    until("the pod can be reached", 20, || {
        let said = kutter.kubectl().shell("client", "echo here");
        holds(said.out == "here\n", said)
    });

    kutter.kill_node_process();
    until("the node is started again", 20, || holds(kutter.node_processes() == 1, kutter.node_processes()));
    kutter.kubectl().ready_pods("app=client", 1);
    assert_eq!(kutter.workloads(), workloads);
    kutter.down();
}

fn names_are_answered(kutter: &Kutter) -> Result<(), String> {
    let words = ["nslookup", "kubernetes.default.svc.cluster.local", "10.96.0.10"];
    let output = kutter.inside(|| Command::new("busybox").args(words).output().unwrap());
    holds(String::from_utf8_lossy(&output.stdout).contains("10.96.0.1\n"), output)
}
