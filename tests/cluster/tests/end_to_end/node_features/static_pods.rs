//! Pods from files: mirrors, changes, and what becomes of them when others meddle.

use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::Value;
use std::path::{Path, PathBuf};
use testkit::net::World;

const NAME: &str = "from-file-n1";

/// Where the manifests of this kutter are.
pub fn directory(kutter: &Kutter) -> PathBuf {
    let directory = kutter.home().join("manifests");
    std::fs::create_dir_all(&directory).unwrap();
    write(&directory, 7501);
    directory
}

/// A second node of the cluster, which gets its pods' files later.
pub fn second_node(world: &World, server: &Kutter) -> Kutter {
    let mut node = Kutter::agent(world, 2, server);
    node.import_all();
    node.add_arguments(&["--pod-manifest-path", node.home().join("manifests").to_str().unwrap()]);
    node.spawn();
    until("the second node is ready", 60, || {
        let ready = server.kubectl().say("wait node n2 --for=condition=Ready --timeout=1s");
        holds(ready.code == 0, ready)
    });
    node
}

/// While no server runs.
pub fn a_file_needs_no_server(node: &Kutter) {
    let directory = node.home().join("manifests");
    std::fs::create_dir_all(&directory).unwrap();
    write(&directory, 7503);
    until("the pod runs without a server", 60, || {
        let found = process(node, 7503);
        holds(found.is_some(), node.log())
    });
}

pub fn a_server_is_told_later(server: &Kutter, node: &Kutter) {
    until("the server that is back shows the pod", 90, || {
        let pod = server.kubectl().try_json("get pod from-file-n2");
        holds(pod["status"]["phase"] == "Running", pod)
    });
    assert!(process(node, 7503).is_some());
}

fn write(directory: &Path, seconds: u32) {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: from-file\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: c\n    image: busybox:1.28\n    command: [sh, -c, echo written; exec sleep {seconds}]\n"
    );
    // In one step, as a file that is half there is no manifest.
    std::fs::write(directory.join(".next"), manifest).unwrap();
    std::fs::rename(directory.join(".next"), directory.join("from-file.yaml")).unwrap();
}

/// Process id and start time of what the pod runs.
fn process(kutter: &Kutter, seconds: u32) -> Option<(i32, String)> {
    let line = format!("sleep {seconds}");
    kutter.workloads().into_iter().find(|(_, of)| of.trim_end() == line).map(|(process, _)| process)
}

fn mirror(kutter: &Kutter) -> Value {
    kutter.kubectl().try_json(&format!("get pod {NAME}"))
}

#[track_caller]
fn shown(kutter: &Kutter, but: &Value) -> Value {
    until("the mirror shows a running pod", 60, || {
        let pod = mirror(kutter);
        let is_new = pod["metadata"]["uid"].is_string() && pod["metadata"]["uid"] != *but;
        let runs = pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        holds(is_new && runs, &pod).map(|()| pod)
    })
}

pub fn files_are_pods(kutter: &Kutter, manifests: &Path) {
    let first = shown(kutter, &Value::Null);
    let marks = &first["metadata"]["annotations"];
    assert_eq!(marks["kubernetes.io/config.source"], "file", "{marks}");
    assert_eq!(marks["kubernetes.io/config.mirror"], marks["kubernetes.io/config.hash"], "{marks}");
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "Node");
    let running = until("it runs and its log can be read", 30, || {
        let (log, found) = (kutter.kubectl().say(&format!("logs {NAME}")).out, process(kutter, 7501));
        found.filter(|_| log == "written\n").ok_or(log)
    });
    kutter.kubectl().ok(&format!("delete pod {NAME} --wait=false"));
    let second = shown(kutter, &first["metadata"]["uid"]);
    assert_eq!(process(kutter, 7501), Some(running), "the pod itself was not touched");
    std::fs::write(manifests.join("broken.yaml"), "kind: [").unwrap();
    write(manifests, 7502);
    until("the changed pod runs instead", 60, || {
        let (old, new) = (process(kutter, 7501), process(kutter, 7502));
        holds(old.is_none() && new.is_some(), (old, new))
    });
    let third = shown(kutter, &second["metadata"]["uid"]);
    assert_ne!(third["metadata"]["annotations"], second["metadata"]["annotations"]);
    assert!(kutter.log().contains("no manifest of a pod"), "a broken file is told of");
}

/// Through a restart of kutter and a node that is short of memory.
pub fn stays_until_its_file_goes(kutter: &Kutter, manifests: &Path) {
    assert!(process(kutter, 7502).is_some(), "it runs on");
    std::fs::remove_file(manifests.join("from-file.yaml")).unwrap();
    until("it has ended, and its mirror is gone", 60, || {
        let gone = process(kutter, 7502).is_none() && mirror(kutter).is_null();
        holds(gone, mirror(kutter))
    });
}
