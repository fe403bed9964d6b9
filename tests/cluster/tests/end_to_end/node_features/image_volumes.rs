//! Images as volumes, pulled by their own policy; and images in use stay.

use super::registry::Registry;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::{Value, json};

fn pod(name: &str, reference: &str, policy: &str) -> String {
    let spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "c", "image": "busybox:1.28", "command": ["sleep", "7200"],
            "volumeMounts": [
                {"name": "files", "mountPath": "/files"},
                {"name": "files", "mountPath": "/part", "subPath": "folder"},
            ],
        }],
        "volumes": [{"name": "files", "image": {"reference": reference, "pullPolicy": policy}}],
    });
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

pub fn images_are_volumes(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let content = tempfile::tempdir().unwrap();
    std::fs::create_dir(content.path().join("folder")).unwrap();
    std::fs::write(content.path().join("folder/file"), "of an image\n").unwrap();
    let registry = Registry::start(kutter, content.path());
    let name = format!("{}/data:v1", registry.address);
    kubectl.apply(&pod("image-volume", &name, "Always"));
    kubectl.apply(&pod("image-missing", &format!("{}/none:v1", registry.address), "Always"));
    kubectl.apply(&pod("image-never", "not-here:v1", "Never"));
    kubectl.container("image-volume", "running", "");
    let said = kubectl.shell("image-volume", "cat /files/folder/file /part/file; touch /files/new");
    assert_eq!(said.out, "of an image\nof an image\n", "{said:?}");
    assert!(said.err.contains("Read-only file system"), "{said:?}");
    until("the pull is told", 20, || {
        let events = kubectl.events("image-volume");
        holds(
            events.iter().any(|event| event.starts_with(&format!("Pulled: Successfully pulled image \"{name}\""))),
            events,
        )
    });
    waits(kutter, "image-missing", &["ErrImagePull", "ImagePullBackOff"]);
    waits(kutter, "image-never", &["ErrImageNeverPull"]);
    images_in_use_stay(kutter, &name);
}

fn waits(kutter: &Kutter, pod: &str, reasons: &[&str]) {
    until(&format!("{pod} waits for its image"), 30, || {
        let found = kutter.kubectl().try_json(&format!("get pod {pod}"));
        let reason = found.pointer("/status/containerStatuses/0/state/waiting/reason").and_then(Value::as_str);
        holds(reason.is_some_and(|reason| reasons.contains(&reason)), &found["status"])
    });
}

fn images_in_use_stay(kutter: &Kutter, name: &str) {
    let kubectl = kutter.kubectl();
    for image in [name, "busybox:1.28"] {
        let output = kutter.try_run(&["images", "remove", image]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(&format!("cannot remove image \"{image}\": container default/")),
            "{said}"
        );
    }
    kubectl.ok("delete pod image-volume image-missing image-never --now");
    until("the image can be removed", 30, || {
        let output = kutter.try_run(&["images", "remove", name]);
        holds(output.status.success(), output)
    });
}
