//! The order that resources are applied in: what others need comes first.

use super::resource::Resource;

const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

pub fn sort(all: &mut [Resource]) {
    all.sort_by_cached_key(key);
}

fn key(resource: &Resource) -> (usize, String, String, String) {
    let kind = resource.kind();
    let first = FIRST.iter().position(|one| *one == kind);
    let last = LAST.iter().position(|one| *one == kind).map(|at| FIRST.len() + 1 + at);
    let or = |text: &str, nothing: &str| if text.is_empty() { nothing.to_owned() } else { text.to_owned() };
    let group = or(resource.group(), "~G");
    let of_kind = format!("{group}_{}_{kind}", resource.version());
    let namespace = or(resource.namespace(), "~X");
    (first.or(last).unwrap_or(FIRST.len()), of_kind, namespace, resource.name().to_owned())
}
