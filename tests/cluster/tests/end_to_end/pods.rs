//! Pods on one node: probes, pull policies, settings, ways to end.

use cluster_tests::kubectl::{Kubectl, is_ready};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, remains, until};
use serde_json::Value;
use testkit::net::{Shape, World};

#[test]
fn lives_of_pods() {
    let world = World::new(Shape::Switch);
    let kutter = Kutter::up(&world, 1);
    let kubectl = kutter.kubectl();
    for file in ["probes.yaml", "endings.yaml", "pull-policies.yaml", "settings.yaml", "host-network.yaml"] {
        kubectl.apply_file(file);
    }
    settings_from_every_source(&kubectl);
    pull_policies(&kubectl);
    endings(&kutter);
    readiness(&kubectl);
    liveness_by_command(&kubectl);
    liveness_by_page(&kubectl);
    the_hosts_network(&kutter);
    settings_change(&kubectl);
    a_crashing_container_backs_off(&kubectl);
    a_lost_pod_init(&kutter);
    kutter.down();
}

/// What nobody looks after any more makes room before it is started again.
fn a_lost_pod_init(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.apply_file("client.yaml");
    kubectl.ready_pods("app=client", 1);
    let uid = kubectl.ok("get pod client -o jsonpath={.metadata.uid}");
    let running = || -> Vec<_> {
        let all = kutter.workloads().into_keys();
        all.filter(|(pid, _)| remains::groups(*pid).contains(&uid)).collect()
    };
    let before = running();
    kutter.pod_inits(&uid).into_iter().for_each(remains::kill);
    until("the container runs again", 20, || {
        let status = &kubectl.json("get pod client")["status"]["containerStatuses"][0];
        let again = status["restartCount"] == 1 && status["ready"] == true;
        holds(again, status)
    });
    let after = running();
    assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
    event(&kubectl, "client", "SandboxChanged: Pod sandbox changed, it will be killed and re-created.");
}

fn settings_from_every_source(kubectl: &Kubectl<'_>) {
    until("the pod is ready", 40, || {
        let pod = kubectl.try_json("get pod settings");
        holds(is_ready(&pod), &pod["status"])
    });
    let script = "echo $COLOUR $PASSWORD $GREETING $MEMORY $ALL_shape $KUBERNETES_SERVICE_HOST; \
        cat /work/first /work/second /etc/settings/colour; echo; cat /etc/secrets/password; echo; \
        cat /etc/about/labels; echo; cat /etc/one-file; echo; stat -L -c %a /etc/secrets/password; hostname";
    let said = kubectl.run(&["exec", "settings", "-c", "main", "--", "sh", "-c", script], "");
    let expected = "blue hush hello settings 67108864 round 10.96.0.1\nfrom-init\nfrom-init\nblue\nhush\ntier=\"back\"\nblue\n400\nsettings\n";
    assert_eq!(said.out, expected, "{said:?}");
    let said =
        kubectl.run(&["exec", "settings", "-c", "main", "--", "sh", "-c", "echo no > /etc/secrets/password"], "");
    assert!(said.err.contains("Read-only file system"), "{said:?}");
    let pod = kubectl.json("get pod settings");
    let first = &pod["status"]["initContainerStatuses"][0]["state"]["terminated"];
    assert_eq!((&first["exitCode"], &first["reason"]), (&Value::from(0), &Value::from("Completed")));
    assert_eq!(pod["status"]["initContainerStatuses"][1]["started"], true, "the sidecar runs");
    assert_eq!(kubectl.ok("get pod settings --no-headers").split_whitespace().nth(1), Some("2/2"));
}

fn pull_policies(kubectl: &Kubectl<'_>) {
    let waiting = kubectl.container("pull-never", "waiting", "ErrImageNeverPull");
    let message = "Container image \"not-here:1.0\" is not present with pull policy of Never";
    assert_eq!(waiting["state"]["waiting"]["message"], message);
    event(kubectl, "pull-never", &format!("ErrImageNeverPull: {message}"));
    for pod in ["pull-never-present", "pull-if-not-present"] {
        kubectl.container(pod, "running", "");
        event(
            kubectl,
            pod,
            "Pulled: Container image \"busybox:1.28\" already present on machine and can be accessed by the pod",
        );
    }
    assert_eq!(kubectl.json("get pod pull-always")["spec"]["containers"][0]["imagePullPolicy"], "Always");
    until("the pull fails and backs off", 40, || {
        let pod = kubectl.json("get pod pull-always");
        let reason = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
        holds(reason == "ErrImagePull" || reason == "ImagePullBackOff", reason)
    });
    event(kubectl, "pull-always", "Pulling: Pulling image \"127.0.0.1:5999/not-here\"");
    event(kubectl, "pull-always", "Failed: Error: ErrImagePull");
}

fn endings(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.container("killed", "running", "");
    kutter.kill_workload("sleep 7777");
    let cases = [("ends-with-3", "Error", 3), ("killed", "Error", 137), ("eater", "OOMKilled", 137)];
    for (pod, reason, code) in cases {
        let ended = kubectl.container(pod, "terminated", reason);
        assert_eq!(ended["state"]["terminated"]["exitCode"], code, "{pod}");
        until("the pod has failed", 10, || {
            let phase = kubectl.json(&format!("get pod {pod}"))["status"]["phase"].clone();
            holds(phase == "Failed", phase)
        });
    }
    assert_eq!(kubectl.ok("get pod eater --no-headers").split_whitespace().nth(2), Some("OOMKilled"));
}

