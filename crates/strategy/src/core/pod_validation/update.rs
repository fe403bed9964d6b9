//! The little that may change of a pod once it is there.

use crate::check;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

const FIELDS: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
    set to 1 if it was previously negative)";

pub fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if items(new, list).len() != items(old, list).len() {
            errors.push(FieldError::forbidden(&path.child(list), "pod updates may not add or remove containers"));
            return;
        }
        for (at, container) in items(new, list).iter().enumerate() {
            let (here, image) = (path.child(list).index(at).child("image"), text(container, "image"));
            if check::required(errors, &here, image) && image.trim() != image {
                let why = "must not have leading or trailing whitespace";
                errors.push(FieldError::invalid(&here, image, why));
            }
        }
    }
    deadline(new, old, &path, errors);
    tolerations(new, old, &path, errors);
    gates(new, old, &path, errors);
    if !errors.is_empty() {
        return;
    }
    let (before, after) = (frozen(old, old), frozen(new, old));
    if before != after {
        let difference = check::difference(&before, &after);
        let why = format!("pod updates may not change fields other than {FIELDS}\n{difference}");
        errors.push(FieldError::forbidden(&path, &why));
    }
}

/// A spec without what may change, so that two of them compare.
fn frozen(spec: &Value, old: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in crate::tree::items_mut(&mut spec, list) {
            remove(container, "image");
        }
    }
    let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
    if grace(old).is_some_and(|seconds| seconds < 0)
        && matches!(grace(&spec), Some(seconds) if seconds == 1 || Some(seconds) == grace(old))
    {
        remove(&mut spec, "terminationGracePeriodSeconds");
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        remove(&mut spec, field);
    }
    // Held back from scheduling, a pod may still be told where to go.
    if !items(old, "schedulingGates").is_empty() {
        remove(&mut spec, "nodeSelector");
        if let Some(affinity) = spec.get_mut("affinity") {
            remove(affinity, "nodeAffinity");
        }
        if spec["affinity"].as_object().is_none_or(serde_json::Map::is_empty) {
            remove(&mut spec, "affinity");
        }
    }
    spec
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

fn deadline(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let here = path.child("activeDeadlineSeconds");
    match (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64()) {
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&here, Value::Null, why));
        }
        (Some(new), Some(old)) if new > old => {
            errors.push(FieldError::invalid(&here, new, "must be less than or equal to previous value"));
        }
        (Some(new), _) => {
            check::all(errors, &here, new, meta::validation::in_range(new, 0, i64::from(i32::MAX)));
        }
        (None, None) => {}
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    let same = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| text(a, field) == text(b, field))
    };
    let kept = items(old, "tolerations").iter().all(|old| items(new, "tolerations").iter().any(|new| same(old, new)));
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), why));
    }
}

fn gates(new: &Value, old: &Value, path: &Path, errors: &mut ErrorList) {
    for gate in items(new, "schedulingGates") {
        if !items(old, "schedulingGates").contains(gate) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name"));
            errors.push(FieldError::forbidden(&path.child("schedulingGates"), &why));
        }
    }
}
