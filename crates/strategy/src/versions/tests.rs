//! What goes up comes down the same, and stands where each version has it.

use super::*;
use serde_json::json;

fn there_and_back(version: &Version, own: &Value, stored: &Value) {
    let mut object = own.clone();
    version.up(&mut object);
    assert_eq!(object, *stored, "{} up", version.version);
    version.down(&mut object);
    assert_eq!(object, *own, "{} down", version.version);
}

#[test]
fn every_version_is_a_kind_and_so_is_what_it_is_kept_as() {
    for row in all() {
        assert!(kinds::find_kind(row.group, row.version, row.kind).is_some(), "{row:?}");
        let (group, version, plural) = row.kept_as();
        assert!(kinds::find(group, version, plural).is_some_and(|kind| kind.kind == row.hub.kind), "{row:?}");
    }
}

#[test]
fn events_change_their_words() {
    let own = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "note": "n",
        "regarding": {"kind": "Pod"}, "reportingController": "c", "deprecatedCount": 2, "eventTime": "t"});
    let stored = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "message": "n",
        "involvedObject": {"kind": "Pod"}, "reportingComponent": "c", "count": 2, "eventTime": "t"});
    there_and_back(&events::V1, &own, &stored);
    assert_eq!(events::V1.field_label("regarding.name"), Some("involvedObject.name"));
    assert_eq!(events::V1.field_label("metadata.name"), Some("metadata.name"));
    assert_eq!(events::V1.field_label("involvedObject.name"), None);
}

fn wrong(version: &Version, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut errors = meta::field::ErrorList::new();
    crate::find("", "Event").validate(new, old, &mut errors);
    version.check(new, old, &mut errors);
    errors.iter().map(|error| format!("{}: {}", error.path, error.body)).collect()
}

#[test]
fn new_events_are_taken_strictly() {
    let good = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "namespace": "ns"}, "reason": "Made", "action": "Making", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "example.com/c", "reportingInstance": "c-1"});
    assert_eq!(wrong(&events::V1, &good, None), [""; 0]);
    let changed = |field: &str, value: Value| {
        let mut event = good.clone();
        event[field] = value;
        event
    };
    for (field, value, told) in [
        ("eventTime", json!(null), "eventTime: Required value"),
        ("reportingComponent", json!("a/b/c"), "reportingController: Invalid value"),
        ("reportingInstance", json!(""), "reportingInstance: Required value"),
        ("reportingInstance", json!("x".repeat(129)), "can have at most 128 characters"),
        ("action", json!(null), "action: Required value"),
        ("reason", json!(""), "reason: Required value"),
        ("message", json!("x".repeat(1025)), "can have at most 1024 characters"),
        ("type", json!("Bad"), "type: Invalid value: \"\": has invalid value: Bad"),
        ("count", json!(1), "count: Invalid value: \"\": needs to be unset"),
        ("firstTimestamp", json!("2026-01-01T00:00:00Z"), "firstTimestamp: Invalid value: \"\": needs to be unset"),
        ("source", json!({"component": "c"}), "source: Invalid value: \"\": needs to be unset"),
        (
            "series",
            json!({"count": 1, "lastObservedTime": "x"}),
            "series.count: Invalid value: \"\": should be at least 2",
        ),
        ("series", json!({"count": 2}), "series.lastObservedTime: Required value"),
        (
            "involvedObject",
            json!({"kind": "Node"}),
            "involvedObject.namespace: Invalid value: \"\": does not match event.namespace",
        ),
    ] {
        let errors = wrong(&events::V1, &changed(field, value), None);
        assert!(errors.len() == 1 || field == "eventTime", "{errors:?}");
        assert!(errors.iter().any(|error| error.contains(told)), "{told}: {errors:?}");
    }
    let counted = changed("series", json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}));
    assert_eq!(wrong(&events::V1, &counted, Some(&good)), [""; 0]);
    let errors = wrong(&events::V1, &changed("message", json!("other")), Some(&good));
    assert!(errors.len() == 1 && errors[0].starts_with("message: Invalid value"), "{errors:?}");
    // The core group takes events of old, which only must be where their object is.
    let mut old =
        json!({"metadata": {"name": "a", "namespace": "ns"}, "involvedObject": {"namespace": "ns"}, "count": 3});
    let lax = |event: &Value| {
        let mut errors = meta::field::ErrorList::new();
        crate::find("", "Event").validate(event, None, &mut errors);
        errors.len()
    };
    assert_eq!(lax(&old), 0);
    old["involvedObject"]["namespace"] = json!("other");
    assert_eq!(lax(&old), 1);
}

