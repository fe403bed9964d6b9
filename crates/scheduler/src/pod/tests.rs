//! What is read of pods.

use super::*;
use serde_json::{Value, json};

fn view(pod: &Value) -> PodView {
    PodView::project(pod.to_string().as_bytes()).unwrap()
}

#[test]
fn a_pod_needs_what_it_needs_at_its_busiest() {
    let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
    let mut pod = json!({"spec": {
        "overhead": {"cpu": "10m"},
        "initContainers": [
            {"name": "s", "resources": cpu("50m"), "restartPolicy": "Always"},
            {"name": "i", "resources": cpu("1")}
        ],
        "containers": [{"name": "a", "resources": cpu("100m")}, {"name": "b", "resources": cpu("200m")}]
    }});
    let spec = view(&pod).spec;
    assert_eq!(spec.requests.milli_cpu, 1060);
    assert_eq!(spec.scored.memory, 600 << 20);
    // A container that was not made smaller yet still has what it had.
    pod["status"]["containerStatuses"] = json!([{"name": "b", "allocatedResources": {"cpu": "2"}}]);
    assert_eq!(view(&pod).spec.requests.milli_cpu, 2160);
    pod["spec"]["resources"] = json!({"requests": {"cpu": "300m"}});
    assert_eq!(view(&pod).spec.requests.milli_cpu, 310);
}

#[test]
fn host_ports_clash_by_address() {
    let port = |address: &str| HostPort { address: address.to_owned(), protocol: "TCP".to_owned(), port: 80 };
    assert!(port("").clashes_with(&port("10.0.0.1")));
    assert!(!port("10.0.0.2").clashes_with(&port("10.0.0.1")));
}

#[test]
fn terms_without_namespaces_mean_the_pods_own() {
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["rev"]});
    let pod = json!({
        "metadata": {"name": "p", "namespace": "d", "labels": {"rev": "1"}},
        "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}},
    });
    let spec = view(&pod).spec;
    let [term] = spec.affinity.required_anti.as_slice() else { panic!("{:?}", spec.affinity) };
    let labels = |text: &str| serde_json::from_str(text).unwrap();
    let none = Labels::new();
    assert!(term.matches("d", &none, &labels(r#"{"a": "b", "rev": "1"}"#)));
    assert!(!term.matches("d", &none, &labels(r#"{"a": "b", "rev": "2"}"#)));
    assert!(!term.matches("e", &none, &labels(r#"{"a": "b", "rev": "1"}"#)));
}

#[test]
fn disks_are_shared_read_only_at_most() {
    let gce = |read_only| Disk::Gce { name: "d".to_owned(), read_only };
    assert!(gce(false).clashes_with(&gce(true)));
    assert!(!gce(true).clashes_with(&gce(true)));
    assert!(!gce(false).clashes_with(&Disk::Ebs { id: "d".to_owned() }));
    let ephemeral = json!({"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", "ephemeral": {}}]}});
    assert_eq!(view(&ephemeral).spec.claims().collect::<Vec<_>>(), ["p-v"]);
}

#[test]
fn images_are_known_by_their_full_names() {
    for (short, full) in [
        ("nginx", "docker.io/library/nginx:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/x", "localhost/x:latest"),
    ] {
        assert_eq!(full_image_name(short), full);
    }
}
