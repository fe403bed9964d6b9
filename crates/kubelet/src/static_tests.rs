//! Scenarios of pods from files.

use crate::scenario_tests::{Node, one};
use meta::GroupVersionResource;
use serde_json::{Value, json};

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

fn write(node: &Node, file: &str, image: &str) {
    let manifest = json!({"kind": "Pod", "metadata": {"name": "web"}, "spec": one(json!({"image": image}))});
    let directory = node.directory.path().join("manifests");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(file), manifest.to_string()).unwrap();
}

fn mirror(node: &Node) -> Option<Value> {
    node.api.get(&PODS, "default", "web-node")
}

/// The server gives what is created a uid; this one does not.
fn identify(node: &Node, uid: &str) {
    let mut made = mirror(node).unwrap();
    made["metadata"]["uid"] = json!(uid);
    node.api.put(&PODS, made);
}

fn started(node: &Node) -> usize {
    node.runtime.take_log().iter().filter(|line| *line == "start c").count()
}

#[tokio::test(start_paused = true)]
async fn a_file_is_a_pod_with_a_mirror() {
    let mut node = Node::new().await;
    write(&node, "web.yaml", "one");
    node.wait(3).await;
    assert_eq!(started(&node), 1);
    let made = mirror(&node).unwrap();
    let hash = made["metadata"]["annotations"]["kubernetes.io/config.mirror"].clone();
    assert_eq!(made["metadata"]["annotations"]["kubernetes.io/config.hash"], hash);
    assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "node");
    identify(&node, "m1");
    node.wait(3).await;
    assert_eq!(mirror(&node).unwrap()["status"]["phase"], "Running");
    // Whoever deletes the mirror ends nothing.
    node.api.remove(&PODS, "default", "web-node");
    node.wait(3).await;
    assert_eq!(mirror(&node).unwrap()["metadata"]["annotations"]["kubernetes.io/config.mirror"], hash);
    assert_eq!(started(&node), 0);
    // A restart of kutter finds it running.
    node.stop().await;
    node.start().await;
    node.wait(3).await;
    assert_eq!(started(&node), 0);
    // Another file, another pod: after the first has ended.
    write(&node, "web.yaml", "another");
    node.wait(5).await;
    let log = node.runtime.take_log();
    let place = |text: &str| log.iter().position(|line| line == text);
    assert!(place("ended c").is_some() && place("ended c") < place("start c"), "{log:?}");
    identify(&node, "m2");
    node.wait(3).await;
    assert_ne!(mirror(&node).unwrap()["metadata"]["annotations"]["kubernetes.io/config.mirror"], hash);
    std::fs::write(node.directory.path().join("manifests/broken.yaml"), "{").unwrap();
    node.wait(3).await;
    assert!(node.runtime.take_log().is_empty(), "a broken file does no harm");
    std::fs::remove_file(node.directory.path().join("manifests/web.yaml")).unwrap();
    node.wait(5).await;
    assert!(node.runtime.state.lock().unwrap().sandboxes.is_empty());
    assert_eq!(mirror(&node), None);
}

#[tokio::test(start_paused = true)]
async fn no_server_is_needed_to_run_a_file() {
    let mut node = Node::new().await;
    node.stop().await;
    node.api.fault(|_: &client::Request| Some(client::Error::Connection("cut".to_owned())));
    write(&node, "web.yaml", "one");
    node.start().await;
    node.wait(3).await;
    assert_eq!(started(&node), 1);
    node.runtime.finish("c", 1);
    node.wait(3).await;
    assert_eq!(started(&node), 1, "and to start it again");
    node.stop().await;
    std::fs::remove_file(node.directory.path().join("manifests/web.yaml")).unwrap();
    node.start().await;
    node.wait(3).await;
    assert!(node.runtime.state.lock().unwrap().sandboxes.is_empty(), "its file has gone");
    node.api.clear_faults();
    write(&node, "web.yaml", "one");
    node.wait(60).await;
    assert!(mirror(&node).is_some());
}
