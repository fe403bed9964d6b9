//! What the tables look like.

use super::{node, pod};
use serde_json::{Value, json};

fn joined(rows: Vec<Vec<String>>) -> Vec<String> {
    rows.into_iter().map(|row| row.join("|")).collect()
}

fn pods() -> Vec<Value> {
    let container =
        |name: &str, cpu: &str, memory: &str| json!({"name": name, "usage": {"cpu": cpu, "memory": memory}});
    let pod = |namespace: &str, name: &str, containers: Value| json!({"metadata": {"namespace": namespace, "name": name}, "containers": containers});
    vec![
        pod("b", "x", json!([container("two", "1500n", "3Mi"), container("one", "250m", "1Mi")])),
        pod("a", "z", json!([container("c", "10m", "10240Ki")])),
        pod("a", "y", json!([container("c", "1", "2Gi")])),
    ]
}

#[test]
fn pods_are_shown_as_asked() {
    let view = |sort| pod::View { headers: true, sort, ..pod::View::default() };
    let plain = ["NAME|CPU(cores)|MEMORY(bytes)", "x|251m|4Mi", "y|1000m|2048Mi", "z|10m|10Mi"];
    assert_eq!(joined(pod::table(&pods(), &view(""))), plain);
    assert_eq!(joined(pod::table(&pods(), &view("cpu")))[1..], ["y|1000m|2048Mi", "x|251m|4Mi", "z|10m|10Mi"]);
    assert_eq!(joined(pod::table(&pods(), &view("memory")))[1..], ["y|1000m|2048Mi", "z|10m|10Mi", "x|251m|4Mi"]);
    let all = pod::View { namespaces: true, containers: true, sum: true, ..view("") };
    let wanted = [
        "NAMESPACE|POD|NAME|CPU(cores)|MEMORY(bytes)",
        "a|y|c|1000m|2048Mi",
        "a|z|c|10m|10Mi",
        "b|x|one|250m|1Mi",
        "b|x|two|1m|3Mi",
        "|||________|________",
        "|||1261m|2062Mi",
    ];
    assert_eq!(joined(pod::table(&pods(), &all)), wanted);
}

#[test]
fn nodes_are_shown_with_their_shares() {
    let used = |name: &str, cpu: &str, memory: &str| json!({"metadata": {"name": name}, "usage": {"cpu": cpu, "memory": memory}});
    let room = |name: &str| {
        json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"},
               "capacity": {"cpu": "4", "memory": "2Gi"}}})
    };
    let (metrics, nodes) =
        ([used("b", "300m", "512Mi"), used("a", "500m", "100Mi")], [room("a"), room("b"), room("c")]);
    let mut view = node::View { sort: "", headers: true, capacity: false, swap: false };
    let wanted = [
        "NAME|CPU(cores)|CPU(%)|MEMORY(bytes)|MEMORY(%)",
        "a|500m|25%|100Mi|9%",
        "b|300m|15%|512Mi|50%",
        "c|<unknown>|<unknown>|<unknown>|<unknown>",
    ];
    assert_eq!(joined(node::table(&metrics, &nodes, &view)), wanted);
    (view.sort, view.capacity, view.headers) = ("memory", true, false);
    assert_eq!(joined(node::table(&metrics, &nodes, &view))[..2], ["b|300m|7%|512Mi|25%", "a|500m|12%|100Mi|4%"]);
}
