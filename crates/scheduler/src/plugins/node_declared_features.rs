//! NodeDeclaredFeatures: a pod that needs what not every kubelet can do goes where one says it can.

use crate::framework::{Case, Plugin, Rejection};
use crate::news::{NODE_ADD, NODE_FEATURES};
use crate::node::Node;

pub const PLUGIN: Plugin = Plugin::local("NodeDeclaredFeatures", filter, NODE_ADD | NODE_FEATURES, |case, news| {
    news.is_node_that_fits(case, filter)
});

fn filter(case: &Case<'_>, node: &Node) -> Result<(), Rejection> {
    let declares = |feature: &&str| node.view().is_some_and(|view| view.features.iter().any(|one| one == feature));
    match case.spec.features.iter().all(declares) {
        true => Ok(()),
        false => Err(Rejection::of("node(s) didn't match Pod's required features").is_final()),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::Fixture;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn pods_go_where_their_features_are() {
        let node = |name: &str, features: Value| {
            let allocatable = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
            json!({"kind": "Node", "metadata": {"name": name},
                   "status": {"allocatable": allocatable, "declaredFeatures": features}})
        };
        let rule = |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [1]}}]);
        let pod = |action: &str, more: Value| {
            let mut spec = json!({"containers": [{"name": "c", "restartPolicyRules": rule(action)}]});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"metadata": {"name": "p"}, "spec": spec})
        };
        let old = node("old", json!([]));
        let new = node("new", json!(["RestartAllContainersOnContainerExits", "Other"]));
        let refused = "0/1 nodes are available: 1 node(s) didn't match Pod's required features.";
        for (nodes, pod, wanted) in [
            (vec![&old, &new], pod("RestartAllContainers", json!({})), "new"),
            (vec![&old], pod("RestartAllContainers", json!({})), refused),
            (vec![&old], pod("Restart", json!({})), "old"),
            (vec![&new], pod("Restart", json!({"hostNetwork": true, "hostUsers": false})), refused),
            (vec![&new], pod("Restart", json!({"hostNetwork": true})), "new"),
        ] {
            let nodes: Vec<Value> = nodes.into_iter().cloned().collect();
            assert_eq!(Fixture::new(&nodes).await.verdict(&pod), wanted, "{pod}");
        }
    }
}
