//! Node.

use crate::check;
use crate::declared::Declared;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const NODE: Declared = Declared::new("", "Node")
    .created_with_status()
    .defaults(defaults)
    .validates(validate)
    .selected_by(|node| vec![("spec.unschedulable".into(), (node["spec"]["unschedulable"] == true).to_string())]);

/// What a node has is what it gives, unless it says otherwise.
fn defaults(node: &mut Value) {
    one_range(node);
    let Some(status) = node.get_mut("status").filter(|status| status.is_object()) else { return };
    if status["allocatable"].is_null() && status["capacity"].is_object() {
        status["allocatable"] = status["capacity"].clone();
    }
}

/// Two names for the node's range of addresses; each follows the other.
fn one_range(node: &mut Value) {
    let Some(spec) = node.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let first = items(spec, "podCIDRs").first().cloned();
    match (text(spec, "podCIDR").to_owned(), first) {
        (single, Some(first)) if single.is_empty() => spec["podCIDR"] = first,
        (single, None) if !single.is_empty() => spec["podCIDRs"] = serde_json::json!([single]),
        _ => {}
    }
}

fn validate(node: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let spec = Path::new("spec");
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (at, taint) in items(&node["spec"], "taints").iter().enumerate() {
        let here = spec.child("taints").index(at);
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        check::all(errors, &here.child("key"), key, meta::validation::qualified_name(key));
        check::all(
            errors,
            &here.child("value"),
            text(taint, "value"),
            meta::validation::label_value(text(taint, "value")),
        );
        check::required_one_of(errors, &here.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if seen.contains(&(key, effect)) {
            errors.push(FieldError::duplicate(&here, taint.clone()));
        }
        seen.push((key, effect));
    }
    if items(&node["spec"], "podCIDRs").first().is_some_and(|first| first != &node["spec"]["podCIDR"]) {
        let why = "must match podCIDRs[0]";
        errors.push(FieldError::invalid(&spec.child("podCIDR"), text(&node["spec"], "podCIDR"), why));
    }
    let Some(old) = old else { return };
    let (old, new) = (&old["spec"], &node["spec"]);
    if !text(old, "providerID").is_empty() && text(old, "providerID") != text(new, "providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("providerID"), why));
    }
    if !items(old, "podCIDRs").is_empty() && items(old, "podCIDRs") != items(new, "podCIDRs") {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("podCIDRs"), why));
    }
}
