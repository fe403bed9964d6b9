//! PersistentVolume and PersistentVolumeClaim.

use crate::check;
use crate::declared::Declared;
use crate::tree::{default, default_text, items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub const VOLUME: Declared = Declared::new("", "PersistentVolume")
    .defaults(volume_defaults)
    .creates(volume_create)
    .validates(volume)
    .warns(warn);

pub const CLAIM: Declared = Declared::new("", "PersistentVolumeClaim")
    .defaults(claim_defaults)
    .creates(|claim, _| claim["status"] = json!({"phase": "Pending"}))
    .validates(claim);

/// Fields of a volume's spec that are not where its data lies.
const NOT_SOURCES: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

fn volume_defaults(volume: &mut Value) {
    if let Some(spec) = volume.get_mut("spec").filter(|spec| spec.is_object()) {
        default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_text(spec, "volumeMode", "Filesystem");
        if let Some(host_path) = spec.get_mut("hostPath").filter(|source| source.is_object()) {
            default(host_path, "type", "");
        }
    }
    default(volume, "status", json!({}));
    default_text(&mut volume["status"], "phase", "Pending");
}

fn volume_create(volume: &mut Value, context: &crate::Context<'_>) {
    volume["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": meta::time::format(context.now)});
}

/// Also of the templates in StatefulSets.
pub fn claim_defaults(claim: &mut Value) {
    if let Some(spec) = claim.get_mut("spec").filter(|spec| spec.is_object()) {
        default_text(spec, "volumeMode", "Filesystem");
        normalize_source(spec);
    }
    default(claim, "status", json!({}));
    default_text(&mut claim["status"], "phase", "Pending");
}

/// Two names for what a claim is filled from; each follows the other.
fn normalize_source(spec: &mut Value) {
    let (source, reference) = (spec["dataSource"].is_object(), spec["dataSourceRef"].is_object());
    if source && !reference {
        spec["dataSourceRef"] = spec["dataSource"].clone();
    } else if reference && !source && text(&spec["dataSourceRef"], "namespace").is_empty() {
        let known = matches!(text(&spec["dataSourceRef"], "kind"), "PersistentVolumeClaim" | "VolumeSnapshot");
        if known {
            spec["dataSource"] = spec["dataSourceRef"].clone();
        }
    }
}

fn access_modes(spec: &Value, path: &Path, errors: &mut ErrorList) {
    const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = items(spec, "accessModes");
    for mode in modes {
        if !MODES.iter().any(|known| mode == known) {
            errors.push(FieldError::not_supported(&path.child("accessModes"), mode.clone(), MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path.child("accessModes"), why));
    }
}

fn volume(volume: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&volume["spec"], Path::new("spec"));
    if items(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(spec, &path, errors);
    if spec["capacity"].as_object().is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required(&path.child("capacity"), ""));
    } else if spec["capacity"]["storage"].is_null() || spec["capacity"].as_object().is_some_and(|all| all.len() > 1) {
        errors.push(FieldError::not_supported(&path.child("capacity"), spec["capacity"].clone(), &["storage"]));
    } else if !check::quantity(&spec["capacity"]["storage"]).is_some_and(|size| !size.is_zero() && !size.is_negative())
    {
        let here = path.child("capacity").key("storage");
        errors.push(FieldError::invalid(&here, spec["capacity"]["storage"].clone(), "must be greater than zero"));
    }
    let sources: Vec<&String> = spec
        .as_object()
        .into_iter()
        .flat_map(|spec| spec.keys())
        .filter(|name| !NOT_SOURCES.contains(&name.as_str()))
        .collect();
    match sources.as_slice() {
        [] => errors.push(FieldError::required(&path, "must specify a volume type")),
        [_] => {}
        [_, more @ ..] => {
            for name in more {
                errors.push(FieldError::forbidden(&path.child(name), "may not specify more than 1 volume type"));
            }
        }
    }
    if spec["local"].is_object() && !spec["nodeAffinity"]["required"].is_object() {
        errors.push(FieldError::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
    }
    if text(&spec["hostPath"], "path") == "/" && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&path.child("persistentVolumeReclaimPolicy"), why));
    }
    let Some(old) = old else { return };
    let changed = sources.iter().any(|name| old["spec"][name.as_str()] != spec[name.as_str()]);
    if changed {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(&path.child("persistentvolumesource"), why));
    }
    check::immutable(errors, &path.child("volumeMode"), &spec["volumeMode"], &old["spec"]["volumeMode"]);
}

