//! Pod.

use super::{pod_defaults, pod_label_keys, pod_validation, pod_warnings};
use crate::rules::{keep_all_but_status_and_metadata, keep_metadata};
use crate::tree::text;
use crate::{Context, Strategy, schema_check};
use meta::field::ErrorList;
use serde_json::{Value, json};

pub struct Pod;

impl Strategy for Pod {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "Pod")
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            pod_defaults::pod_spec(spec);
        }
        pod_defaults::pod(object);
    }

    fn prepare_create(&self, object: &mut Value, _context: &Context<'_>) {
        pod_label_keys::merge(object);
        let qos = pod_defaults::qos_class(&object["spec"]);
        object["status"] = json!({"phase": "Pending", "qosClass": qos});
        if object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null, "lastTransitionTime": null,
            }]);
        }
    }

    fn validate_create(&self, object: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        pod_validation::validate_create(object, &mut errors);
        schema_check::check(object, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        pod_validation::validate_update(new, old, &mut errors);
        errors
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        if let "ephemeralcontainers" | "resize" = context.subresource {
            return pod_validation::keep_all_but(context.subresource, new, old);
        }
        keep_all_but_status_and_metadata(new, old);
        keep_metadata(new, old, "ownerReferences");
    }

    fn validate_status_update(&self, new: &Value, old: &Value, context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        if let part @ ("ephemeralcontainers" | "resize") = context.subresource {
            pod_validation::validate_part(part, new, old, &mut errors);
        }
        errors
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_pod(new, old)
    }

    fn grace_seconds(&self, object: &Value, asked: Option<i64>) -> Option<i64> {
        let spec = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        let mut seconds = asked.or(spec).unwrap_or(30);
        // Nobody runs it: there is nothing to wait for.
        let is_unscheduled = text(&object["spec"], "nodeName").is_empty();
        if is_unscheduled || matches!(text(&object["status"], "phase"), "Succeeded" | "Failed") {
            seconds = 0;
        }
        // A negative wish means at once, but the node still has to be told.
        Some(if seconds < 0 { 1 } else { seconds })
    }

    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        crate::print::pod_conditions(object)
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        let (spec, status) = (&object["spec"], &object["status"]);
        let host_network = spec["hostNetwork"] == true;
        vec![
            ("spec.nodeName".into(), text(spec, "nodeName").to_owned()),
            ("spec.restartPolicy".into(), text(spec, "restartPolicy").to_owned()),
            ("spec.schedulerName".into(), text(spec, "schedulerName").to_owned()),
            ("spec.serviceAccountName".into(), text(spec, "serviceAccountName").to_owned()),
            ("spec.hostNetwork".into(), host_network.to_string()),
            ("status.phase".into(), text(status, "phase").to_owned()),
            ("status.podIP".into(), text(status, "podIP").to_owned()),
            ("status.nominatedNodeName".into(), text(status, "nominatedNodeName").to_owned()),
        ]
    }
}
