//! Deployment.

use crate::core::{pod_defaults, pod_template, pod_warnings};
use crate::rules::{keep_all_but_status_and_metadata, keep_metadata};
use crate::tree::{default, default_text, text};
use crate::{Context, Strategy, check};
use meta::field::{ErrorList, FieldError, Path};
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
    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let (spec, path) = (&new["spec"], Path::new("spec"));
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
            check::non_negative(errors, &path, spec, field);
        }
        pod_template::selected(spec, &path, "deployment", errors);
        pod_template::always_restarted(spec, &path, "ReplicaSet", errors);
        strategy(&spec["strategy"], &path.child("strategy"), errors);
        let (deadline, ready) =
            (spec["progressDeadlineSeconds"].as_i64(), spec["minReadySeconds"].as_i64().unwrap_or(0));
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= ready) {
            let why = "must be greater than minReadySeconds";
            errors.push(FieldError::invalid(&path.child("progressDeadlineSeconds"), deadline, why));
        }
        if let Some(old) = old {
            check::immutable(errors, &path.child("selector"), &spec["selector"], &old["spec"]["selector"]);
        }
    }

    /// The controller reports on a deployment, it does not label it.
    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_all_but_status_and_metadata(new, old);
        keep_metadata(new, old, "labels");
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_template(new, old)
    }
}

fn strategy(strategy: &Value, path: &Path, errors: &mut ErrorList) {
    let (rolling, here) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(strategy, "type") {
        "Recreate" if rolling.is_object() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&here, why));
        }
        "Recreate" => {}
        "RollingUpdate" => {
            for field in ["maxUnavailable", "maxSurge"] {
                check::amount_or_percent(errors, &here.child(field), &rolling[field]);
            }
            check::at_most_all(errors, &here.child("maxUnavailable"), &rolling["maxUnavailable"]);
            if check::is_zero_amount(&rolling["maxUnavailable"]) && check::is_zero_amount(&rolling["maxSurge"]) {
                let value = rolling["maxUnavailable"].clone();
                let why = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(&here.child("maxUnavailable"), value, why));
            }
        }
        other => {
            let known = &["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&path.child("type"), other, known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: &[(&str, Value)], old: Option<&Value>) -> (Value, String) {
        let mut one = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        for (field, value) in change {
            one["spec"][*field] = value.clone();
        }
        Deployment.default(&mut one);
        let mut errors = ErrorList::new();
        Deployment.validate(&one, old, &mut errors);
        (one, errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn deployments_are_checked() {
        let (good, errors) = told(&[], None);
        assert_eq!(errors, "");
        for (change, old, expected) in [
            (
                vec![("replicas", json!(-1))],
                None,
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                vec![("selector", json!({"matchLabels": {"x": "y"}}))],
                None,
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ),
            (
                vec![("selector", json!({}))],
                None,
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
            ),
            (
                vec![("strategy", json!({"type": "Recreate", "rollingUpdate": {}}))],
                None,
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                vec![("strategy", json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}))],
                None,
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ),
            (
                vec![
                    ("selector", json!({"matchLabels": {"a": "b", "c": "d"}})),
                    (
                        "template",
                        json!({"metadata": {"labels":
                {"a": "b", "c": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
                    ),
                ],
                Some(&good),
                "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable",
            ),
        ] {
            assert_eq!(told(&change, old).1, expected);
        }
    }
}
