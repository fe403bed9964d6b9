//! HorizontalPodAutoscaler and PodDisruptionBudget.

use super::cells::{NONE, UNKNOWN, UNSET, age, at, name, number, number_or};
use super::{AGE, NAME, Printer, integer, text};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::Value;

/// Metrics shown of an autoscaler.
const SHOWN: usize = 2;

pub const HORIZONTAL_POD_AUTOSCALER: Printer = Printer {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    columns: &[NAME, text("Reference"), text("Targets"), text("MinPods"), text("MaxPods"), text("Replicas"), AGE],
    cells: autoscaler,
};

pub const HORIZONTAL_POD_AUTOSCALER_SCALE: Printer = Printer {
    group: "autoscaling",
    kind: "Scale",
    columns: &[NAME, integer("Desired"), integer("Available"), AGE],
    cells: |scale, now| {
        vec![
            name(scale),
            number(scale, "/spec/replicas").into(),
            number(scale, "/status/replicas").into(),
            age(scale, now),
        ]
    },
};

pub const DISRUPTION_BUDGET: Printer = Printer {
    group: "policy",
    kind: "PodDisruptionBudget",
    columns: &[NAME, text("Min Available"), text("Max Unavailable"), integer("Allowed Disruptions"), AGE],
    cells: |budget, now| {
        let amount = |field: &str| match &budget["spec"][field] {
            Value::String(percent) => percent.clone(),
            Value::Number(number) => number.to_string(),
            _ => "N/A".to_owned(),
        };
        vec![
            name(budget),
            amount("minAvailable").into(),
            amount("maxUnavailable").into(),
            number(budget, "/status/disruptionsAllowed").into(),
            age(budget, now),
        ]
    },
};

fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = &object["spec"]["scaleTargetRef"];
    vec![
        name(object),
        format!("{}/{}", text_of(target, "kind"), text_of(target, "name")).into(),
        metrics(object).into(),
        number_or(object, "/spec/minReplicas", UNSET),
        number(object, "/spec/maxReplicas").into(),
        number(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

fn metrics(object: &Value) -> String {
    let specs = items(&object["spec"], "metrics");
    if specs.is_empty() {
        return NONE.to_owned();
    }
    let statuses = items(&object["status"], "currentMetrics");
    let mut shown: Vec<String> = Vec::with_capacity(SHOWN);
    for (position, spec) in specs.iter().take(SHOWN).enumerate() {
        shown.push(metric(spec, statuses.get(position).unwrap_or(&Value::Null)));
    }
    let mut text = shown.join(", ");
    if specs.len() > SHOWN {
        text.push_str(&format!(" + {} more...", specs.len() - SHOWN));
    }
    text
}

fn metric(spec: &Value, status: &Value) -> String {
    let kind = text_of(spec, "type");
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let (spec, current) = (&spec[field], &status[field]["current"]);
    let target = &spec["target"];
    let of = |place: &Value, what: &str| {
        let found = at(place, &format!("/{what}"));
        (!found.is_empty()).then(|| found.to_owned())
    };
    let unknown = || UNKNOWN.to_owned();
    match kind {
        "Resource" | "ContainerResource" => {
            let resource = text_of(spec, "name");
            if let Some(target) = of(target, "averageValue") {
                return format!("{resource}: {}/{target}", of(current, "averageValue").unwrap_or_else(unknown));
            }
            let percent = |place: &Value| place["averageUtilization"].as_i64().map(|percent| format!("{percent}%"));
            let target = percent(target).unwrap_or_else(|| "<auto>".to_owned());
            format!("{resource}: {}/{target}", percent(current).unwrap_or_else(unknown))
        }
        "Pods" => {
            let target = of(target, "averageValue").unwrap_or_default();
            format!("{}/{target}", of(current, "averageValue").unwrap_or_else(unknown))
        }
        _ => match of(target, "averageValue") {
            Some(target) => format!("{}/{target} (avg)", of(current, "averageValue").unwrap_or_else(unknown)),
            None => {
                let target = of(target, "value").unwrap_or_default();
                format!("{}/{target}", of(current, "value").unwrap_or_else(unknown))
            }
        },
    }
}
