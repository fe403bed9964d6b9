//! ReplicaSet and ReplicationController.

use crate::core::{pod_defaults, pod_template, pod_warnings};
use crate::tree::default;
use crate::{Strategy, check};
use meta::field::{ErrorList, Path};
use serde_json::Value;

pub struct ReplicaSet;

pub struct ReplicationController;

impl Strategy for ReplicaSet {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("apps", "ReplicaSet")
    }

    fn default(&self, object: &mut Value) {
        replicas_and_template(object);
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let (spec, path) = (&new["spec"], Path::new("spec"));
        check::non_negative(errors, &path, spec, "replicas");
        check::non_negative(errors, &path, spec, "minReadySeconds");
        pod_template::selected(spec, &path, "deployment", errors);
        pod_template::always_restarted(spec, &path, "ReplicaSet", errors);
        if let Some(old) = old {
            check::immutable(errors, &path.child("selector"), &spec["selector"], &old["spec"]["selector"]);
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_template(new, old)
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        vec![("status.replicas".into(), status_replicas(object))]
    }
}

impl Strategy for ReplicationController {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "ReplicationController")
    }

    fn default(&self, object: &mut Value) {
        let labels = object.pointer("/spec/template/metadata/labels").cloned();
        if let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())) {
            if object["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
                object["spec"]["selector"] = labels.clone();
            }
            if object["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty) {
                object["metadata"]["labels"] = labels;
            }
        }
        replicas_and_template(object);
    }

    fn validate(&self, new: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
        let (spec, path) = (&new["spec"], Path::new("spec"));
        check::non_negative(errors, &path, spec, "minReadySeconds");
        check::non_negative(errors, &path, spec, "replicas");
        pod_template::selected_by_map(spec, &path, errors);
        if spec["template"].is_object() {
            pod_template::always_restarted(spec, &path, "ReplicationController", errors);
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_template(new, old)
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        vec![("status.replicas".into(), status_replicas(object))]
    }
}

fn replicas_and_template(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "replicas", 1);
    if let Some(template) = spec.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(template);
    }
}

fn status_replicas(object: &Value) -> String {
    object.pointer("/status/replicas").and_then(Value::as_i64).unwrap_or(0).to_string()
}
