//! One node, from an empty folder: a Deployment, its services, changes to it, a restart, the end.

use cluster_tests::kubectl::{Kubectl, name};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, remains, until};
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::net::{Shape, World, ask, inside};

#[test]
fn a_first_day() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::up(&world, 1);
    let status = kutter.run(&["status"]);
    assert!(status.contains("running: process ") && status.contains("node n1: Ready"), "{status}");
    services_before_their_pods(&kutter);
    reach_by_address_name_and_node_port(&world, &kutter);
    logs_and_exec(&kutter.kubectl());
    a_forwarded_port(&kutter);
    a_deleted_pod_comes_back(&kutter.kubectl());
    scale_by_applying_again(&kutter.kubectl());
    an_empty_folder_over_the_pages(&kutter);
    a_controller_without_selector(&kutter.kubectl());
    roll_out_and_back_under_load(&kutter);
    the_supervisors_death_leaves_pods_alone(&kutter);
    restart_leaves_pods_alone(&mut kutter);
    kutter.down();
}

fn services_before_their_pods(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    assert_eq!(kubectl.apply_file("web-services.yaml"), "service/web created\nservice/web-node created\n");
    let refused = kutter.get(&cluster_ip(&kubectl, "web"), 80, "/").unwrap_err();
    assert!(refused.contains("refused"), "a service without endpoints refuses: {refused}");
    assert_eq!(kubectl.apply_file("web.yaml"), "deployment.apps/web created\n");
    kubectl.apply_file("client.yaml");
    let names = kubectl.ready_pods("app=web", 2);
    assert!(names.iter().all(|name| name.starts_with("web-") && name.len() == "web-".len() + 10 + 6), "{names:?}");
    kubectl.ready_pods("app=client", 1);
    let line = kubectl.ok("get deployment web --no-headers");
    assert_eq!(line.split_whitespace().take(4).collect::<Vec<_>>(), ["web", "2/2", "2", "2"]);
}

fn reach_by_address_name_and_node_port(world: &World, kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let address = cluster_ip(&kubectl, "web");
    welcome(kutter, &address, 80);
    welcome(kutter, &kutter.address(), 30001);
    let from_outside = || inside(&world.outside, || cluster_tests::requests::get(&kutter.address(), 30001, "/"));
    until("node port from another host", 10, || from_outside().and_then(|(code, _)| holds(code == 200, code)));
    assert!(ask(&world.outside, kutter.host.address, 30002).is_err(), "a port that is nobody's");
    for target in [address.as_str(), "web", "web.default", "web.default.svc.cluster.local"] {
        let said = kubectl.shell("client", &format!("timeout 5 wget -q -O - http://{target}/"));
        assert!(said.out.contains("Welcome to nginx!"), "{target} from a pod: {said:?}");
    }
    let said = kubectl.shell("client", "nslookup kubernetes.default.svc.cluster.local");
    assert!(said.out.contains("10.96.0.1"), "{said:?}");
}

fn logs_and_exec(kubectl: &Kubectl<'_>) {
    assert_eq!(kubectl.ok("logs client"), "hello from client\n");
    let said = kubectl.shell("client", "echo out; echo err >&2; exit 7");
    assert_eq!((said.code, said.out.as_str()), (7, "out\n"));
    assert!(said.err.starts_with("err\n") && said.err.contains("exit code 7"), "{said:?}");
    let said = kubectl.run(&["exec", "-i", "client", "--", "tr", "a-z", "A-Z"], "typed in\n");
    assert_eq!(said.out, "TYPED IN\n", "{said:?}");
    let pod = name(&kubectl.pods("app=web")[0]);
    let said = kubectl.run(&["exec", &pod, "--", "/bin/bash", "-c", "echo $BASH $NGINX_VERSION"], "");
    assert_eq!(said.out, "/bin/bash 1.14.2\n", "{said:?}");
    let said = kubectl.at_a_terminal(&["exec", "-it", &pod, "--", "/bin/bash"], "tty; exit 6\n");
    assert!(said.code == 6 && said.out.contains("/dev/pts/0"), "{said:?}");
    let log = kubectl.ok_args(&["logs", &pod]);
    assert!(log.contains("GET / HTTP/1.1") || kubectl.ok("logs -l app=web").contains("GET / HTTP/1.1"), "{log}");
}

