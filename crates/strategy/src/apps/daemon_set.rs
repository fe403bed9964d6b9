//! DaemonSet.

use crate::check;
use crate::core::pod_warnings;
use crate::core::{pod_defaults, pod_template};
use crate::rules::{Context, Strategy, drop_status, keep_status};
use crate::tree::{default, default_text, object, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct DaemonSet;

/// Counts how often the template changed.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

impl Strategy for DaemonSet {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("apps", "DaemonSet")
    }

    fn default(&self, object: &mut Value) {
        defaults(object);
    }

    fn prepare_create(&self, set: &mut Value, _context: &Context<'_>) {
        drop_status(set);
        count_templates(set, 1);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_status(new, old);
        let count = text(&old["metadata"]["annotations"], TEMPLATE_GENERATION).parse().unwrap_or(0);
        let changed = new["spec"]["template"] != old["spec"]["template"];
        count_templates(new, count + i64::from(changed));
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        validate(new, old, errors);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_warnings::of_template(new, old)
    }
}

fn count_templates(set: &mut Value, count: i64) {
    let Some(metadata) = set.get_mut("metadata").filter(|metadata| metadata.is_object()) else { return };
    if let Some(annotations) = object(metadata, "annotations") {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), count.to_string().into());
    }
}

fn defaults(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        default(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
        default(&mut strategy["rollingUpdate"], "maxSurge", 0);
    }
    default(spec, "revisionHistoryLimit", 10);
    if let Some(template) = spec.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(template);
    }
}

fn validate(set: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    pod_template::selected(spec, &path, "daemonset", errors);
    pod_template::always_restarted(spec, &path, "DaemonSet", errors);
    check::non_negative(errors, &path, spec, "minReadySeconds");
    check::non_negative(errors, &path, spec, "revisionHistoryLimit");
    let strategy = &spec["updateStrategy"];
    let here = path.child("updateStrategy");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => rolling(&strategy["rollingUpdate"], &here.child("rollingUpdate"), errors),
        other => {
            let known = &["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(&here.child("type"), other, known));
        }
    }
    if let Some(old) = old {
        check::immutable(errors, &path.child("selector"), &spec["selector"], &old["spec"]["selector"]);
    }
}

fn rolling(rolling: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["maxUnavailable", "maxSurge"] {
        check::amount_or_percent(errors, &path.child(field), &rolling[field]);
        check::at_most_all(errors, &path.child(field), &rolling[field]);
    }
    let zero = |field: &str| check::is_zero_amount(&rolling[field]);
    if zero("maxUnavailable") && zero("maxSurge") {
        let value = rolling["maxUnavailable"].clone();
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), value, "cannot be 0 when maxSurge is 0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_counted_by_the_server_alone() {
        let context = crate::tests::context();
        let count = |set: &Value| set["metadata"]["annotations"][TEMPLATE_GENERATION].clone();
        let mut set =
            json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": []}}}, "status": {}});
        DaemonSet.default(&mut set);
        DaemonSet.prepare_create(&mut set, &context);
        assert_eq!(count(&set), "1");
        let mut same = set.clone();
        same["metadata"]["annotations"][TEMPLATE_GENERATION] = json!("7");
        same["spec"]["minReadySeconds"] = json!(3);
        DaemonSet.prepare_update(&mut same, &set, &context);
        assert_eq!(count(&same), "1");
        let mut changed = set.clone();
        changed["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        DaemonSet.prepare_update(&mut changed, &set, &context);
        assert_eq!(count(&changed), "2");
    }
}
