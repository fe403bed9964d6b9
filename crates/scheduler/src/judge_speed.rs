//! How fast nodes are found, and that it does not get out of hand with the size of the cluster:
//! `cargo test -p scheduler speed -- --ignored --nocapture`.

use super::*;
use crate::fixture::{Fixture, node, pod};
use base::Env;
use serde_json::{Value, json};

/// Microseconds for each of `pods` pods on `nodes` nodes.
async fn per_pod(nodes: usize, pods: usize, make: fn(usize) -> Value) -> f64 {
    let mut cluster = Fixture::new(&[]).await;
    for number in 0..nodes {
        let mut node = node(&format!("node-{number:05}"), json!({"zone": format!("z{}", number % 10)}));
        node["status"] = json!({"allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"}});
        cluster.add_node(&node);
    }
    let items: Vec<PodItem> = (0..pods).map(|number| pod(&make(number))).collect();
    let mut judge = Judge::new(Arc::new(cluster.profile.clone()), 0);
    let env = Env::real();
    let began = env.clock.instant();
    for item in &items {
        let case = Case::new(item, &cluster.profile.args, &cluster.cluster);
        let ruling = judge.find(&case, &mut cluster.snapshot);
        let totals = judge.score(&case, &mut cluster.snapshot, &ruling.ready, &ruling.fitting);
        let slot = Judge::best(&ruling.fitting, &totals, &env.rng).unwrap();
        let name = cluster.snapshot.node(slot).name.clone();
        cluster.snapshot.place(item.clone(), &name);
    }
    began.elapsed().as_secs_f64() * 1e6 / pods as f64
}

fn plain(number: usize) -> Value {
    json!({"metadata": {"name": format!("p{number}")}, "spec": {"containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}},
    ]}})
}

/// A hundred of a group keep apart, and spread over zones.
fn affine(number: usize) -> Value {
    let labels = json!({"group": format!("g{}", number / 100)});
    let mut pod = plain(number);
    pod["metadata"]["labels"] = labels.clone();
    pod["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"},
    ]}});
    pod["spec"]["topologySpreadConstraints"] = json!([
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": labels}},
    ]);
    pod
}

#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    for (what, make) in [("plain", plain as fn(usize) -> Value), ("affine", affine)] {
        let small = per_pod(1000, 5000, make).await;
        let large = per_pod(5000, 50_000, make).await;
        println!("{what}: {small:.1} µs a pod on 1,000 nodes, {large:.1} µs on 5,000");
    }
}
