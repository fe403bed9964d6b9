//! Roles, requests for certificates, webhooks and definitions as they were before they were stable.

use super::{Hub, Version, at, rename, same};
use crate::tree::{default, default_text, items, items_mut, text};
use serde_json::{Map, Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const ROLE: Hub = Hub { group: RBAC, version: "v1", plural: "roles", kind: "Role" };
const CLUSTER_ROLE: Hub = Hub { group: RBAC, version: "v1", plural: "clusterroles", kind: "ClusterRole" };
const BINDING: Hub = Hub { group: RBAC, version: "v1", plural: "rolebindings", kind: "RoleBinding" };
const CLUSTER_BINDING: Hub =
    Hub { group: RBAC, version: "v1", plural: "clusterrolebindings", kind: "ClusterRoleBinding" };
const REQUEST: Hub = Hub {
    group: "certificates.k8s.io",
    version: "v1",
    plural: "certificatesigningrequests",
    kind: "CertificateSigningRequest",
};
const MUTATING: Hub = Hub {
    group: ADMISSION,
    version: "v1",
    plural: "mutatingwebhookconfigurations",
    kind: "MutatingWebhookConfiguration",
};
const VALIDATING: Hub = Hub {
    group: ADMISSION,
    version: "v1",
    plural: "validatingwebhookconfigurations",
    kind: "ValidatingWebhookConfiguration",
};
const DEFINITION: Hub = Hub {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
};
const API_SERVICE: Hub =
    Hub { group: "apiregistration.k8s.io", version: "v1", plural: "apiservices", kind: "APIService" };

pub const ALL: &[Version] = &[
    Version::new(RBAC, "v1beta1", "Role", ROLE),
    Version::new(RBAC, "v1beta1", "ClusterRole", CLUSTER_ROLE),
    Version::new(RBAC, "v1beta1", "RoleBinding", BINDING),
    Version::new(RBAC, "v1beta1", "ClusterRoleBinding", CLUSTER_BINDING),
    Version::new(RBAC, "v1alpha1", "Role", ROLE),
    Version::new(RBAC, "v1alpha1", "ClusterRole", CLUSTER_ROLE),
    Version::new(RBAC, "v1alpha1", "RoleBinding", BINDING).converts(subjects_up, subjects_down),
    Version::new(RBAC, "v1alpha1", "ClusterRoleBinding", CLUSTER_BINDING).converts(subjects_up, subjects_down),
    Version::new("certificates.k8s.io", "v1beta1", "CertificateSigningRequest", REQUEST).defaults(signer),
    Version::new(ADMISSION, "v1beta1", "MutatingWebhookConfiguration", MUTATING)
        .defaults(webhooks)
        .converts(side_effects, same),
    Version::new(ADMISSION, "v1beta1", "ValidatingWebhookConfiguration", VALIDATING)
        .defaults(webhooks)
        .converts(side_effects, same),
    Version::new("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition", DEFINITION)
        .defaults(definition)
        .converts(definition_up, definition_down),
    Version::new("apiregistration.k8s.io", "v1beta1", "APIService", API_SERVICE),
];

fn subjects_up(binding: &mut Value) {
    for subject in items_mut(binding, "subjects") {
        let Some(fields) = subject.as_object_mut() else { continue };
        if let Some(version) = fields.remove("apiVersion") {
            let group = version.as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
            fields.insert("apiGroup".to_owned(), group.into());
        }
        if fields.get("kind") == Some(&"User".into()) && fields.get("name") == Some(&"*".into()) {
            fields.insert("kind".to_owned(), "Group".into());
            fields.insert("name".to_owned(), "system:authenticated".into());
        }
    }
}

fn subjects_down(binding: &mut Value) {
    for subject in items_mut(binding, "subjects") {
        let Some(fields) = subject.as_object_mut() else { continue };
        let group = fields.remove("apiGroup").and_then(|group| group.as_str().map(str::to_owned)).unwrap_or_default();
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1alpha1") };
        fields.insert("apiVersion".to_owned(), version.into());
    }
}

/// Who signs was not said then; it followed from what was asked for.
fn signer(request: &mut Value) {
    let Some(spec) = request.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "usages", json!(["digital signature", "key encipherment"]));
    let serves = items(spec, "usages").iter().any(|usage| usage == "server auth");
    let name = if serves { "kubernetes.io/kubelet-serving" } else { "kubernetes.io/kube-apiserver-client" };
    default_text(spec, "signerName", name);
}

