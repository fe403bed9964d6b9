//! The table as a whole.

use super::*;
use serde_json::{Value, json};

#[test]
fn every_row_is_a_kind_and_stands_once() {
    let mut seen: Vec<(&str, &str)> = ALL.iter().map(|strategy| strategy.group_kind()).collect();
    for (group, kind) in &seen {
        assert!(kinds::all().iter().any(|row| row.group == *group && row.kind == *kind), "{group} {kind}");
    }
    seen.sort_unstable();
    let rows = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), rows);
}

#[test]
fn stable_kinds_that_are_stored_have_rules() {
    let missing: Vec<&str> = kinds::all()
        .iter()
        .filter(|kind| kind.stability == kinds::Stability::Ga && kind.is_stored() && kind.served_by_default)
        .filter(|kind| !matches!(kind.group.as_ref(), "events.k8s.io"))
        .filter(|kind| find(&kind.group, &kind.kind).group_kind() == ("", ""))
        .map(|kind| kind.kind.as_ref())
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Objects pass the defaults again on every update and patch.
#[test]
fn defaults_do_nothing_the_second_time() {
    let pod = json!({"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 1}]}], "volumes": [{"name": "v"}]});
    let specs = [
        json!({}),
        json!({"template": {"spec": pod}, "ports": [{"port": 80}], "type": "LoadBalancer"}),
        json!({"jobTemplate": {"spec": {"template": {"spec": pod}}}, "behavior": {}, "ingress": [{"ports": [{"port": 1}]}]}),
        json!({"volumeClaimTemplates": [{"metadata": {"name": "c"}, "spec": {}}], "limited": {"limitResponse": {"queuing": {}}}}),
    ];
    for strategy in ALL {
        let (group, kind) = strategy.group_kind();
        for spec in &specs {
            let mut once = json!({"kind": kind, "metadata": {"name": "a"}, "spec": spec, "ports": [{}],
                "webhooks": [{"name": "w", "rules": [{}]}], "roleRef": {}, "subjects": [{"kind": "User"}]});
            strategy.default(&mut once);
            let mut twice = once.clone();
            strategy.default(&mut twice);
            assert_eq!(once, twice, "{group} {kind}");
            assert!(!has_null(&once), "{kind} leaves a null behind: {once}");
        }
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

/// What a writer of status reaches beside it, by kind.
#[test]
fn status_updates_touch_what_upstream_lets_them() {
    let extra = std::collections::BTreeMap::new();
    let context = Context {
        now: base::Timestamp::UNIX_EPOCH,
        user_name: "u",
        user_uid: "",
        user_groups: &[],
        user_extra: &extra,
        subresource: "status",
    };
    for (group, kind, label, annotation) in [
        ("", "Namespace", "new", "new"),
        ("", "Pod", "new", "new"),
        ("apps", "Deployment", "old", "new"),
        ("storage.k8s.io", "VolumeAttachment", "old", "old"),
        ("certificates.k8s.io", "CertificateSigningRequest", "new", "new"),
    ] {
        let object = |word: &str| {
            json!({"metadata": {"name": "a", "labels": {"l": word}, "annotations": {"a": word}},
                "spec": {"x": word}, "status": {"x": word}})
        };
        let (old, mut new) = (object("old"), object("new"));
        find(group, kind).prepare_status_update(&mut new, &old, &context);
        assert_eq!((&new["spec"]["x"], &new["status"]["x"]), (&json!("old"), &json!("new")), "{kind}");
        let metadata = &new["metadata"];
        assert_eq!(
            (&metadata["labels"]["l"], &metadata["annotations"]["a"]),
            (&json!(label), &json!(annotation)),
            "{kind}"
        );
    }
}

/// The field selectors' names must not depend on the object.
#[test]
fn selectable_fields_are_the_same_for_every_object() {
    for strategy in ALL {
        let names =
            |object: &Value| strategy.selectable_fields(object).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let full = json!({"spec": {"nodeName": "n", "unschedulable": true}, "status": {"phase": "x"}, "type": "t"});
        assert_eq!(names(&Value::Null), names(&full), "{:?}", strategy.group_kind());
    }
}

/// A request of nobody in particular.
pub fn context() -> Context<'static> {
    static EXTRA: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    Context {
        now: base::Timestamp::UNIX_EPOCH,
        user_name: "u",
        user_uid: "",
        user_groups: &[],
        user_extra: &EXTRA,
        subresource: "",
    }
}
