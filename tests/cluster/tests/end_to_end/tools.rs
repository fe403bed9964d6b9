//! The same first steps with every kubectl that users have: those of this machine, old and new,
//! and kutter's own.

use cluster_tests::kubectl::{Kubectl, binaries};
use cluster_tests::kutter::Kutter;
use testkit::net::{Shape, World};

#[test]
fn every_kubectl() {
    let world = World::new(Shape::Switch);
    let kutter = Kutter::up(&world, 1);
    let found = binaries();
    // The oldest, one in the middle, the newest.
    let mut chosen: Vec<_> =
        [0, found.len() / 2, found.len().saturating_sub(1)].iter().filter_map(|&at| found.get(at)).collect();
    chosen.dedup();
    for path in chosen {
        first_steps(&Kubectl::of(&kutter, path.clone()));
    }
    first_steps(&Kubectl::own(&kutter));
    kutter.down();
}

fn first_steps(kubectl: &Kubectl<'_>) {
    let who = kubectl.name();
    assert_eq!(kubectl.ok("create deployment nginx --image=nginx:1.14.2"), "deployment.apps/nginx created\n", "{who}");
    assert_eq!(kubectl.ok("scale deployment/nginx --replicas=3"), "deployment.apps/nginx scaled\n", "{who}");
    assert_eq!(kubectl.ok("expose deployment nginx --port=80"), "service/nginx exposed\n", "{who}");
    let pods = kubectl.ready_pods("app=nginx", 3);
    let wide = kubectl.ok("get pods -o wide");
    let columns: Vec<&str> = wide.lines().next().unwrap_or_default().split_whitespace().collect();
    let expected =
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"];
    assert_eq!(columns, expected, "{who}");
    let service = kubectl.ok("describe services nginx");
    assert!(
        service.contains("Selector:") && service.contains("app=nginx") && service.contains(":80"),
        "{who}: {service}"
    );
    assert_eq!(kubectl.ok("get deployment nginx -o jsonpath={.status.readyReplicas}"), "3", "{who}");
    let said = kubectl.run(&["exec", &pods[0], "--", "/bin/bash", "-c", "echo from bash; exit 4"], "");
    assert_eq!((said.code, said.out.as_str()), (4, "from bash\n"), "{who}: {said:?}");
    assert!(kubectl.ok("get all").contains("deployment.apps/nginx"), "{who}");
    kubectl.ok("label deployment nginx tier=front");
    assert_eq!(kubectl.ok("get deployment -l tier=front -o name"), "deployment.apps/nginx\n", "{who}");
    assert!(kubectl.ok("explain pods.spec.containers").contains("List of containers belonging to the pod."), "{who}");
    let created = kubectl.apply_file("client.yaml");
    assert_eq!(
        (created.as_str(), kubectl.apply_file("client.yaml").as_str()),
        ("pod/client created\n", "pod/client unchanged\n"),
        "{who}"
    );
    kubectl.ok("wait --for=condition=Ready pod/client --timeout=30s");
    assert_eq!(kubectl.ok("logs client"), "hello from client\n", "{who}");
    let deleted = kubectl.ok("delete deployment/nginx service/nginx pod/client --now");
    let expected = "deployment.apps \"nginx\" deleted\nservice \"nginx\" deleted\npod \"client\" deleted\n";
    // Newer ones name the namespace too.
    assert_eq!(deleted.replace(" from default namespace", ""), expected, "{who}");
    cluster_tests::until("all pods are gone", 30, || {
        let left = kubectl.ok("get pods -o name");
        cluster_tests::holds(left.is_empty(), left)
    });
}
