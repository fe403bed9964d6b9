//! What nodes do for pods beyond a first day: settings, users, sysctls, runtime classes, ephemeral
//! containers, generations, resizes, gRPC probes, images as volumes, trust and certificates; pods from
//! files, and a node that is short of something.

mod certificates;
mod image_volumes;
mod network;
mod pods;
mod pressure;
mod registry;
mod resize;
mod static_pods;
mod trust_bundles;

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::Value;
use testkit::net::{Shape, World};

#[test]
fn features_of_nodes() {
    let world = World::new(Shape::Switch);
    let kutter = up(&world);
    let kubectl = kutter.kubectl();
    kubectl.apply_file("node-features.yaml");
    resize::make(&kubectl);
    pods::environments_with_any_prefix(&kutter);
    pods::users_and_groups(&kubectl);
    pods::sysctls(&kubectl);
    pods::runtime_classes(&kubectl);
    pods::ephemeral_containers(&kutter);
    pods::generations(&kutter);
    resize::six_containers(&kutter);
    resize::through_the_replace_endpoint(&kutter);
    resize::equal_amounts(&kutter);
    resize::a_deferred_one_gets_its_turn(&kutter);
    network::proxies(&kutter);
    network::one_port_two_protocols(&kutter);
    network::slices_by_hand(&kutter);
    network::endpoints_of_services(&kutter);
    pods::grpc_probes(&kubectl);
    image_volumes::images_are_volumes(&kutter);
    kutter.down();
}

#[test]
fn certificates_of_pods() {
    let world = World::new(Shape::Switch);
    let kutter = up(&world);
    trust_bundles::bundles_reach_pods(&kutter);
    certificates::pods_get_certificates(&kutter);
    trust_bundles::changes_reach_pods(&kutter);
    kutter.down();
}

#[test]
fn files_and_pressure() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.import_all();
    let manifests = static_pods::directory(&kutter);
    kutter.add_arguments(&[
        "--pod-manifest-path",
        manifests.to_str().unwrap(),
        "--allowed-unsafe-sysctls",
        "kernel.msg*",
    ]);
    kutter.start();
    takes_pods(&kutter);
    pressure::make(&kutter.kubectl());
    static_pods::files_are_pods(&kutter, &manifests);
    pods::allowed_sysctls(&kutter.kubectl());
    pods::unknown_runtimes(&kutter.kubectl());
    pressure::limits_of_volumes(&kutter.kubectl());
    let second = static_pods::second_node(&world, &kutter);
    kutter.stop();
    static_pods::a_file_needs_no_server(&second);
    pressure::make_short(&mut kutter);
    kutter.start();
    static_pods::a_server_is_told_later(&kutter, &second);
    pressure::pods_are_evicted(&kutter);
    static_pods::stays_until_its_file_goes(&kutter, &manifests);
    second.down();
    kutter.down();
}

/// A server with a node that takes pods.
fn up(world: &World) -> Kutter {
    let kutter = Kutter::up(world, 1);
    takes_pods(&kutter);
    kutter
}

#[track_caller]
fn takes_pods(kutter: &Kutter) {
    until("the node takes pods", 40, || {
        let node = kutter.kubectl().try_json("get node n1");
        let free = node["metadata"]["name"] == "n1" && node["spec"]["taints"].is_null();
        holds(free, node)
    });
}

/// What a pod that has ended wrote.
#[track_caller]
fn output(kubectl: &Kubectl<'_>, pod: &str) -> String {
    ended(kubectl, pod, "Succeeded");
    kubectl.ok(&format!("logs {pod}"))
}

#[track_caller]
fn ended(kubectl: &Kubectl<'_>, pod: &str, phase: &str) -> Value {
    until(&format!("{pod} is {phase}"), 60, || {
        let found = kubectl.try_json(&format!("get pod {pod}"));
        holds(found["status"]["phase"] == phase, &found["status"]).map(|()| found)
    })
}
