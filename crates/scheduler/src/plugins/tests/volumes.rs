//! Rules about volumes.

use crate::fixture::{Fixture, node};
use serde_json::{Value, json};

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode})
}

fn claim(name: &str, class: &str, volume: &str) -> Value {
    let done = if volume.is_empty() { json!({}) } else { json!({"pv.kubernetes.io/bind-completed": "yes"}) };
    json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "d", "annotations": done},
        "spec": {
            "storageClassName": class, "volumeName": volume, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
        },
    })
}

fn volume(name: &str, class: &str, size: &str, on: &str) -> Value {
    json!({
        "kind": "PersistentVolume", "metadata": {"name": name, "labels": {}},
        "spec": {
            "storageClassName": class, "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [on]},
            ]}]}},
        },
        "status": {"phase": "Available"},
    })
}

fn using(claim: &str) -> Value {
    json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}})
}

fn nodes() -> Vec<Value> {
    vec![node("n1", json!({"zone": "a"})), node("n2", json!({"zone": "b"}))]
}

#[tokio::test]
async fn claims_are_bound_where_their_volumes_are() {
    let mut objects = nodes();
    objects.extend([
        class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        class("now", "example.com/x", "Immediate"),
        class("made", "example.com/x", "WaitForFirstConsumer"),
        claim("bound", "local", "on-n1"),
        claim("vanished", "local", "nowhere"),
        claim("waiting", "local", ""),
        claim("immediate", "now", ""),
        claim("fresh", "made", ""),
        volume("on-n1", "local", "10Gi", "n1"),
        volume("small", "local", "1Gi", "n1"),
        volume("on-n2", "local", "10Gi", "n2"),
    ]);
    // Taken already.
    objects[10]["spec"]["claimRef"] = json!({"namespace": "d", "name": "bound", "uid": "u"});
    let mut cluster = Fixture::new(&objects).await;
    let none = "0/2 nodes are available: ";
    for (claim, wanted) in [
        ("bound", "n1".to_owned()),
        ("fresh", "n1 n2".to_owned()),
        ("immediate", format!("{none}pod has unbound immediate PersistentVolumeClaims.")),
        ("absent", format!("{none}persistentvolumeclaim \"absent\" not found.")),
        ("vanished", format!("{none}persistentvolume \"nowhere\" not found.")),
    ] {
        assert_eq!(cluster.verdict(&using(claim)), wanted, "{claim}");
    }
    assert_eq!(cluster.verdict(&using("waiting")), "n2");
    // Promised to another claim.
    cluster.cluster.assumed().volumes.insert("on-n2".to_owned(), client::Key::new("d", "other"));
    assert_eq!(
        cluster.verdict(&using("waiting")),
        format!("{none}2 node(s) didn't find available persistent volumes to bind.")
    );
    let mut elsewhere = using("bound");
    elsewhere["spec"]["nodeSelector"] = json!({"zone": "b"});
    assert_eq!(
        cluster.verdict(&elsewhere),
        format!(
            "{none}1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had volume node affinity conflict."
        )
    );
}

#[tokio::test]
async fn claims_follow_the_selected_node_and_the_room_that_drivers_tell() {
    let mut objects = nodes();
    let mut selected = claim("selected", "made", "");
    selected["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!("n2");
    objects.extend([
        class("made", "example.com/x", "WaitForFirstConsumer"),
        class("told", "example.com/t", "WaitForFirstConsumer"),
        selected,
        claim("fresh", "told", ""),
        json!({"kind": "CSIDriver", "metadata": {"name": "example.com/t"}, "spec": {"storageCapacity": true}}),
        json!({
            "kind": "CSIStorageCapacity", "metadata": {"name": "c", "namespace": "d"}, "storageClassName": "told",
            "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "6Gi",
        }),
    ]);
    let mut cluster = Fixture::new(&objects).await;
    assert_eq!(cluster.verdict(&using("selected")), "n2");
    assert_eq!(cluster.verdict(&using("fresh")), "n1");
    objects[7]["capacity"] = json!("1Gi");
    let mut cluster = Fixture::new(&objects).await;
    let message = "0/2 nodes are available: 2 node(s) did not have enough free storage.";
    assert_eq!(cluster.verdict(&using("fresh")), message);
}

#[tokio::test]
async fn zones_limits_and_exclusive_claims_are_respected() {
    let zone = "topology.kubernetes.io/zone";
    let mut objects = vec![node("n1", json!({"topology.kubernetes.io/zone": "a"})), node("n2", json!({zone: "b"}))];
    let csi = |name: &str| {
        json!({
            "kind": "PersistentVolume", "metadata": {"name": name, "labels": {}},
            "spec": {"csi": {"driver": "x", "volumeHandle": name}}, "status": {"phase": "Bound"},
        })
    };
    let mut zoned = csi("zoned");
    zoned["metadata"]["labels"][zone] = json!("b__c");
    let mut alone = claim("alone", "", "v1");
    alone["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    objects.extend([
        zoned,
        csi("v1"),
        csi("v2"),
        claim("in-b", "", "zoned"),
        alone,
        claim("other", "", "v2"),
        json!({"kind": "CSINode", "metadata": {"name": "n1"}, "spec": {"drivers": [
            {"name": "x", "allocatable": {"count": 1}},
        ]}}),
    ]);
    let mut cluster = Fixture::new(&objects).await;
    assert_eq!(cluster.verdict(&using("in-b")), "n2");
    assert_eq!(cluster.verdict(&using("alone")), "n1 n2");
    let mut user = using("alone");
    user["metadata"] = json!({"name": "user"});
    user["spec"]["nodeName"] = json!("n1");
    cluster.add_pod(&user);
    assert_eq!(
        cluster.verdict(&using("alone")),
        "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode \
         already in-use by another pod."
    );
    assert_eq!(cluster.verdict(&using("other")), "n2");
    let mut both = using("other");
    both["spec"]["nodeSelector"] = json!({"topology.kubernetes.io/zone": "a"});
    assert_eq!(
        cluster.verdict(&both),
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) exceed max volume \
         count."
    );
    cluster.remove_pod("user");
    assert_eq!(cluster.verdict(&using("other")), "n1 n2");
}
