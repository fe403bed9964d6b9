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
    for row in ALL {
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
