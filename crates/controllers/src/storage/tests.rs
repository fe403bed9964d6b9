//! Binding, holding and making claims on the fake API server.

use super::*;
use crate::kinds::resource::{
    PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES,
};
use crate::testing::Stage;
use serde_json::json;

fn volume(name: &str, size: &str, class: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "status": {"phase": "Available"},
           "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class}})
}

fn claim(name: &str, size: &str, class: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "uid": name}, "status": {"phase": "Pending"},
           "spec": {"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"],
                    "storageClassName": class}})
}

fn class(name: &str, mode: &str, provisioner: &str) -> Value {
    json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode})
}

fn bound(stage: &Stage, name: &str) -> (String, String) {
    let claim = stage.api.get(&PERSISTENT_VOLUME_CLAIMS, "ns", name).unwrap();
    (text(&claim, "/spec/volumeName").to_owned(), text(&claim, "/status/phase").to_owned())
}

#[tokio::test(start_paused = true)]
async fn claims_get_the_smallest_volume_that_suits() {
    let objects = [
        (&PERSISTENT_VOLUMES, volume("small", "1Gi", "fast")),
        (&PERSISTENT_VOLUMES, volume("big", "9Gi", "fast")),
        (&PERSISTENT_VOLUMES, volume("fit", "5Gi", "fast")),
        (&PERSISTENT_VOLUMES, volume("slow", "5Gi", "slow")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("a", "2Gi", "fast")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("b", "2Gi", "fast")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("c", "2Gi", "fast")),
    ];
    let stage = Stage::new(&BINDER, &objects).await;
    stage.settle(5).await;
    let mut taken = ["a", "b", "c"].map(|name| bound(&stage, name));
    taken.sort();
    let pair = |volume: &str, phase: &str| (volume.to_owned(), phase.to_owned());
    assert_eq!(taken, [pair("", "Pending"), pair("big", "Bound"), pair("fit", "Bound")]);
    let fit = stage.api.get(&PERSISTENT_VOLUMES, "", "fit").unwrap();
    assert_eq!(text(&fit, "/status/phase"), "Bound");
    assert!(
        stage.events().iter().any(|event| event.starts_with("ProvisioningFailed storageclass.storage.k8s.io \"fast\""))
    );
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
    // The claim goes: its volume is nobody's, but not free.
    let user = text(&fit, "/spec/claimRef/name").to_owned();
    stage.api.remove(&PERSISTENT_VOLUME_CLAIMS, "ns", &user);
    stage.settle(5).await;
    assert_eq!(text(&stage.api.get(&PERSISTENT_VOLUMES, "", "fit").unwrap(), "/status/phase"), "Released");
}

#[tokio::test(start_paused = true)]
async fn late_binding_waits_and_provisioners_are_asked() {
    let mut kept = volume("kept", "5Gi", "late");
    kept["spec"]["claimRef"] = json!({"namespace": "ns", "name": "chosen"});
    let objects = [
        (&STORAGE_CLASSES, class("late", "WaitForFirstConsumer", "kubernetes.io/no-provisioner")),
        (&STORAGE_CLASSES, class("made", "Immediate", "disks.example.com")),
        (&PERSISTENT_VOLUMES, volume("free", "5Gi", "late")),
        (&PERSISTENT_VOLUMES, kept),
        (&PERSISTENT_VOLUME_CLAIMS, claim("waits", "1Gi", "late")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("chosen", "1Gi", "late")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("asks", "1Gi", "made")),
        (&PERSISTENT_VOLUME_CLAIMS, claim("none", "1Gi", "")),
    ];
    let stage = Stage::new(&BINDER, &objects).await;
    stage.settle(5).await;
    assert_eq!(bound(&stage, "waits").0, "");
    assert_eq!(bound(&stage, "chosen"), ("kept".to_owned(), "Bound".to_owned()));
    let asks = stage.api.get(&PERSISTENT_VOLUME_CLAIMS, "ns", "asks").unwrap();
    assert_eq!(asks["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"], json!("disks.example.com"));
    let events = stage.events();
    for reason in ["WaitForFirstConsumer", "ExternalProvisioning", "FailedBinding no persistent volumes"] {
        assert!(events.iter().any(|event| event.starts_with(reason)), "{reason}: {events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn used_claims_and_bound_volumes_stay() {
    let mut going = claim("used", "1Gi", "");
    going["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]);
    let pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"nodeName": "n1", "volumes": volumes}});
    let objects = [(&PERSISTENT_VOLUME_CLAIMS, going), (&PODS, pod), (&PERSISTENT_VOLUMES, volume("v", "1Gi", ""))];
    let stage = Stage::with(&[&CLAIM_PROTECTION, &VOLUME_PROTECTION], &objects).await;
    stage.settle(5).await;
    assert_eq!(stage.writes(), ["update persistentvolumes v"]);
    stage.api.remove(&PODS, "ns", "p");
    stage.settle(5).await;
    assert_eq!(stage.writes(), ["update persistentvolumeclaims ns/used"]);
}