fn a_forwarded_port(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let _forward = kubectl.start(&["port-forward", "service/web", "8085:80"]);
    until("a page through a forwarded port", 20, || {
        let (code, body) = kutter.get("127.0.0.1", 8085, "/")?;
        holds(code == 200 && body.contains("Welcome to nginx!"), (code, body))
    });
}

fn a_deleted_pod_comes_back(kubectl: &Kubectl<'_>) {
    let gone = name(&kubectl.pods("app=web")[0]);
    assert_eq!(kubectl.ok(&format!("delete pod {gone}")), format!("pod \"{gone}\" deleted\n"));
    let now = kubectl.ready_pods("app=web", 2);
    assert!(!now.contains(&gone), "{now:?}");
}

fn scale_by_applying_again(kubectl: &Kubectl<'_>) {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/web.yaml")).unwrap();
    let before = kubectl.ready_pods("app=web", 2);
    assert_eq!(kubectl.apply(&manifest.replace("replicas: 2", "replicas: 3")), "deployment.apps/web configured\n");
    let after = kubectl.ready_pods("app=web", 3);
    assert!(before.iter().all(|old| after.contains(old)), "{before:?} {after:?}");
    assert_eq!(kubectl.apply(&manifest.replace("replicas: 2", "replicas: 3")), "deployment.apps/web unchanged\n");
    assert_eq!(kubectl.ok("scale deployment/web --replicas=2"), "deployment.apps/web scaled\n");
    kubectl.ready_pods("app=web", 2);
}

fn an_empty_folder_over_the_pages(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.apply_file("forbidden.yaml");
    assert_eq!(kubectl.ok("expose deployment forbidden --port=80"), "service/forbidden exposed\n");
    let pods = kubectl.ready_pods("app=forbidden", 2);
    let address = cluster_ip(&kubectl, "forbidden");
    until("403 from an empty folder", 10, || {
        let (code, body) = kutter.get(&address, 80, "/")?;
        holds(code == 403 && body.contains("403 Forbidden"), (code, body))
    });
    // Each pod has a folder of its own.
    kubectl.shell(&pods[0], "echo mine > /usr/share/nginx/html/index.html");
    let other = kubectl.shell(&pods[1], "ls /usr/share/nginx/html");
    assert_eq!((other.code, other.out.as_str()), (0, ""));
    kubectl.ok("delete deployment/forbidden service/forbidden");
}

fn a_controller_without_selector(kubectl: &Kubectl<'_>) {
    assert_eq!(kubectl.apply_file("controller.yaml"), "replicationcontroller/old-style created\n");
    kubectl.ready_pods("app=old-style", 2);
    let controller = kubectl.json("get rc old-style");
    assert_eq!(controller["spec"]["selector"], serde_json::json!({"app": "old-style"}));
    kubectl.ok("delete rc old-style");
    until("its pods are collected", 30, || {
        let pods = kubectl.json("get pods -l app=old-style")["items"].as_array().unwrap().len();
        holds(pods == 0, pods)
    });
}

/// New connections all the time, none of which may fail, and neither a probe nor a preStop hook to help.
fn roll_out_and_back_under_load(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let address = cluster_ip(&kubectl, "web");
    let done = AtomicBool::new(false);
    let (answered, failed) = std::thread::scope(|scope| {
        let load = scope.spawn(|| kutter.inside(|| requests_until(&done, &address)));
        let roll = || (0..3).for_each(|_| out_and_back(&kubectl));
        let rolled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(roll));
        done.store(true, Ordering::Relaxed);
        let counts = load.join().unwrap();
        rolled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    });
    assert!(answered > 100, "only {answered} requests were made");
    assert_eq!(failed, Vec::<String>::new(), "of {answered} requests");
    let history = kubectl.ok("rollout history deployment/web");
    let revisions: Vec<&str> = history.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(revisions, ["6", "7"], "going back makes an old revision the newest: {history}");
}

