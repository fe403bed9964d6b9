//! A machine with a pure cgroup v2, as users have: the thin thread, an OOM kill and a CPU limit.

use std::path::Path;
use std::time::Duration;
use testkit::images;
use testkit::machine::Machine;

/// Emulated, everything takes ten times as long.
const PATIENCE: Duration = Duration::from_secs(400);

#[test]
fn a_node_on_a_machine_with_cgroup_v2() {
    let mut machine = Machine::new().unwrap();
    machine.program("usr/bin/kutter", cluster_tests::program::kutter()).unwrap();
    for image in ["nginx", "kutter-test"] {
        machine.file(&format!("root/{image}.tar"), &images::archive(image).unwrap()).unwrap();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    machine.file("root/machine.yaml", &here.join("manifests/machine.yaml")).unwrap();
    let console = machine.run(include_str!("own_machine.sh"), PATIENCE).unwrap();
    let expected = [
        "controllers: cpu",
        "page: 200",
        "after a kill: 200",
        "ended: OOMKilled 137",
        "throttled: yes",
        "share of a core: fair",
        "left: processes 0, cgroups 0, mounts 0, links 0",
        "work ended with 0",
    ];
    for line in expected {
        assert!(console.contains(line), "no {line:?} on the console:\n{console}");
    }
}