fn webhooks(configuration: &mut Value) {
    for webhook in items_mut(configuration, "webhooks") {
        default_text(webhook, "failurePolicy", "Ignore");
        default_text(webhook, "matchPolicy", "Exact");
        default(webhook, "timeoutSeconds", 30);
        default(webhook, "admissionReviewVersions", json!(["v1beta1"]));
        default_text(webhook, "sideEffects", "Unknown");
    }
}

/// What is not known is not taken any more.
fn side_effects(configuration: &mut Value) {
    for webhook in items_mut(configuration, "webhooks") {
        if matches!(text(webhook, "sideEffects"), "Unknown" | "Some") {
            webhook["sideEffects"] = "None".into();
        }
    }
}

fn definition(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default_text(spec, "scope", "Namespaced");
}

/// Fields that stood once at the top and stand in each version now, by their old and new names.
const OF_VERSIONS: [(&str, &str); 3] = [
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
];

fn definition_up(definition: &mut Value) {
    let Some(spec) = at(definition, &["spec"]) else { return };
    let version = spec.remove("version");
    let keeps_unknown = spec.remove("preserveUnknownFields") != Some(Value::Bool(false));
    if let Some(version) = version.filter(|_| !spec.contains_key("versions")) {
        spec.insert("versions".to_owned(), json!([{"name": version, "served": true, "storage": true}]));
    }
    for (old, new) in OF_VERSIONS {
        let Some(shared) = spec.remove(old) else { continue };
        for version in spec.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
            default(version, new, shared.clone());
        }
    }
    for version in spec.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
        for column in items_mut(version, "additionalPrinterColumns") {
            column.as_object_mut().into_iter().for_each(|column| rename(column, "JSONPath", "jsonPath"));
        }
        default(version, "schema", json!({}));
        default(&mut version["schema"], "openAPIV3Schema", json!({"type": "object"}));
        let schema = &mut version["schema"]["openAPIV3Schema"];
        default_text(schema, "type", "object");
        if keeps_unknown {
            schema["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
    }
    if let Some(conversion) = spec.get_mut("conversion").and_then(Value::as_object_mut) {
        let client = conversion.remove("webhookClientConfig");
        let versions = conversion.remove("conversionReviewVersions");
        if let Some(client) = client {
            let versions = versions.unwrap_or_else(|| json!(["v1beta1"]));
            let webhook = json!({"clientConfig": client, "conversionReviewVersions": versions});
            conversion.insert("webhook".to_owned(), webhook);
        }
    }
}

fn definition_down(definition: &mut Value) {
    let Some(spec) = at(definition, &["spec"]) else { return };
    let mut versions = spec.remove("versions").unwrap_or_else(|| json!([]));
    if let Some(list) = versions.as_array_mut() {
        for version in list.iter_mut() {
            for column in items_mut(version, "additionalPrinterColumns") {
                column.as_object_mut().into_iter().for_each(|column| rename(column, "jsonPath", "JSONPath"));
            }
        }
        let first = list.first().and_then(|version| version.get("name")).cloned();
        lift(spec, list);
        spec.extend(first.map(|name| ("version".to_owned(), name)));
    }
    spec.insert("versions".to_owned(), versions);
    spec.insert("preserveUnknownFields".to_owned(), false.into());
    if let Some(conversion) = spec.get_mut("conversion").and_then(Value::as_object_mut)
        && let Some(mut webhook) = conversion.remove("webhook")
    {
        conversion.insert("webhookClientConfig".to_owned(), webhook["clientConfig"].take());
        conversion.insert("conversionReviewVersions".to_owned(), webhook["conversionReviewVersions"].take());
    }
}

/// What all versions share stands at the top again.
fn lift(spec: &mut Map<String, Value>, versions: &mut [Value]) {
    for (old, new) in OF_VERSIONS {
        let Some(shared) = versions.first().and_then(|version| version.get(new)).cloned() else { continue };
        if versions.iter().all(|version| version.get(new) == Some(&shared)) {
            spec.insert(old.to_owned(), shared);
            for version in versions.iter_mut() {
                version.as_object_mut().map(|version| version.remove(new));
            }
        }
    }
}
