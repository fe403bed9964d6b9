//! HorizontalPodAutoscaler (v2).

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, text};
use meta::Quantity;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub const HORIZONTAL_POD_AUTOSCALER: Declared =
    Declared::new("autoscaling", "HorizontalPodAutoscaler").defaults(defaults).validates(validate);

const MAX_STABILIZATION: i64 = 3600;
const MAX_PERIOD: i64 = 1800;

fn defaults(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "minReplicas", 1);
    if items(spec, "metrics").is_empty() {
        spec["metrics"] = json!([{"type": "Resource", "resource":
            {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|behavior| behavior.is_object()) else { return };
    for direction in ["scaleUp", "scaleDown"] {
        default(behavior, direction, json!({}));
    }
    let up = &mut behavior["scaleUp"];
    default(up, "stabilizationWindowSeconds", 0);
    default_text(up, "selectPolicy", "Max");
    default(
        up,
        "policies",
        json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]),
    );
    let down = &mut behavior["scaleDown"];
    default_text(down, "selectPolicy", "Max");
    default(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
}

fn validate(object: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let (min, max) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or_default());
    let scales_to_zero =
        items(spec, "metrics").iter().any(|metric| matches!(text(metric, "type"), "Object" | "External"));
    match min {
        Some(min) if min < 0 => {
            errors.push(FieldError::invalid(&path.child("minReplicas"), min, "must be greater than or equal to 0"));
        }
        Some(0) if !scales_to_zero => {
            let why = "must specify at least one Object or External metric to support scaling to zero replicas";
            errors.push(FieldError::forbidden(&path.child("metrics"), why));
        }
        _ => {}
    }
    if max < 1 {
        errors.push(FieldError::invalid(&path.child("maxReplicas"), max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let why = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&path.child("maxReplicas"), max, why));
    }
    reference(&spec["scaleTargetRef"], &path.child("scaleTargetRef"), errors);
    for (at, metric) in items(spec, "metrics").iter().enumerate() {
        self::metric(metric, &path.child("metrics").index(at), errors);
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if rules.is_object() {
            scaling_rules(rules, &path.child("behavior").child(direction), errors);
        }
    }
}

fn metric(metric: &Value, path: &Path, errors: &mut ErrorList) {
    const SOURCES: [(&str, &str); 5] = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = text(metric, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric source type"));
        return;
    }
    let Some((_, expected)) = SOURCES.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = SOURCES.iter().map(|(kind, _)| *kind).collect();
        errors.push(FieldError::not_supported(&path.child("type"), kind, &known));
        return;
    };
    if metric[*expected].is_object() {
        source(&metric[*expected], expected, &path.child(expected), errors);
    } else {
        let why = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(expected), why));
    }
    for (_, other) in SOURCES.iter().filter(|(_, field)| field != expected) {
        if metric[*other].is_object() {
            let why = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(other), why));
        }
    }
}

fn reference(reference: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["kind", "name"] {
        segment(text(reference, field), &path.child(field), "", errors);
    }
}

/// A name that has to be there and to fit into a path.
fn segment(value: &str, path: &Path, missing: &str, errors: &mut ErrorList) {
    if value.is_empty() {
        errors.push(FieldError::required(path, missing));
    } else {
        check::all(errors, path, value, meta::validation::path_segment_name(value));
    }
}

/// What each source needs beside what its target says.
fn source(source: &Value, field: &str, path: &Path, errors: &mut ErrorList) {
    match field {
        "object" => reference(&source["describedObject"], &path.child("describedObject"), errors),
        "resource" => segment(text(source, "name"), &path.child("name"), "must specify a resource name", errors),
        "containerResource" => {
            segment(text(source, "name"), &path.child("name"), "must specify a resource name", errors);
            segment(text(source, "container"), &path.child("container"), "must specify a container", errors);
        }
        _ => {}
    }
    if matches!(field, "object" | "pods" | "external") {
        let metric = path.child("metric").child("name");
        segment(text(&source["metric"], "name"), &metric, "must specify a metric name", errors);
    }
    let (target, path) = (&source["target"], path.child("target"));
    amounts(target, &path, errors);
    let has = |name: &str| !target[name].is_null();
    let (required, forbidden) = match field {
        "object" if !has("value") && !has("averageValue") => {
            (Some(("averageValue", "must set either a target value or averageValue")), None)
        }
        "pods" if !has("averageValue") => (Some(("averageValue", "must specify a positive target averageValue")), None),
        "external" if !has("value") && !has("averageValue") => {
            (Some(("averageValue", "must set either a target value for metric or a per-pod target")), None)
        }
        "external" if has("value") && has("averageValue") => {
            (None, Some(("value", "may not set both a target value for metric and a per-pod target")))
        }
        "resource" | "containerResource" if !has("averageUtilization") && !has("averageValue") => {
            (Some(("averageUtilization", "must set either a target raw value or a target utilization")), None)
        }
        "resource" | "containerResource" if has("averageUtilization") && has("averageValue") => {
            (None, Some(("averageValue", "may not set both a target raw value and a target utilization")))
        }
        _ => (None, None),
    };
    errors.extend(required.map(|(name, why)| FieldError::required(&path.child(name), why)));
    errors.extend(forbidden.map(|(name, why)| FieldError::forbidden(&path.child(name), why)));
}

