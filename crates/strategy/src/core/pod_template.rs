//! Templates of pods in the kinds that run them, and the selectors that find those pods again.

use super::pod_validation;
use crate::check;
use crate::tree::text;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

/// A required selector of the object form that takes the template's own pods.
pub fn selected(spec: &Value, path: &Path, kind: &str, errors: &mut ErrorList) {
    let (selector, here) = (&spec["selector"], path.child("selector"));
    if selector.is_null() {
        errors.push(FieldError::required(&here, ""));
    } else {
        check::label_selector(errors, &here, selector);
        if check::is_empty_selector(selector) {
            let why = format!("empty selector is invalid for {kind}");
            errors.push(FieldError::invalid(&here, selector.clone(), &why));
        }
    }
    if !selector.is_null() && !check::is_empty_selector(selector) {
        matched(spec, path, check::selects(selector, &spec["template"]["metadata"]["labels"]), errors);
    }
}

/// The same for ReplicationController's plain map.
pub fn selected_by_map(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let here = path.child("selector");
    check::labels(errors, &here, &spec["selector"]);
    if spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required(&here, ""));
    } else {
        let selector = json!({"matchLabels": spec["selector"]});
        matched(spec, path, check::selects(&selector, &spec["template"]["metadata"]["labels"]), errors);
    }
    if spec["template"].is_null() {
        errors.push(FieldError::required(&path.child("template"), ""));
    }
}

fn matched(spec: &Value, path: &Path, matches: bool, errors: &mut ErrorList) {
    if !matches {
        let labels = &spec["template"]["metadata"]["labels"];
        let shown = if labels.is_null() { json!({}) } else { labels.clone() };
        let here = path.child("template").child("metadata").child("labels");
        errors.push(FieldError::invalid(&here, shown, "`selector` does not match template `labels`"));
    }
}

/// A template as such.
pub fn template(template: &Value, path: &Path, errors: &mut ErrorList) {
    check::labels(errors, &path.child("labels"), &template["metadata"]["labels"]);
    pod_validation::pod_spec(&template["spec"], &path.child("spec"), errors);
    if !crate::tree::items(&template["spec"], "ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("spec").child("ephemeralContainers"), why));
    }
}

/// A template of pods that are meant to run for ever.
pub fn always_restarted(spec: &Value, path: &Path, kind: &str, errors: &mut ErrorList) {
    template(&spec["template"], &path.child("template"), errors);
    let (pod, here) = (&spec["template"]["spec"], path.child("template").child("spec"));
    let policy = text(pod, "restartPolicy");
    if !policy.is_empty() && policy != "Always" {
        errors.push(FieldError::not_supported(&here.child("restartPolicy"), policy, &["Always"]));
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&here.child("activeDeadlineSeconds"), &why));
    }
}