fn warn(volume: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    if text(&volume["spec"], "persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
}

fn claim(claim: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&claim["spec"], Path::new("spec"));
    if items(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    access_modes(spec, &path, errors);
    let storage = &spec["resources"]["requests"]["storage"];
    match check::quantity(storage) {
        None => errors.push(FieldError::required(&path.child("resources").key("storage"), "")),
        Some(size) if size.is_zero() || size.is_negative() => {
            let here = path.child("resources").key("storage");
            errors.push(FieldError::invalid(&here, storage.clone(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    let Some(old) = old else { return };
    let frozen = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("resources");
            fields.remove("volumeAttributesClassName");
        }
        spec
    };
    let (before, mut now) = (frozen(old), frozen(claim));
    // The volume is filled in once; the class of old claims, too.
    for field in ["volumeName", "storageClassName"] {
        if text(&before, field).is_empty()
            && let Some(fields) = now.as_object_mut()
        {
            fields.remove(field);
            fields.extend(before.get(field).map(|value| (field.to_owned(), value.clone())));
        }
    }
    let is_bound = text(&old["status"], "phase") == "Bound";
    let resized = old["spec"]["resources"] != spec["resources"];
    if before != now || (resized && !is_bound) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&path, &format!("{why}\n{}", check::difference(&old["spec"], spec))));
    }
    let (had, wants) = (check::quantity(&old["status"]["capacity"]["storage"]), check::quantity(storage));
    let asked = check::quantity(&old["spec"]["resources"]["requests"]["storage"]);
    if wants < asked && had.is_some_and(|had| wants < Some(had)) {
        let here = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&here, "field can not be less than status.capacity"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Strategy as _;

    fn told(check: fn(&Value, Option<&Value>, &mut ErrorList), new: &Value, old: Option<&Value>) -> String {
        let mut errors = ErrorList::new();
        check(new, old, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn claims_and_volumes_are_checked() {
        let good = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(told(claim, &good, None), "");
        assert_eq!(told(claim, &good, Some(&good)), "");
        let mut bound = good.clone();
        bound["spec"]["volumeName"] = "v".into();
        assert_eq!(told(claim, &bound, Some(&good)), "");
        let mut other = bound.clone();
        other["spec"]["volumeName"] = "w".into();
        assert!(
            told(claim, &other, Some(&bound)).starts_with("spec: Forbidden: spec is immutable after creation except")
        );
        assert_eq!(
            told(claim, &json!({"spec": {}}), None),
            "spec.accessModes: Required value: at least 1 access mode is required; spec.resources[storage]: Required value"
        );
        let volume_of = |source: Value| {
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "hostPath": source, "volumeMode": "Filesystem"}})
        };
        assert_eq!(told(volume, &volume_of(json!({"path": "/a"})), Some(&volume_of(json!({"path": "/a"})))), "");
        assert!(
            told(volume, &volume_of(json!({"path": "/a"})), Some(&volume_of(json!({"path": "/b"}))))
                .contains("immutable")
        );
        assert!(told(volume, &json!({"spec": {}}), None).contains("spec: Required value: must specify a volume type"));
    }

    #[test]
    fn a_claim_s_sources_follow_each_other() {
        let source = json!({"kind": "PersistentVolumeClaim", "name": "a"});
        let mut one = json!({"spec": {"dataSource": source}});
        CLAIM.default(&mut one);
        assert_eq!(one["spec"]["dataSourceRef"], source);
        let mut none = json!({"spec": {}});
        CLAIM.default(&mut none);
        assert_eq!(none, json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}));
    }
}