fn out_and_back(kubectl: &Kubectl<'_>) {
    kubectl.ok("set image deployment/web nginx=nginx:1.16.1");
    let said = kubectl.ok("rollout status deployment/web --timeout=60s");
    assert!(said.contains("deployment \"web\" successfully rolled out"), "{said}");
    assert_eq!(images(kubectl), ["nginx:1.16.1", "nginx:1.16.1"]);
    assert_eq!(kubectl.ok("rollout undo deployment/web"), "deployment.apps/web rolled back\n");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    assert_eq!(images(kubectl), ["nginx:1.14.2", "nginx:1.14.2"]);
}

fn requests_until(done: &AtomicBool, address: &str) -> (usize, Vec<String>) {
    let (mut answered, mut failed) = (0, Vec::new());
    while !done.load(Ordering::Relaxed) {
        match cluster_tests::requests::get(address, 80, "/") {
            Ok((200, _)) => answered += 1,
            other => failed.push(format!("{other:?}")),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    (answered, failed)
}

fn images(kubectl: &Kubectl<'_>) -> Vec<String> {
    kubectl.ready_pods("app=web", 2);
    let image = |pod: &serde_json::Value| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    kubectl.pods("app=web").iter().map(image).collect()
}

fn the_supervisors_death_leaves_pods_alone(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let before = settled(kutter);
    remains::kill(kutter.supervisor().expect("a supervisor runs"));
    until("exec works again", 20, || {
        let said = kubectl.shell("client", "echo here");
        holds(said.out == "here\n", said)
    });
    assert_eq!(kutter.workloads(), before);
    let gone = name(&kubectl.pods("app=web")[0]);
    kubectl.ok(&format!("delete pod {gone}"));
    let now = kubectl.ready_pods("app=web", 2);
    assert!(!now.contains(&gone), "containers are made and ended as before: {now:?}");
}

/// Stop and start: no process in a container changes, what was asked for meanwhile is done.
fn restart_leaves_pods_alone(kutter: &mut Kutter) {
    let address = cluster_ip(&kutter.kubectl(), "web");
    let before = settled(kutter);
    assert!(before.values().any(|line| line.contains("nginx")), "{before:?}");
    kutter.stop();
    assert_eq!(kutter.workloads(), before, "containers go on without kutter");
    welcome(kutter, &address, 80);
    let stopped = kutter.try_run(&["status"]);
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    kutter.start();
    let kubectl = kutter.kubectl();
    kubectl.ready_pods("app=web", 2);
    welcome(kutter, &address, 80);
    assert_eq!(kutter.workloads(), before, "containers go on under the new kutter");
    let restarts = kubectl.ok("get pods -o jsonpath={.items[*].status.containerStatuses[*].restartCount}");
    assert!(restarts.split_whitespace().all(|count| count == "0"), "{restarts}");
    assert_eq!(kubectl.ok("logs client"), "hello from client\n");
    a_pod_deleted_as_kutter_ends_is_gone(kutter);
}

/// The deletion is stored; the kutter that would have carried it out is killed at once.
fn a_pod_deleted_as_kutter_ends_is_gone(kutter: &mut Kutter) {
    kutter.kubectl().ok("delete pod client --wait=false --grace-period=3");
    kutter.kill();
    kutter.start();
    let kubectl = kutter.kubectl();
    until("the pod is gone", 30, || {
        let said = kubectl.say("get pod client");
        holds(said.err == "Error from server (NotFound): pods \"client\" not found\n", said)
    });
    until("its processes are gone", 10, || {
        let left = kutter.workloads();
        holds(!left.values().any(|line| line.starts_with("sleep 3600")), left)
    });
}

fn cluster_ip(kubectl: &Kubectl<'_>, service: &str) -> String {
    kubectl.ok(&format!("get service {service} -o jsonpath={{.spec.clusterIP}}"))
}

#[track_caller]
fn welcome(kutter: &Kutter, address: &str, port: u16) {
    until(&format!("a page from {address}:{port}"), 10, || {
        let (code, body) = kutter.get(address, port, "/")?;
        holds(code == 200 && body.contains("Welcome to nginx!"), (code, body))
    });
}

/// The processes in containers, once the pods on their way out are gone.
fn settled(kutter: &Kutter) -> std::collections::BTreeMap<(i32, String), String> {
    until("no pod is on its way out", 40, || {
        let pods = kutter.kubectl().json("get pods -l app=web")["items"].as_array().unwrap().len();
        holds(pods == 2, pods)
    });
    kutter.workloads()
}