fn amounts(target: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(target, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    for field in ["value", "averageValue"] {
        let Ok(amount) = Quantity::parse(text(target, field)) else { continue };
        if amount.is_zero() || amount.is_negative() {
            errors.push(FieldError::invalid(&path.child(field), text(target, field), "must be positive"));
        }
    }
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|percent| *percent < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
}

fn scaling_rules(rules: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(seconds) = rules["stabilizationWindowSeconds"].as_i64().filter(|seconds| *seconds < 0) {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("stabilizationWindowSeconds"), seconds, why));
    }
    let tolerance = text(rules, "tolerance");
    if Quantity::parse(tolerance).is_ok_and(|tolerance| tolerance.is_negative()) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("tolerance"), tolerance, why));
    }
    at_most(errors, &path.child("stabilizationWindowSeconds"), &rules["stabilizationWindowSeconds"], MAX_STABILIZATION);
    check::one_of(errors, &path.child("selectPolicy"), text(rules, "selectPolicy"), &["Disabled", "Max", "Min"]);
    if items(rules, "policies").is_empty() {
        errors.push(FieldError::required(&path.child("policies"), "must specify at least one Policy"));
    }
    for (at, policy) in items(rules, "policies").iter().enumerate() {
        let here = path.child("policies").index(at);
        check::one_of(errors, &here.child("type"), text(policy, "type"), &["Percent", "Pods"]);
        for field in ["value", "periodSeconds"] {
            let number = policy[field].as_i64().unwrap_or_default();
            if number <= 0 {
                errors.push(FieldError::invalid(&here.child(field), number, "must be greater than zero"));
            }
        }
        at_most(errors, &here.child("periodSeconds"), &policy["periodSeconds"], MAX_PERIOD);
    }
}

fn at_most(errors: &mut ErrorList, path: &Path, number: &Value, high: i64) {
    if let Some(number) = number.as_i64().filter(|number| *number > high) {
        errors.push(FieldError::invalid(path, number, &format!("must be less than or equal to {high}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metrics: Value, behavior: Value) -> Vec<String> {
        let reference = json!({"kind": "Deployment", "name": "web"});
        let spec = json!({"scaleTargetRef": reference, "minReplicas": 0, "maxReplicas": 3, "metrics": metrics, "behavior": behavior});
        let mut errors = ErrorList::new();
        validate(&json!({"spec": spec}), None, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn metrics_are_checked_in_upstreams_words() {
        let queue =
            |target: Value| json!([{"type": "External", "external": {"metric": {"name": "q"}, "target": target}}]);
        let cpu = |target: Value| json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        let zero = "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas";
        let at = "spec.metrics[0].external.target";
        let cases = [
            (queue(json!({"type": "AverageValue", "averageValue": "3"})), vec![]),
            (cpu(json!({"type": "Utilization", "averageUtilization": 50})), vec![zero.to_owned()]),
            (
                queue(json!({"type": "Value"})),
                vec![format!(
                    "{at}.averageValue: Required value: must set either a target value for metric or a per-pod target"
                )],
            ),
            (
                queue(json!({"type": "Value", "value": "1", "averageValue": "0"})),
                vec![
                    format!("{at}.averageValue: Invalid value: \"0\": must be positive"),
                    format!("{at}.value: Forbidden: may not set both a target value for metric and a per-pod target"),
                ],
            ),
            (
                json!([{"type": "External", "external": {"metric": {"name": ""}, "target": {"value": "1"}}}]),
                vec![
                    "spec.metrics[0].external.metric.name: Required value: must specify a metric name".to_owned(),
                    format!("{at}.type: Required value: must specify a metric target type"),
                    format!("{at}.type: Invalid value: \"\": must be either Utilization, Value, or AverageValue"),
                ],
            ),
        ];
        for (metrics, wanted) in cases {
            assert_eq!(told(metrics, Value::Null), wanted);
        }
        let metrics = queue(json!({"type": "Value", "value": "3"}));
        let policies = json!([{"type": "Pods", "value": 1, "periodSeconds": 1}]);
        let rules =
            json!({"policies": policies, "selectPolicy": "Max", "stabilizationWindowSeconds": -1, "tolerance": "-0.1"});
        let wanted = [
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
            "spec.behavior.scaleUp.tolerance: Invalid value: \"-0.1\": must be greater than or equal to 0",
        ];
        assert_eq!(told(metrics, json!({"scaleUp": rules})), wanted);
    }
}
