//! What the ephemeralcontainers and resize subresources may change of a pod.

use crate::check;
use crate::core::pod_defaults::qos_class;
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Map, Value};

const MIRROR: &str = "kubernetes.io/config.mirror";

/// What an ephemeral container may say; the rest makes no sense for something that only looks on.
const EPHEMERAL: [&str; 17] = [
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "volumeMounts",
    "volumeDevices",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
    "targetContainerName",
];

/// Leaves of `new` what the subresource is for; all else stays as it was.
pub fn keep_all_but(part: &str, new: &mut Value, old: &Value) {
    let wanted = std::mem::replace(new, old.clone());
    new["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"].clone();
    new["metadata"]["managedFields"] = wanted["metadata"]["managedFields"].clone();
    match part {
        "ephemeralcontainers" => match wanted["spec"]["ephemeralContainers"].clone() {
            Value::Null => remove(&mut new["spec"], "ephemeralContainers"),
            list => new["spec"]["ephemeralContainers"] = list,
        },
        _ => {
            for list in ["containers", "initContainers"] {
                let asked = items(&wanted["spec"], list);
                for container in crate::tree::items_mut(&mut new["spec"], list) {
                    let Some(asked) = asked.iter().find(|asked| asked["name"] == container["name"]) else { continue };
                    for field in ["resources", "resizePolicy"] {
                        match asked[field].clone() {
                            Value::Null => remove(container, field),
                            value => container[field] = value,
                        }
                    }
                }
            }
        }
    }
}

pub fn validate(part: &str, new: &Value, old: &Value, errors: &mut ErrorList) {
    let mirror = old["metadata"]["annotations"][MIRROR].is_string();
    match part {
        "ephemeralcontainers" if mirror => {
            errors.push(FieldError::forbidden(&Path::root(), "static pods do not support ephemeral containers"));
        }
        "ephemeralcontainers" => ephemeral(&new["spec"], &old["spec"], errors),
        "resize" if mirror => errors.push(FieldError::forbidden(&Path::root(), "static pods cannot be resized")),
        "resize" if old["spec"]["os"]["name"] == "windows" => {
            errors.push(FieldError::forbidden(&Path::root(), "windows pods cannot be resized"));
        }
        "resize" => resize(new, old, errors),
        _ => {}
    }
}

fn ephemeral(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec").child("ephemeralContainers");
    let others = ["containers", "initContainers"].iter().flat_map(|list| items(new, list));
    let mut names: Vec<&str> = others.map(|container| text(container, "name")).collect();
    let targets: Vec<&str> = items(new, "containers").iter().map(|container| text(container, "name")).collect();
    for (at, container) in items(new, "ephemeralContainers").iter().enumerate() {
        let (here, name) = (path.index(at), text(container, "name"));
        if check::required(errors, &here.child("name"), name) {
            check::all(errors, &here.child("name"), name, meta::validation::dns1123_label(name));
        }
        if names.contains(&name) {
            errors.push(FieldError::duplicate(&here.child("name"), name));
        }
        names.push(name);
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !targets.contains(&target) {
            errors.push(FieldError::not_found(&here.child("targetContainerName"), target));
        }
        let image = text(container, "image");
        if check::required(errors, &here.child("image"), image) && image.trim() != image {
            let why = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(&here.child("image"), image, why));
        }
        for field in container.as_object().map(Map::keys).into_iter().flatten() {
            let is_empty = container[field].as_object().is_some_and(Map::is_empty);
            if !EPHEMERAL.contains(&field.as_str()) && !is_empty {
                errors.push(FieldError::forbidden(&here.child(field), "cannot be set for an Ephemeral Container"));
            }
        }
    }
    for before in items(old, "ephemeralContainers") {
        let name = text(before, "name");
        match items(new, "ephemeralContainers").iter().find(|container| text(container, "name") == name) {
            None => {
                let why = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(&path, &why));
            }
            Some(after) if after != before => {
                let difference = check::difference(before, after);
                let why = format!("existing ephemeral containers {name:?} may not be changed\n{difference}");
                errors.push(FieldError::forbidden(&path, &why));
            }
            Some(_) => {}
        }
    }
}

