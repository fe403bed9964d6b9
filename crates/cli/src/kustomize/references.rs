//! Names in other resources: who refers to whom, and following a name that changed.

use super::fields::{pod_spec, visit};
use super::resource::{Resource, effective};
use serde_json::{Value, json};

/// Fields of a pod spec, by the kind they name.
const IN_PODS: &[(&str, &str)] = &[
    ("ConfigMap", "volumes/configMap/name"),
    ("ConfigMap", "volumes/projected/sources/configMap/name"),
    ("ConfigMap", "containers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "initContainers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "containers/envFrom/configMapRef/name"),
    ("ConfigMap", "initContainers/envFrom/configMapRef/name"),
    ("Secret", "volumes/secret/secretName"),
    ("Secret", "volumes/projected/sources/secret/name"),
    ("Secret", "containers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "initContainers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "containers/envFrom/secretRef/name"),
    ("Secret", "initContainers/envFrom/secretRef/name"),
    ("Secret", "imagePullSecrets/name"),
    ("ServiceAccount", "serviceAccountName"),
    ("PersistentVolumeClaim", "volumes/persistentVolumeClaim/claimName"),
    ("PriorityClass", "priorityClassName"),
];

/// Whose field, which field, and the kind it names.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("StatefulSet", "spec/serviceName", "Service"),
    ("StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName", "StorageClass"),
    ("Ingress", "spec/rules/http/paths/backend/service/name", "Service"),
    ("Ingress", "spec/rules/http/paths/backend/serviceName", "Service"),
    ("Ingress", "spec/defaultBackend/service/name", "Service"),
    ("Ingress", "spec/backend/serviceName", "Service"),
    ("Ingress", "spec/tls/secretName", "Secret"),
    ("Ingress", "spec/ingressClassName", "IngressClass"),
    ("ServiceAccount", "secrets/name", "Secret"),
    ("ServiceAccount", "imagePullSecrets/name", "Secret"),
    ("PersistentVolumeClaim", "spec/volumeName", "PersistentVolume"),
    ("PersistentVolumeClaim", "spec/storageClassName", "StorageClass"),
    ("PersistentVolume", "spec/storageClassName", "StorageClass"),
    ("APIService", "spec/service/name", "Service"),
    ("ValidatingWebhookConfiguration", "webhooks/clientConfig/service/name", "Service"),
    ("MutatingWebhookConfiguration", "webhooks/clientConfig/service/name", "Service"),
    ("CustomResourceDefinition", "spec/conversion/webhook/clientConfig/service/name", "Service"),
    ("ValidatingAdmissionPolicyBinding", "spec/policyName", "ValidatingAdmissionPolicy"),
];

/// Objects that name what they mean by kind and name.
const BY_KIND: &[(&str, &str)] = &[
    ("HorizontalPodAutoscaler", "spec/scaleTargetRef"),
    ("RoleBinding", "roleRef"),
    ("ClusterRoleBinding", "roleRef"),
    ("RoleBinding", "subjects"),
    ("ClusterRoleBinding", "subjects"),
];

/// Lets every reference follow the resource it was made for.
pub fn follow(all: &mut [Resource]) {
    for at in 0..all.len() {
        let mut object = all[at].object.clone();
        let referrer = &all[at];
        let kind = referrer.kind().to_owned();
        let find = |kind: &str, name: &str, namespace: Option<&str>| target(all, referrer, kind, name, namespace);
        let mut rename = |found: &mut Value, of: &str| {
            if let Some(target) = found.as_str().and_then(|name| find(of, name, None)) {
                *found = json!(target.name());
            }
        };
        if let Some(prefix) = pod_spec(&kind) {
            for (of, path) in IN_PODS {
                visit(&mut object, &format!("{prefix}/{path}"), false, &mut |found| rename(found, of));
            }
        }
        for (_, path, of) in ELSEWHERE.iter().filter(|(whose, ..)| *whose == kind) {
            visit(&mut object, path, false, &mut |found| rename(found, of));
        }
        if matches!(kind.as_str(), "Role" | "ClusterRole") {
            resource_names(&mut object, &mut rename);
        }
        for (_, path) in BY_KIND.iter().filter(|(whose, _)| *whose == kind) {
            visit(&mut object, path, false, &mut |found| {
                let text = |field: &str| found[field].as_str().map(str::to_owned);
                let (Some(kind), Some(name), namespace) = (text("kind"), text("name"), text("namespace")) else {
                    return;
                };
                let Some(target) = find(&kind, &name, namespace.as_deref()) else { return };
                found["name"] = json!(target.name());
                if *path == "subjects" && !target.namespace().is_empty() {
                    found["namespace"] = json!(target.namespace());
                }
            });
        }
        all[at].object = object;
    }
}

/// The names in a role's rules are those of the resources beside them.
fn resource_names(object: &mut Value, rename: &mut dyn FnMut(&mut Value, &str)) {
    for rule in object["rules"].as_array_mut().into_iter().flatten() {
        let kinds: Vec<&str> = [("configmaps", "ConfigMap"), ("secrets", "Secret"), ("services", "Service")]
            .into_iter()
            .filter(|(resource, _)| {
                rule["resources"].as_array().is_some_and(|all| all.iter().any(|one| one == resource))
            })
            .map(|(_, kind)| kind)
            .collect();
        for name in rule["resourceNames"].as_array_mut().into_iter().flatten() {
            kinds.iter().for_each(|kind| rename(name, kind));
        }
    }
}

fn target<'r>(
    all: &'r [Resource],
    referrer: &Resource,
    kind: &str,
    name: &str,
    namespace: Option<&str>,
) -> Option<&'r Resource> {
    let mut found: Vec<&Resource> = all
        .iter()
        .filter(|one| one.kind() == kind && one.was_called(name))
        .filter(|one| match namespace {
            Some(namespace) => one.was_in(namespace),
            None => {
                !one.is_namespaced()
                    || !referrer.is_namespaced()
                    || effective(one.namespace()) == effective(referrer.namespace())
            }
        })
        .collect();
    // Of several that had the name once, the one from the referrer's own layer is meant.
    if found.len() > 1 {
        let alike = |one: &&Resource| {
            let (own, its) = (&referrer.prefixes, &one.prefixes);
            let (own_suffixes, its_suffixes) = (&referrer.suffixes, &one.suffixes);
            (own.ends_with(its) || its.ends_with(own))
                && (own_suffixes.ends_with(its_suffixes) || its_suffixes.ends_with(own_suffixes))
        };
        let near: Vec<&Resource> = found.iter().copied().filter(|one| alike(one)).collect();
        if !near.is_empty() {
            found = near;
        }
    }
    let first = found.first()?;
    found.iter().all(|one| one.name() == first.name()).then_some(*first)
}
