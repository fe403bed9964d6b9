//! Namespaces, prefixes, suffixes and hashes of names.

use super::fields::visit;
use super::file::Kustomization;
use super::generate;
use super::resource::Resource;
use serde_json::{Value, json};

/// Kinds whose names others on the outside rely on.
const FIXED: &[&str] = &["CustomResourceDefinition", "APIService", "Namespace"];

/// References to services of the cluster, with their namespaces.
const SERVICE_NAMESPACES: &[(&str, &str)] = &[
    ("APIService", "spec/service/namespace"),
    ("ValidatingWebhookConfiguration", "webhooks/clientConfig/service/namespace"),
    ("MutatingWebhookConfiguration", "webhooks/clientConfig/service/namespace"),
    ("CustomResourceDefinition", "spec/conversion/webhook/clientConfig/service/namespace"),
];

pub fn namespace(file: &Kustomization, all: &mut [Resource]) {
    let wanted = file.text("namespace");
    if wanted.is_empty() {
        return;
    }
    for resource in all {
        let kind = resource.kind().to_owned();
        if kind == "Namespace" && resource.api_version() == "v1" {
            resource.rename(wanted.to_owned());
            continue;
        }
        if resource.is_namespaced() {
            resource.remember();
            resource.object["metadata"]["namespace"] = json!(wanted);
        }
        let mut set = |found: &mut Value| *found = json!(wanted);
        for (_, path) in SERVICE_NAMESPACES.iter().filter(|(of, _)| *of == kind) {
            visit(&mut resource.object, path, false, &mut set);
        }
        if matches!(kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
            for subject in resource.object["subjects"].as_array_mut().into_iter().flatten() {
                // Other accounts follow the resource they name.
                if subject["kind"] == "ServiceAccount" && subject["name"] == "default" {
                    subject["namespace"] = json!(wanted);
                }
            }
        }
    }
}

pub fn affixes(file: &Kustomization, all: &mut [Resource]) {
    let (prefix, suffix) = (file.text("namePrefix"), file.text("nameSuffix"));
    for resource in all.iter_mut().filter(|resource| !FIXED.contains(&resource.kind())) {
        if !prefix.is_empty() {
            let name = format!("{prefix}{}", resource.name());
            resource.rename(name);
            resource.prefixes.push(prefix.to_owned());
        }
        if !suffix.is_empty() {
            let name = format!("{}{suffix}", resource.name());
            resource.rename(name);
            resource.suffixes.push(suffix.to_owned());
        }
    }
}

pub fn add_hashes(all: &mut [Resource]) {
    for resource in all.iter_mut().filter(|resource| resource.hashed) {
        let name = format!("{}-{}", resource.name(), generate::hash(&resource.object));
        resource.rename(name);
    }
}
