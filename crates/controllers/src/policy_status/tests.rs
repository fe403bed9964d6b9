//! Policies on the fake API server, and what their status says of them.

use super::*;
use crate::kinds::resource::{CUSTOM_RESOURCE_DEFINITIONS, VALIDATING_POLICIES};
use crate::testing::Stage;

fn policy(name: &str, group: &str, plural: &str, expressions: &[&str]) -> Value {
    let validations: Vec<_> = expressions.iter().map(|expression| json!({"expression": expression})).collect();
    json!({"metadata": {"name": name, "generation": 1}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": [plural]}]},
        "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
        "validations": validations}})
}

#[tokio::test(start_paused = true)]
async fn expressions_are_checked_against_the_types_that_are_served() {
    let cats = json!({"metadata": {"name": "cats.example.com"}, "spec": {"group": "example.com",
        "names": {"plural": "cats", "kind": "Cat"}, "versions": [{"name": "v1", "schema": {"openAPIV3Schema":
            {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "replicas": {"type": "string"}}}}}}}]}});
    let fine = ["object.spec.replicas > 1", "variables.replicas > 1 && request.name != ''"];
    let stage = Stage::new(
        &DEF,
        &[
            (&CUSTOM_RESOURCE_DEFINITIONS, cats),
            (&VALIDATING_POLICIES, policy("fine", "apps", "deployments", &fine)),
            (&VALIDATING_POLICIES, policy("wrong", "apps", "deployments", &["true", "object.replicas > 1"])),
            (&VALIDATING_POLICIES, policy("cats", "example.com", "cats", &fine)),
            (&VALIDATING_POLICIES, policy("any", "*", "deployments", &["object.replicas > 1"])),
        ],
    )
    .await;
    let status = |name: &str| stage.api.get(&VALIDATING_POLICIES, "", name).unwrap()["status"].clone();
    for name in ["fine", "any"] {
        assert_eq!(status(name), json!({"observedGeneration": 1, "typeChecking": {}}), "{name}");
    }
    let why =
        "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^";
    assert_eq!(
        status("wrong")["typeChecking"]["expressionWarnings"],
        json!([{"fieldRef": "spec.validations[1].expression", "warning": why}])
    );
    let warnings = status("cats")["typeChecking"]["expressionWarnings"].clone();
    assert_eq!(warnings.as_array().map(Vec::len), Some(2), "{warnings}");
    assert!(warnings[0]["warning"].as_str().unwrap().contains("found no matching overload for '_>_'"), "{warnings}");
    stage.edit(&VALIDATING_POLICIES, "", "wrong", |policy| {
        policy["spec"]["validations"] = json!([{"expression": "true"}]);
        policy["metadata"]["generation"] = 2.into();
    });
    stage.settle(1).await;
    assert_eq!(status("wrong"), json!({"observedGeneration": 2, "typeChecking": {}}));
    // Another schema is another truth; what else is said of a definition is none.
    stage.edit(&CUSTOM_RESOURCE_DEFINITIONS, "", "cats.example.com", |definition| {
        definition["metadata"]["generation"] = 2.into();
        let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["spec"]["properties"]["replicas"]["type"] = "integer".into();
    });
    stage.settle(1).await;
    assert_eq!(status("cats"), json!({"observedGeneration": 1, "typeChecking": {}}));
    stage.writes();
    stage.edit(&CUSTOM_RESOURCE_DEFINITIONS, "", "cats.example.com", |definition| {
        definition["status"]["storedVersions"] = json!(["v1"]);
    });
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}
