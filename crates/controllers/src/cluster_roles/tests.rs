//! Roles that take their rules from others, on the fake API server.

use super::*;
use crate::kinds::resource::CLUSTER_ROLES;
use crate::testing::Stage;

fn source(name: &str, label: &str, resources: &[&str]) -> Value {
    let rules: Vec<_> = resources.iter().map(|resource| json!({"resources": [resource], "verbs": ["get"]})).collect();
    json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules})
}

fn aggregated(name: &str, label: &str) -> Value {
    let rule = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    json!({"metadata": {"name": name, "labels": {"to-admin": "true"}}, "aggregationRule": rule, "rules": []})
}

#[tokio::test(start_paused = true)]
async fn rules_follow_the_roles_they_are_taken_from() {
    let objects = [
        (&CLUSTER_ROLES, aggregated("edit", "to-edit")),
        (&CLUSTER_ROLES, aggregated("admin", "to-admin")),
        (&CLUSTER_ROLES, source("one", "to-edit", &["pods", "services"])),
        (&CLUSTER_ROLES, source("two", "to-edit", &["services", "secrets"])),
        (&CLUSTER_ROLES, source("three", "to-view", &["nodes"])),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    let rules = |name: &str| {
        let role = stage.api.get(&CLUSTER_ROLES, "", name).unwrap();
        let resource = |rule: &Value| rule["resources"][0].as_str().unwrap().to_owned();
        role["rules"].as_array().unwrap().iter().map(resource).collect::<Vec<_>>()
    };
    assert_eq!(rules("edit"), ["pods", "services", "secrets"]);
    assert_eq!(rules("admin"), rules("edit"), "by way of the aggregated role");
    stage.api.remove(&CLUSTER_ROLES, "", "one");
    stage.settle(1).await;
    assert_eq!(rules("admin"), ["services", "secrets"]);
    stage.edit(&CLUSTER_ROLES, "", "three", |role| role["metadata"]["labels"]["to-edit"] = json!("true"));
    stage.settle(1).await;
    assert_eq!(rules("edit"), ["nodes", "services", "secrets"]);
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}