#[tokio::test(start_paused = true)]
async fn a_bound_claim_tells_whether_a_pod_names_it() {
    let held = |name: &str, phase: &str| {
        let mut claim = claim(name, "1Gi", "");
        claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        claim["status"]["phase"] = json!(phase);
        claim
    };
    let objects =
        [(&PERSISTENT_VOLUME_CLAIMS, held("p-v", "Bound")), (&PERSISTENT_VOLUME_CLAIMS, held("b", "Pending"))];
    let stage = Stage::new(&CLAIM_PROTECTION, &objects).await;
    let told = |stage: &Stage, name: &str| {
        let claim = stage.api.get(&PERSISTENT_VOLUME_CLAIMS, "ns", name).unwrap();
        let told = meta::conditions::find(&claim["status"]["conditions"], "Unused").cloned().unwrap_or_default();
        ["status", "reason", "message", "lastTransitionTime"].map(|field| told[field].as_str().unwrap_or("").to_owned())
    };
    let unused = ["True", "NoPodsUsingPVC", "No pods are currently referencing this PVC"].map(str::to_owned);
    let used = ["False", "PodUsingPVC", "A pod is currently referencing this PVC"].map(str::to_owned);
    assert_eq!(told(&stage, "p-v")[..3], unused);
    assert_eq!(told(&stage, "b"), [""; 4], "one that is not bound says nothing");
    // A pod counts before it has a node, and until it has ended.
    let volumes = json!([{"name": "v", "ephemeral": {}}, {"name": "w", "persistentVolumeClaim": {"claimName": "b"}}]);
    let mut pod = json!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}, "spec": {"volumes": volumes}});
    stage.settle(60).await;
    stage.api.put(&PODS, pod.clone());
    stage.settle(5).await;
    assert_eq!(told(&stage, "p-v")[..3], used);
    pod["status"] = json!({"phase": "Succeeded"});
    stage.settle(60).await;
    stage.api.put(&PODS, pod);
    stage.settle(5).await;
    assert_eq!(told(&stage, "p-v")[..3], unused);
    assert!(told(&stage, "p-v")[3].as_str() > "2026-01-01T00:02:00Z", "{:?}", told(&stage, "p-v"));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_not_let_go_for_a_cache_that_is_behind() {
    let mut going = claim("used", "1Gi", "");
    going["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    let stage = Stage::new(&CLAIM_PROTECTION, &[(&PERSISTENT_VOLUME_CLAIMS, going.clone())]).await;
    stage.api.hold(&PODS, true);
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]);
    let pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"nodeName": "n1", "volumes": volumes}});
    stage.api.put(&PODS, pod);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    stage.api.put(&PERSISTENT_VOLUME_CLAIMS, going);
    stage.settle(30).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn attribute_classes_stay_as_long_as_anybody_names_them() {
    let going = |name: &str| {
        let finalizers = json!(["kubernetes.io/vac-protection"]);
        json!({"metadata": {"name": name, "finalizers": finalizers, "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    };
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| claim(name, "1Gi", ""));
    a["spec"]["volumeAttributesClassName"] = json!("a");
    b["status"]["currentVolumeAttributesClassName"] = json!("b");
    c["status"]["modifyVolumeStatus"] = json!({"targetVolumeAttributesClassName": "c"});
    let mut d = volume("d", "1Gi", "");
    d["spec"]["volumeAttributesClassName"] = json!("d");
    let (claims, volumes, classes) = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES);
    let users = [(&claims, a), (&claims, b), (&claims, c), (&volumes, d)];
    let mut objects = users.to_vec();
    objects.extend(["a", "b", "c", "d", "free"].map(|name| (&classes, going(name))));
    objects.push((&classes, json!({"metadata": {"name": "new"}})));
    let stage = Stage::new(&ATTRIBUTES_PROTECTION, &objects).await;
    stage.settle(5).await;
    let mut writes = stage.writes();
    writes.sort();
    assert_eq!(writes, ["update volumeattributesclasses free", "update volumeattributesclasses new"]);
    let new = stage.api.get(&classes, "", "new").unwrap();
    assert_eq!(new["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
    for (resource, user) in users {
        let name = text(&user, "/metadata/name");
        stage.api.remove(resource, text(&user, "/metadata/namespace"), name);
        stage.settle(5).await;
        assert_eq!(stage.writes(), [format!("update volumeattributesclasses {name}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn pods_get_claims_of_their_own() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"storageClassName": "fast"}});
    let volumes = json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]);
    let pod = json!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}, "spec": {"volumes": volumes}});
    let stage = Stage::new(&EPHEMERAL, &[(&PODS, pod)]).await;
    stage.settle(5).await;
    let claim = stage.api.get(&PERSISTENT_VOLUME_CLAIMS, "ns", "p-v").unwrap();
    assert_eq!(claim["metadata"]["ownerReferences"][0]["uid"], json!("u"));
    assert_eq!(claim["spec"]["storageClassName"], json!("fast"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_to_grow_says_who_is_waited_for() {
    let external = "ExternalExpanding waiting for an external controller to expand this PVC";
    let cases = [
        ("csi", "2Gi", "u", Some(external)),
        ("nfs", "2Gi", "u", Some(external)),
        (
            "gcePersistentDisk",
            "2Gi",
            "u",
            Some(
                "ExternalExpanding CSI migration enabled for kubernetes.io/gce-pd; waiting for external resizer to expand \
                 the pvc",
            ),
        ),
        ("csi", "1Gi", "u", None),
        ("csi", "2Gi", "another", None),
    ];
    for (kind, size, owner, wanted) in cases {
        let mut volume = volume("v", "1Gi", "");
        volume["spec"][kind] = json!({});
        volume["spec"]["claimRef"] = json!({"uid": owner});
        let mut small = claim("c", "500Mi", "");
        small["metadata"]["uid"] = json!("u");
        small["spec"]["volumeName"] = json!("v");
        small["status"]["capacity"] = json!({"storage": "1Gi"});
        let stage = Stage::new(&EXPANDER, &[(&PERSISTENT_VOLUMES, volume), (&PERSISTENT_VOLUME_CLAIMS, small)]).await;
        stage.edit(&PERSISTENT_VOLUME_CLAIMS, "ns", "c", |claim| {
            claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        });
        stage.settle(5).await;
        // Other changes are not told of again.
        stage.edit(&PERSISTENT_VOLUME_CLAIMS, "ns", "c", |claim| claim["metadata"]["labels"] = json!({"a": "b"}));
        stage.settle(5).await;
        assert_eq!(stage.events(), wanted.into_iter().collect::<Vec<_>>(), "{kind} {size}");
        assert!(stage.writes().is_empty());
    }
}
