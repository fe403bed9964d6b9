//! DaemonSet.

use crate::check;
use crate::core::{pod_defaults, pod_template};
use crate::declared::Declared;
use crate::tree::{default, default_text, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub const DAEMON_SET: Declared =
    Declared::new("apps", "DaemonSet").with_generation().defaults(defaults).validates(validate);

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