#[test]
fn what_an_old_autoscaler_cannot_say_stands_in_annotations() {
    let own = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "annotations": {
            "autoscaling.alpha.kubernetes.io/behavior": "{\"scaleUp\":{}}",
            "autoscaling.alpha.kubernetes.io/metrics":
                "[{\"resource\":{\"name\":\"memory\",\"targetAverageValue\":\"1Gi\"},\"type\":\"Resource\"},{\"object\":{\"metricName\":\"hits\",\"target\":{\"kind\":\"Ingress\"},\"targetValue\":\"2k\"},\"type\":\"Object\"}]"}},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}});
    let stored = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
    "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}}, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
        {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
        {"type": "Object", "object": {"describedObject": {"kind": "Ingress"}, "metric": {"name": "hits"},
            "target": {"type": "Value", "value": "2k"}}},
    ]}});
    there_and_back(&autoscaling::V1, &own, &stored);
}

#[test]
fn old_ingresses_and_budgets_come_back_as_they_were() {
    let find = |group, kind| super::find(group, "v1beta1", kind).unwrap();
    let own = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": {
        "backend": {"serviceName": "d", "servicePort": "http"},
        "rules": [{"http": {"paths": [{"path": "/", "backend": {"serviceName": "s", "servicePort": 80}}]}}]}});
    let stored = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": {
        "defaultBackend": {"service": {"name": "d", "port": {"name": "http"}}},
        "rules": [{"http": {"paths": [{"path": "/", "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}});
    let ingress = find("extensions", "Ingress");
    let mut defaulted = own.clone();
    ingress.default(&mut defaulted);
    ingress.up(&mut defaulted);
    assert_eq!(defaulted, stored);
    ingress.down(&mut defaulted);
    assert_eq!(defaulted, own);
    let own = json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {}, "spec": {"selector": {}}});
    let stored = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {}, "spec": {"selector":
        {"matchExpressions": [{"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}]}}});
    there_and_back(find("policy", "PodDisruptionBudget"), &own, &stored);
    let own = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta1", "kind": "PriorityLevelConfiguration",
        "metadata": {}, "spec": {"limited": {"assuredConcurrencyShares": 5}}});
    let mut up = own.clone();
    find("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration").up(&mut up);
    assert_eq!(up["spec"]["limited"]["nominalConcurrencyShares"], 5);
}

#[test]
fn old_deployments_select_by_their_template() {
    let version = super::find("extensions", "v1beta1", "Deployment").unwrap();
    let mut object = json!({"metadata": {"name": "a"}, "spec": {"rollbackTo": {"revision": 1},
        "template": {"metadata": {"labels": {"app": "a"}}}}});
    version.default(&mut object);
    version.up(&mut object);
    assert_eq!(object["spec"]["selector"], json!({"matchLabels": {"app": "a"}}));
    assert_eq!(object["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 1}));
    assert_eq!((&object["metadata"]["labels"]["app"], object["spec"].get("rollbackTo")), (&json!("a"), None));
}

#[test]
fn an_old_definition_gets_versions_with_schemas() {
    let version = super::find("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition").unwrap();
    let mut object = json!({"metadata": {"name": "cats.e.com"}, "spec": {"group": "e.com", "version": "v1",
        "names": {"plural": "cats", "kind": "Cat"}, "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".a"}]}});
    version.default(&mut object);
    version.up(&mut object);
    assert_eq!(
        object["spec"]["versions"],
        json!([{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}],
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}])
    );
    version.down(&mut object);
    assert_eq!(
        (&object["spec"]["version"], &object["spec"]["additionalPrinterColumns"][0]["JSONPath"]),
        (&json!("v1"), &json!(".a"))
    );
}
