//! Fields by paths like `spec/template/metadata/labels`, through lists as if they were not there.

use serde_json::{Map, Value};

/// A path, and whether what is missing on it is made.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Empty: any.
    pub kind: &'static str,
    pub path: &'static str,
    pub create: bool,
}

pub const fn spec(kind: &'static str, path: &'static str, create: bool) -> Spec {
    Spec { kind, path, create }
}

/// Calls `change` with each value a path leads to.
pub fn visit(value: &mut Value, path: &str, create: bool, change: &mut dyn FnMut(&mut Value)) {
    if let Value::Array(list) = value {
        list.iter_mut().for_each(|item| visit(item, path, create, change));
        return;
    }
    if path.is_empty() {
        change(value);
        return;
    }
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let Some(map) = value.as_object_mut() else { return };
    if create && map.get(name).is_none_or(Value::is_null) {
        // What stands at the end is the caller's to make.
        map.insert(name.to_owned(), if rest.is_empty() { Value::Null } else { Value::Object(Map::new()) });
    }
    match map.get_mut(name) {
        Some(found) if rest.is_empty() && found.is_null() => change(found),
        Some(found) => visit(found, rest, create, change),
        None => {}
    }
}

/// Where a kind keeps its pod spec.
pub fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("spec"),
        "CronJob" => Some("spec/jobTemplate/spec/template/spec"),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" | "Job" | "ReplicationController" => {
            Some("spec/template/spec")
        }
        "PodTemplate" => Some("template/spec"),
        _ => None,
    }
}

const AFFINITY: &str = "spec/template/spec/affinity/";

/// Selectors and labels that must go together: where `commonLabels` go.
pub const COMMON_LABELS: &[Spec] = &[
    spec("", "metadata/labels", true),
    spec("Service", "spec/selector", true),
    spec("ReplicationController", "spec/selector", true),
    spec("ReplicationController", "spec/template/metadata/labels", true),
    spec("Deployment", "spec/selector/matchLabels", true),
    spec("Deployment", "spec/template/metadata/labels", true),
    spec("ReplicaSet", "spec/selector/matchLabels", true),
    spec("ReplicaSet", "spec/template/metadata/labels", true),
    spec("DaemonSet", "spec/selector/matchLabels", true),
    spec("DaemonSet", "spec/template/metadata/labels", true),
    spec("StatefulSet", "spec/selector/matchLabels", true),
    spec("StatefulSet", "spec/template/metadata/labels", true),
    spec("StatefulSet", "spec/volumeClaimTemplates/metadata/labels", true),
    spec("Job", "spec/selector/matchLabels", false),
    spec("Job", "spec/template/metadata/labels", true),
    spec("CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
    spec("CronJob", "spec/jobTemplate/metadata/labels", true),
    spec("CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
    spec("PodDisruptionBudget", "spec/selector/matchLabels", false),
    spec("NetworkPolicy", "spec/podSelector/matchLabels", false),
    spec("NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
    spec("NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
];

/// Below the affinity of Deployments and StatefulSets.
const AFFINITY_LABELS: &[&str] = &[
    "podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
];

/// Where labels go that pods must have too.
pub const TEMPLATE_LABELS: &[Spec] = &[
    spec("", "metadata/labels", true),
    spec("ReplicationController", "spec/template/metadata/labels", true),
    spec("Deployment", "spec/template/metadata/labels", true),
    spec("ReplicaSet", "spec/template/metadata/labels", true),
    spec("DaemonSet", "spec/template/metadata/labels", true),
    spec("StatefulSet", "spec/template/metadata/labels", true),
    spec("Job", "spec/template/metadata/labels", true),
    spec("CronJob", "spec/jobTemplate/metadata/labels", true),
    spec("CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
];

pub const METADATA_LABELS: &[Spec] = &[spec("", "metadata/labels", true)];

pub const ANNOTATIONS: &[Spec] = &[
    spec("", "metadata/annotations", true),
    spec("ReplicationController", "spec/template/metadata/annotations", true),
    spec("Deployment", "spec/template/metadata/annotations", true),
    spec("ReplicaSet", "spec/template/metadata/annotations", true),
    spec("DaemonSet", "spec/template/metadata/annotations", true),
    spec("StatefulSet", "spec/template/metadata/annotations", true),
    spec("Job", "spec/template/metadata/annotations", true),
    spec("CronJob", "spec/jobTemplate/metadata/annotations", true),
    spec("CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
];

/// Sets pairs in the maps that the specs of a kind lead to.
pub fn set_pairs(object: &mut Value, kind: &str, specs: &[Spec], pairs: &Map<String, Value>) {
    let mut set = |found: &mut Value| {
        if found.is_null() {
            *found = Value::Object(Map::new());
        }
        if let Some(map) = found.as_object_mut() {
            map.extend(pairs.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    };
    for spec in specs.iter().filter(|spec| spec.kind.is_empty() || spec.kind == kind) {
        visit(object, spec.path, spec.create, &mut set);
    }
    if std::ptr::eq(specs, COMMON_LABELS) && matches!(kind, "Deployment" | "StatefulSet") {
        for path in AFFINITY_LABELS {
            visit(object, &format!("{AFFINITY}{path}"), false, &mut set);
        }
        visit(object, "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels", false, &mut set);
    }
}
