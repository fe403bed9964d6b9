//! What pods use is told, and an autoscaler acts on it.

use cluster_tests::kubectl::{self, Kubectl};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use testkit::net::{Shape, World};

#[test]
fn a_busy_deployment_grows_and_shrinks() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.import_all();
    kutter.start();
    kutter.kubectl().apply_file("busy.yaml");
    kutter.kubectl().ready_pods("app=busy", 1);
    use_is_told(&kutter);

    until("the autoscaler sees the work", 40, || {
        let autoscaler = kutter.kubectl().json("get hpa busy");
        let desired = autoscaler["status"]["desiredReplicas"].as_i64();
        holds(desired == Some(3), &autoscaler["status"])
    });
    let told = kutter.kubectl().ok("describe hpa busy");
    assert!(
        told.contains("New size: 3; reason: cpu resource utilization (percentage of request) above target"),
        "{told}"
    );
    kutter.kubectl().ready_pods("app=busy", 3);

    let idle = r#"[{"op": "replace", "path": "/spec/metrics", "value": [{"type": "Resource", "resource":
        {"name": "memory", "target": {"type": "AverageValue", "averageValue": "10Gi"}}}]}]"#;
    kutter.kubectl().ok_args(&["patch", "hpa", "busy", "--type=json", "-p", idle]);
    until("nothing to do, one pod", 40, || {
        let pods = kutter.kubectl().pods("app=busy");
        holds(pods.len() == 1, pods.len())
    });
    kutter.down();
}

/// Every kubectl, ours too, shows the same.
fn use_is_told(kutter: &Kutter) {
    let each = kubectl::binaries().into_iter().map(|path| Kubectl::of(kutter, path)).chain([Kubectl::own(kutter)]);
    for kubectl in each {
        until("the pod's use", 30, || {
            let said = kubectl.say("top pod -l app=busy --no-headers");
            let cores =
                said.out.split_whitespace().nth(1).and_then(|cores| cores.strip_suffix('m')?.parse::<u32>().ok());
            // It is held to 200 thousandths and takes all of them.
            holds(cores.is_some_and(|cores| (100..=250).contains(&cores)), (kubectl.name(), said))
        });
        let node = kubectl.ok("top node");
        assert!(node.starts_with("NAME ") && node.contains("CPU(cores)") && node.contains("Mi "), "{node}");
    }
}
