//! Deployment.

use crate::Strategy;
use crate::core::pod_defaults;
use crate::tree::{default, default_text, text};
use serde_json::{Value, json};

pub struct Deployment;

impl Strategy for Deployment {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("apps", "Deployment")
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        default(spec, "replicas", 1);
        default(spec, "strategy", json!({}));
        default_text(&mut spec["strategy"], "type", "RollingUpdate");
        if text(&spec["strategy"], "type") == "RollingUpdate" {
            default(&mut spec["strategy"], "rollingUpdate", json!({}));
            default(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", "25%");
            default(&mut spec["strategy"]["rollingUpdate"], "maxSurge", "25%");
        }
        default(spec, "revisionHistoryLimit", 10);
        default(spec, "progressDeadlineSeconds", 600);
        if let Some(template) = spec.pointer_mut("/template/spec") {
            pod_defaults::pod_spec(template);
        }
    }
}
