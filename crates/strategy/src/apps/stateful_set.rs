//! StatefulSet and ControllerRevision.

use crate::check;
use crate::core::{pod_defaults, pod_template, volume};
use crate::declared::Declared;
use crate::rules::complete;
use crate::tree::{default, default_text, items_mut, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub const STATEFUL_SET: Declared = Declared::new("apps", "StatefulSet")
    .with_generation()
    .named(|name, prefix| meta::validation::dns1123_label(&complete(name, prefix)))
    .defaults(defaults)
    .validates(validate);

pub const CONTROLLER_REVISION: Declared = Declared::new("apps", "ControllerRevision").validates(revision);

/// What may change of a set that exists.
const UPDATABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn defaults(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default_text(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        default(&mut strategy["rollingUpdate"], "partition", 0);
    }
    default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    for field in ["whenDeleted", "whenScaled"] {
        default_text(&mut spec["persistentVolumeClaimRetentionPolicy"], field, "Retain");
    }
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    if let Some(template) = spec.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(template);
    }
    for claim in items_mut(spec, "volumeClaimTemplates") {
        claim["apiVersion"] = "v1".into();
        claim["kind"] = "PersistentVolumeClaim".into();
        volume::claim_defaults(claim);
    }
}

fn validate(set: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&set["spec"], Path::new("spec"));
    pod_template::selected(spec, &path, "statefulset", errors);
    // Its pods' own spec is looked at only when the pods are made, as upstream does: they may mount
    // claims that the template does not know.
    let policy = text(&spec["template"]["spec"], "restartPolicy");
    if !policy.is_empty() && policy != "Always" {
        let here = path.child("template").child("spec").child("restartPolicy");
        errors.push(FieldError::not_supported(&here, policy, &["Always"]));
    }
    check::required_one_of(
        errors,
        &path.child("podManagementPolicy"),
        text(spec, "podManagementPolicy"),
        &["OrderedReady", "Parallel"],
    );
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        check::non_negative(errors, &path, spec, field);
    }
    check::non_negative(errors, &path.child("ordinals"), &spec["ordinals"], "start");
    let (strategy, here) = (&spec["updateStrategy"], path.child("updateStrategy"));
    match text(strategy, "type") {
        "OnDelete" if strategy["rollingUpdate"].is_object() => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(&here.child("rollingUpdate"), strategy["rollingUpdate"].clone(), why));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = here.child("rollingUpdate");
            check::non_negative(errors, &rolling, &strategy["rollingUpdate"], "partition");
            check::amount_or_percent(
                errors,
                &rolling.child("maxUnavailable"),
                &strategy["rollingUpdate"]["maxUnavailable"],
            );
        }
        other => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(&here, other, why));
        }
    }
    if let Some(old) = old {
        frozen(spec, &old["spec"], &path, errors);
    }
}

fn frozen(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let rest = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !UPDATABLE.contains(&name.as_str()));
        }
        spec
    };
    if rest(new) != rest(old) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn revision(revision: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    check::non_negative(errors, &Path::root(), revision, "revision");
    match old {
        None if revision["data"].is_null() => {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"))
        }
        Some(old) => check::immutable(errors, &Path::new("data"), &revision["data"], &old["data"]),
        None => {}
    }
}
