//! HorizontalPodAutoscaler (v2).

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, text};
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
        Some(min) if min < 0 || (min == 0 && !scales_to_zero) => {
            let why = "must be greater than or equal to 1";
            errors.push(FieldError::invalid(&path.child("minReplicas"), min, why));
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
    for field in ["kind", "name"] {
        let here = path.child("scaleTargetRef").child(field);
        let value = text(&spec["scaleTargetRef"], field);
        if check::required(errors, &here, value) {
            check::all(errors, &here, value, meta::validation::path_segment_name(value));
        }
    }
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
    if !metric[*expected].is_object() {
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

fn scaling_rules(rules: &Value, path: &Path, errors: &mut ErrorList) {
    check::non_negative(errors, path, rules, "stabilizationWindowSeconds");
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
