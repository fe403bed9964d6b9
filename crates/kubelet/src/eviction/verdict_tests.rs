//! The texts, and who is told them.

use super::super::signals::{Observed, Signal};
use super::super::thresholds::EvictionOptions;
use super::super::usage::{ContainerUsage, Disk};
use super::*;
use serde_json::{Value, json};

const MI: i64 = 1 << 20;

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn container(name: &str, memory: i64, root: i64, logs: i64) -> ContainerUsage {
    let disk = |mebibytes: i64| Disk { bytes: mebibytes * MI, files: 1 };
    ContainerUsage { name: name.to_owned(), memory: memory * MI, root: disk(root), logs: disk(logs) }
}

#[test]
fn pressure_is_told_with_the_offenders() {
    let spec = json!({"terminationGracePeriodSeconds": 7, "containers": [
        {"name": "x"}, {"name": "y", "resources": {"requests": {"memory": "70Mi", "ephemeral-storage": "1Gi"}}},
    ]});
    let usage =
        PodUsage { containers: vec![container("x", 60, 1, 2), container("y", 70, 0, 0)], ..PodUsage::default() };
    let candidate = Candidate { pod: pod(spec), usage };
    let told = |options: &EvictionOptions, signal: Signal, available: i64| {
        let observed = [(signal, Observed { available, capacity: 1000 * MI })].into();
        of_pressure(&candidate, &options.thresholds(), &observed, 20).unwrap()
    };
    let hard = |text: &str| EvictionOptions { hard: text.parse().unwrap(), ..EvictionOptions::none() };
    let verdict = told(&hard("memory.available<100Mi"), Signal::MemoryAvailable, 50 * MI);
    assert_eq!(
        verdict.message,
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container x was using \
         60Mi, request is 0, has larger consumption of memory. "
    );
    let annotations: Vec<(&str, &str)> =
        verdict.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        annotations,
        [("offending_containers", "x"), ("offending_containers_usage", "60Mi"), ("starved_resource", "memory")]
    );
    assert_eq!((verdict.grace, verdict.disrupts, verdict.signal), (1, true, "memory.available"));
    let disk = told(&hard("nodefs.available<10%"), Signal::NodefsAvailable, 51_204 << 10);
    assert_eq!(
        disk.message,
        "The node was low on resource: ephemeral-storage. Threshold quantity: 104857601, available: 51204Ki. \
         Container x was using 3Mi, request is 0, has larger consumption of ephemeral-storage. "
    );
    let pids = told(&hard("pid.available<2k"), Signal::PidAvailable, 1500);
    assert_eq!(pids.message, "The node was low on resource: pids. Threshold quantity: 2k, available: 1500. ");
    let mut soft = EvictionOptions { soft: "memory.available<100Mi".parse().unwrap(), ..EvictionOptions::none() };
    soft.soft_grace = "memory.available=1m".parse().unwrap();
    assert_eq!(told(&soft, Signal::MemoryAvailable, MI).grace, 7, "the pod asks for less than it may have");
}

#[test]
fn limits_are_told_one_after_the_other() {
    let limited = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
    let volume = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]);
    let usage = |root: i64, volume: i64| PodUsage {
        containers: vec![container("c", 0, root, 1)],
        volumes: [("v".to_owned(), Disk { bytes: volume * MI, files: 1 })].into(),
        ..PodUsage::default()
    };
    let both = json!({"containers": [{"name": "c", "resources": limited("4Mi")}, {"name": "d"}], "volumes": volume});
    let roomy = json!({"containers": [
        {"name": "c", "resources": limited("4Mi")}, {"name": "d", "resources": limited("1Gi")},
    ]});
    for (spec, root, in_volume, one_disk, expected) in [
        (&both, 1, 1, true, None),
        (&both, 9, 2, true, Some(("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ", "emptydirfs.limit"))),
        (
            &both,
            3,
            1,
            true,
            Some((
                "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
                "ephemeralpodfs.limit",
            )),
        ),
        (
            &roomy,
            4,
            0,
            true,
            Some(("Container c exceeded its local ephemeral storage limit \"4Mi\". ", "ephemeralcontainerfs.limit")),
        ),
        (&roomy, 4, 0, false, None),
    ] {
        let pod = pod(spec.clone());
        assert!(has_limits(&pod));
        let verdict = of_limits(&pod, &usage(root, in_volume), one_disk);
        let told = verdict.as_ref().map(|verdict| (verdict.message.as_str(), verdict.signal));
        assert_eq!(told, expected, "{spec} {root} {in_volume}");
        assert!(verdict.is_none_or(|verdict| !verdict.disrupts && verdict.grace == 1));
    }
    let free = json!({"containers": [{"name": "c"}], "volumes": [{"name": "v", "emptyDir": {}}]});
    assert!(!has_limits(&pod(free.clone())));
    assert_eq!(of_limits(&pod(free), &usage(100, 100), true), None);
}

#[test]
fn a_node_under_pressure_refuses_what_would_go_first() {
    let greedy = json!({"containers": [{"name": "c"}]});
    let asking = json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "1Mi"}}}]});
    let tolerating = |toleration: Value| json!({"containers": [{"name": "c"}], "tolerations": [toleration]});
    let of_memory = tolerating(json!({"key": MEMORY_TAINT, "operator": "Exists", "effect": "NoSchedule"}));
    let of_disk = tolerating(json!({"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}));
    let of_all = tolerating(json!({"operator": "Exists"}));
    let critical = json!({"containers": [{"name": "c"}], "priority": 2_000_001_000});
    let (memory, disk, both) =
        (&["MemoryPressure"][..], &["DiskPressure"][..], &["DiskPressure", "MemoryPressure"][..]);
    for (spec, conditions, refused) in [
        (&greedy, &[][..], false),
        (&greedy, memory, true),
        (&greedy, disk, true),
        (&asking, memory, false),
        (&asking, disk, true),
        (&asking, both, true),
        (&of_memory, memory, false),
        (&of_memory, both, true),
        (&of_disk, memory, true),
        (&of_all, memory, false),
        (&of_all, disk, true),
        (&critical, both, false),
    ] {
        assert_eq!(refusal(&pod(spec.clone()), conditions).is_some(), refused, "{spec} {conditions:?}");
    }
    let text = refusal(&pod(greedy), both);
    assert_eq!(text.as_deref(), Some("The node had condition: [DiskPressure MemoryPressure]. "));
}