fn resize(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let class = qos_class(&new["spec"]);
    if class != qos_class(&old["spec"]) {
        errors.push(FieldError::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    for list in ["containers", "initContainers"] {
        let pairs = items(&new["spec"], list).iter().zip(items(&old["spec"], list));
        for (at, (after, before)) in pairs.enumerate() {
            let here = path.child(list).index(at).child("resources");
            for field in ["limits", "requests"] {
                resources(&after["resources"][field], &before["resources"][field], field, &here.child(field), errors);
            }
            if list == "initContainers" && before["restartPolicy"] != "Always" && after != before {
                errors.push(FieldError::forbidden(&path, "resources for non-sidecar init containers are immutable"));
            }
        }
    }
}

fn resources(after: &Value, before: &Value, field: &str, path: &Path, errors: &mut ErrorList) {
    let names = |list: &Value| -> Vec<String> {
        list.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    for name in names(before).iter().filter(|name| after[name.as_str()].is_null()) {
        let _ = name;
        errors.push(FieldError::forbidden(path, &format!("resource {field} cannot be removed")));
    }
    let other =
        |name: &&String| !matches!(name.as_str(), "cpu" | "memory") && after[name.as_str()] != before[name.as_str()];
    if names(after).iter().any(|name| other(&name)) {
        errors.push(FieldError::forbidden(&Path::new("spec"), "only cpu and memory resources are mutable"));
    }
    for name in names(after) {
        if let Some(amount) = check::quantity(&after[&name]).filter(meta::Quantity::is_negative) {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child(&name), amount.to_string(), why));
        }
    }
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: Value, ephemeral: Value) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"containers": containers, "ephemeralContainers": ephemeral}})
    }

    fn told(part: &str, new: &Value, old: &Value) -> Vec<String> {
        let mut changed = new.clone();
        keep_all_but(part, &mut changed, old);
        let mut errors = ErrorList::new();
        validate(part, &changed, old, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ephemeral_containers_are_added_and_stay() {
        let main = json!([{"name": "a", "image": "i"}]);
        let old = pod(main.clone(), json!([{"name": "d", "image": "i"}]));
        let cases = [
            (json!([{"name": "d", "image": "i"}, {"name": "e", "image": "i", "targetContainerName": "a"}]), ""),
            (json!([]), "existing ephemeral containers \"d\" may not be removed"),
            (json!([{"name": "d", "image": "j"}]), "existing ephemeral containers \"d\" may not be changed"),
            (
                json!([{"name": "d", "image": "i"}, {"name": "a", "image": "i"}]),
                "spec.ephemeralContainers[1].name: Duplicate value: \"a\"",
            ),
            (
                json!([{"name": "d", "image": "i"}, {"name": "e", "image": "i", "targetContainerName": "x"}]),
                "spec.ephemeralContainers[1].targetContainerName: Not found: \"x\"",
            ),
            (
                json!([{"name": "d", "image": "i"}, {"name": "e", "image": "i", "ports": [{"containerPort": 1}]}]),
                "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (json!([{"name": "d", "image": "i"}, {"name": "e"}]), "spec.ephemeralContainers[1].image: Required value"),
        ];
        for (list, wanted) in cases {
            // The rest of what is sent counts for nothing.
            let new = pod(json!([{"name": "a", "image": "other"}]), list);
            let told = told("ephemeralcontainers", &new, &old);
            assert!(
                if wanted.is_empty() { told.is_empty() } else { told.iter().any(|why| why.contains(wanted)) },
                "{told:?}"
            );
        }
        let mut changed = pod(json!([{"name": "a", "image": "other"}]), json!([]));
        keep_all_but("ephemeralcontainers", &mut changed, &old);
        assert_eq!(changed["spec"]["containers"], main);
    }

    #[test]
    fn a_resize_changes_cpu_and_memory_and_no_class() {
        let with = |resources: Value| pod(json!([{"name": "a", "image": "i", "resources": resources}]), json!([]));
        let old = with(json!({"requests": {"cpu": "1", "memory": "1Gi"}}));
        let cases = [
            (json!({"requests": {"cpu": "2", "memory": "1Gi"}}), ""),
            (
                json!({"requests": {"cpu": "2"}}),
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            ),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
                "Pod QOS Class may not change as a result of resizing",
            ),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}}),
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
        ];
        for (resources, wanted) in cases {
            let told = told("resize", &with(resources), &old);
            assert!(
                if wanted.is_empty() { told.is_empty() } else { told.iter().any(|why| why.contains(wanted)) },
                "{told:?}"
            );
        }
    }
}