fn readiness(kubectl: &Kubectl<'_>) {
    let pod = kubectl.json("get pod readiness");
    assert!(!is_ready(&pod), "not before the file is there");
    assert_eq!(kubectl.shell("readiness", "touch /tmp/ready").code, 0);
    kubectl.ready_pods("app=readiness", 1);
    assert_eq!(kubectl.shell("readiness", "rm /tmp/ready").code, 0);
    until("not ready without the file", 20, || {
        let pod = kubectl.json("get pod readiness");
        holds(!is_ready(&pod), &pod["status"])
    });
    event(
        kubectl,
        "readiness",
        "Unhealthy: Readiness probe failed: cat: can't open '/tmp/ready': No such file or directory\n",
    );
}

fn liveness_by_command(kubectl: &Kubectl<'_>) {
    restarted(kubectl, "liveness-exec");
    let row = kubectl.ok("get pod liveness-exec --no-headers");
    assert!(row.split_whitespace().nth(3).is_some_and(|count| count != "0"), "{row}");
    event(
        kubectl,
        "liveness-exec",
        "Unhealthy: Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory\n",
    );
    event(kubectl, "liveness-exec", "Killing: Container liveness failed liveness probe, will be restarted");
    let described = kubectl.ok("describe pod liveness-exec");
    assert!(described.contains("will be restarted") && described.contains("Restart Count:"), "{described}");
}

fn liveness_by_page(kubectl: &Kubectl<'_>) {
    kubectl.container("liveness-http", "running", "");
    assert_eq!(kubectl.json("get pod liveness-http")["status"]["containerStatuses"][0]["restartCount"], 0);
    let moved = kubectl.shell("liveness-http", "mv /usr/share/nginx/html/index.html /tmp/");
    assert_eq!(moved.code, 0, "{moved:?}");
    restarted(kubectl, "liveness-http");
    kubectl.container("liveness-http", "running", "");
    let back = kubectl.shell("liveness-http", "ls /usr/share/nginx/html/index.html");
    assert_eq!(back.out, "/usr/share/nginx/html/index.html\n", "a new container has its own files: {back:?}");
    event(kubectl, "liveness-http", "Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 404");
}

fn the_hosts_network(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.ready_pods("app=on-the-host", 1);
    let status = kubectl.json("get pod on-the-host")["status"].clone();
    assert_eq!(
        (status["podIP"].as_str(), status["hostIP"].as_str()),
        (Some(&*kutter.address()), Some(&*kutter.address()))
    );
    let (code, body) = kutter.get(&kutter.address(), 8088, "/hostname").unwrap();
    // It shares the host's name too, whatever that is.
    assert_eq!((code, body.trim().is_empty()), (200, false));
}

/// Volumes follow; environments and single files by subPath stay as they were.
fn settings_change(kubectl: &Kubectl<'_>) {
    kubectl.ok_args(&["patch", "configmap", "settings", "-p", r#"{"data":{"colour":"green"}}"#]);
    kubectl.ok_args(&["patch", "secret", "secrets", "-p", r#"{"stringData":{"password":"louder"}}"#]);
    let script = "cat /etc/settings/colour /etc/secrets/password /etc/one-file; echo \" $COLOUR\"";
    until("volumes follow their sources", 100, || {
        let said = kubectl.run(&["exec", "settings", "-c", "main", "--", "sh", "-c", script], "");
        holds(said.out == "greenlouderblue blue\n", said)
    });
}

fn a_crashing_container_backs_off(kubectl: &Kubectl<'_>) {
    let waiting = kubectl.container("crashing", "waiting", "CrashLoopBackOff");
    let message = waiting["state"]["waiting"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("back-off ") && message.contains("restarting failed container=c pod=crashing_default("),
        "{message}"
    );
    assert_eq!(waiting["lastState"]["terminated"]["exitCode"], 1);
    assert!(waiting["restartCount"].as_u64().is_some_and(|count| count >= 1), "{waiting}");
    assert_eq!(kubectl.ok("logs crashing --previous"), "trying\n");
    let events = kubectl.events("crashing");
    assert!(
        events
            .iter()
            .any(|event| event.starts_with("BackOff: Back-off restarting failed container c in pod crashing_default(")),
        "{events:?}"
    );
}

#[track_caller]
fn restarted(kubectl: &Kubectl<'_>, pod: &str) {
    until(&format!("{pod} is restarted"), 40, || {
        let status = kubectl.json(&format!("get pod {pod}"))["status"]["containerStatuses"][0].clone();
        holds(status["restartCount"].as_u64().is_some_and(|count| count >= 1), status)
    });
}

/// Events are written beside the work they tell of: it may take a moment.
#[track_caller]
fn event(kubectl: &Kubectl<'_>, object: &str, expected: &str) {
    until(&format!("{object}: event {expected:?}"), 15, || {
        let events = kubectl.events(object);
        holds(events.iter().any(|event| event.trim_end() == expected.trim_end()), events)
    });
}
