//! ClusterTrustBundles in pods: by name, by signer and labels, many of them, and none.

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::{Value, json};
use std::process::Command;

const SIGNER: &str = "test.example.com/signer";
/// More than a hundred, in one volume.
const MANY: usize = 105;

/// A certificate of its own authority; PEM. One key for all is quicker.
fn authority(folder: &std::path::Path, name: &str) -> String {
    let run = |words: &[&str]| {
        let output = Command::new("openssl").args(words).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    if !folder.join("key.pem").exists() {
        run(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
    }
    run(&["req", "-x509", "-new", "-key", "key.pem", "-days", "2", "-subj", &format!("/CN={name}")])
}

pub(super) fn bundle(name: &str, signer: Option<&str>, labels: &Value, pem: &str) -> Value {
    let mut spec = json!({"trustBundle": pem});
    if let Some(signer) = signer {
        spec["signerName"] = json!(signer);
    }
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
        "metadata": {"name": name, "labels": labels}, "spec": spec})
}

/// A pod with a volume for each source: its file is `/trust/N/ca.pem`.
fn pod(name: &str, sources: &[Value]) -> Value {
    let volume = |(at, source): (usize, &Value)| {
        let mut source = source.clone();
        source["path"] = json!("ca.pem");
        json!({"name": format!("v{at}"), "projected": {"sources": [{"clusterTrustBundle": source}]}})
    };
    let mount = |at: usize| json!({"name": format!("v{at}"), "mountPath": format!("/trust/{at}")});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "7300"],
            "volumeMounts": (0..sources.len()).map(mount).collect::<Vec<_>>()}],
        "volumes": sources.iter().enumerate().map(volume).collect::<Vec<_>>(),
    }})
}

pub(super) fn apply_all(kubectl: &Kubectl<'_>, objects: &[Value]) {
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
}

/// The certificates of a file, in some order of their own.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        text.split_inclusive("-----END CERTIFICATE-----\n").map(|part| part.trim().to_owned()).collect();
    parts.sort();
    parts
}

pub fn bundles_reach_pods(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let work = tempfile::tempdir().unwrap();
    let [one, two, three, alone] = ["one", "two", "three", "alone"].map(|name| authority(work.path(), name));
    let linked = |name: &str, live: &str, pem: &str| {
        bundle(&format!("test.example.com:signer:{name}"), Some(SIGNER), &json!({"live": live}), pem)
    };
    let mut objects = vec![
        bundle("alone", None, &json!({}), &alone),
        linked("a", "yes", &format!("{one}{two}")),
        linked("b", "yes", &two),
        linked("c", "no", &three),
    ];
    let numbered = |number: usize| format!("many-{number}");
    let many: Vec<String> = (0..MANY).map(|number| authority(work.path(), &numbered(number))).collect();
    objects.extend(many.iter().enumerate().map(|(number, pem)| bundle(&numbered(number), None, &json!({}), pem)));
    let of = |more: Value| {
        let mut source = json!({"signerName": SIGNER});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        source
    };
    let nothing = json!({"matchLabels": {"live": "perhaps"}});
    let sources = [
        json!({"name": "alone"}),
        of(json!({"labelSelector": {}})),
        of(json!({"labelSelector": {"matchLabels": {"live": "yes"}}})),
        of(json!({"labelSelector": nothing, "optional": true})),
        of(json!({"optional": true})),
        json!({"name": "missing", "optional": true}),
    ];
    objects.push(pod("trusting", &sources));
    objects.push(pod("no-such-bundle", &[json!({"name": "missing"})]));
    objects.push(pod("no-match", &[of(json!({"labelSelector": nothing}))]));
    objects.push(crowd());
    apply_all(&kubectl, &objects);

    kubectl.container("trusting", "running", "");
    let joined = |all: &[&String]| all.iter().map(|pem| pem.as_str()).collect::<String>();
    let expected = [
        alone.clone(),
        joined(&[&one, &two, &three]),
        joined(&[&one, &two]),
        String::new(),
        String::new(),
        String::new(),
    ];
    for (at, wanted) in expected.iter().enumerate() {
        let said = kubectl.shell("trusting", &format!("cat /trust/{at}/ca.pem"));
        assert_eq!((said.code, parts(&said.out)), (0, parts(wanted)), "volume {at}");
    }
    kubectl.container("crowd", "running", "");
    let said = kubectl.shell("crowd", "cat /trust/*.pem");
    assert_eq!(parts(&said.out), parts(&many.concat()));
    never_starts(&kubectl, "no-such-bundle", "clustertrustbundle.certificates.k8s.io \"missing\" not found");
    never_starts(&kubectl, "no-match", "combination of signerName and labelSelector matched zero ClusterTrustBundles");
    kubectl.ok("delete pod no-such-bundle no-match crowd --now --wait=false");
}

/// Volumes are looked at again within a minute.
pub fn changes_reach_pods(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let work = tempfile::tempdir().unwrap();
    let other = authority(work.path(), "other");
    apply_all(&kubectl, &[bundle("alone", None, &json!({}), &other)]);
    until("changes reach the pods", 100, || {
        let said = kubectl.shell("trusting", "cat /trust/0/ca.pem");
        holds(parts(&said.out) == parts(&other), said)
    });
}

/// One volume with a hundred projections and more.
fn crowd() -> Value {
    let source = |number: usize| json!({"clusterTrustBundle": {"name": format!("many-{number}"), "path": format!("{number:03}.pem")}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "crowd"}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "busybox:1.28", "command": ["sleep", "7301"],
            "volumeMounts": [{"name": "all", "mountPath": "/trust"}]}],
        "volumes": [{"name": "all", "projected": {"sources": (0..MANY).map(source).collect::<Vec<_>>()}}],
    }})
}

#[track_caller]
fn never_starts(kubectl: &Kubectl<'_>, pod: &str, why: &str) {
    until(&format!("{pod} tells why it does not start"), 30, || {
        let events = kubectl.events(pod);
        holds(events.iter().any(|event| event.starts_with("FailedMount: ") && event.contains(why)), events)
    });
    let status = kubectl.json(&format!("get pod {pod}"))["status"].clone();
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
}
