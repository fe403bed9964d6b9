//! The scopes of a quota: which pods and claims it looks at.

use crate::pod::list;
use crate::subject::Subject;
use meta::labels::{Operator, Requirement};
use serde_json::Value;

/// True where the quota looks at this object, by all of its scopes.
pub(crate) fn all_match(quota: &Value, subject: &Subject<'_>, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = list(spec, "scopes").iter().filter_map(Value::as_str);
    let selected = list(&spec["scopeSelector"], "matchExpressions");
    plain.into_iter().all(|scope| matches(subject, object, scope, "Exists", &[]))
        && selected.iter().all(|expression| {
            let text = |field: &str| expression[field].as_str().unwrap_or_default();
            matches(subject, object, text("scopeName"), text("operator"), list(expression, "values"))
        })
}

fn matches(subject: &Subject<'_>, object: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let spec = &object["spec"];
    match (subject.is("", "pods"), scope) {
        (true, "Terminating") => has_deadline(spec),
        (true, "NotTerminating") => !has_deadline(spec),
        (true, "BestEffort") => is_best_effort(spec),
        (true, "NotBestEffort") => !is_best_effort(spec),
        (true, "CrossNamespacePodAffinity") => crosses_namespaces(spec),
        (true, "PriorityClass") => by_name(spec["priorityClassName"].as_str().unwrap_or_default(), operator, values),
        (false, "VolumeAttributesClass") if subject.is("", "persistentvolumeclaims") => {
            let current = object["status"]["currentVolumeAttributesClassName"].as_str().unwrap_or_default();
            let target = object["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"].as_str();
            let wanted = spec["volumeAttributesClassName"].as_str().unwrap_or_default();
            // While it changes, a claim counts under every class that it has or is about to have.
            [current, target.unwrap_or_default(), wanted].into_iter().any(|name| by_name(name, operator, values))
        }
        _ => false,
    }
}

fn by_name(name: &str, operator: &str, values: &[Value]) -> bool {
    let is_set = !name.is_empty();
    match operator {
        "Exists" => is_set,
        "DoesNotExist" => !is_set,
        "In" | "NotIn" => {
            let operator = if operator == "In" { Operator::In } else { Operator::NotIn };
            let values = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
            let requirement = Requirement::new("class", operator, values);
            requirement.is_ok_and(|requirement| requirement.matches(is_set.then_some(name)))
        }
        _ => false,
    }
}

fn has_deadline(spec: &Value) -> bool {
    spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// No container asks for cpu or memory.
fn is_best_effort(spec: &Value) -> bool {
    let asks = |of: &Value| {
        ["requests", "limits"].iter().any(|field| {
            let stated = crate::amounts::amounts(&of["resources"][*field]);
            ["cpu", "memory"].iter().any(|name| stated.get(*name).is_some_and(|amount| !amount.is_zero()))
        })
    };
    !asks(spec) && !list(spec, "containers").iter().chain(list(spec, "initContainers")).any(asks)
}

fn crosses_namespaces(spec: &Value) -> bool {
    let crosses = |term: &Value| !list(term, "namespaces").is_empty() || !term["namespaceSelector"].is_null();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &spec["affinity"][*kind];
        list(affinity, "requiredDuringSchedulingIgnoredDuringExecution").iter().any(crosses)
            || list(affinity, "preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|term| crosses(&term["podAffinityTerm"]))
    })
}
