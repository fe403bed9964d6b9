//! Discovery: which groups, versions and resources are served, plain and aggregated, and the
//! version of the server. Built from the table of resources on demand; it never changes while
//! built-in kinds are all there are.

use crate::resources::{Resource, Resources};
use serde_json::{Value, json};
use std::sync::Arc;

/// The release whose API this is.
pub const GIT_VERSION: &str = "v1.37.0";

pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": format!("{GIT_VERSION}+kutter-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none (Rust)",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// `/api`
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// Groups with their versions, in discovery order.
fn groups(resources: &Resources) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut rows: Vec<&Arc<Resource>> = resources.all().iter().collect();
    rows.sort_by_key(|row| {
        (std::cmp::Reverse(row.kind.group_priority), row.kind.group, std::cmp::Reverse(row.kind.version_priority))
    });
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows {
        match groups.last_mut() {
            Some((group, versions)) if *group == row.kind.group => {
                if !versions.contains(&row.kind.version) {
                    versions.push(row.kind.version);
                }
            }
            _ => groups.push((row.kind.group, vec![row.kind.version])),
        }
    }
    groups
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
}

/// `/apis`
pub fn group_list(resources: &Resources) -> Value {
    let groups: Vec<Value> = groups(resources)
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`
pub fn group(resources: &Resources, name: &str) -> Option<Value> {
    let found = groups(resources).into_iter().find(|(group, _)| *group == name && !name.is_empty())?;
    let mut value = group_value(found.0, &found.1);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

/// `/api/v1` and `/apis/GROUP/VERSION`
pub fn resource_list(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let rows: Vec<&Arc<Resource>> = of_version(resources, group, version);
    if rows.is_empty() {
        return None;
    }
    let mut list: Vec<Value> = Vec::new();
    for row in rows {
        list.push(main_entry(row));
        for sub in &row.kind.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", row.kind.resource, sub.name),
                "singularName": "",
                "namespaced": row.kind.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if (sub.group, sub.version) != (group, version) {
                entry["group"] = sub.group.into();
                entry["version"] = sub.version.into();
            }
            list.push(entry);
        }
    }
    list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut value = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    if !group.is_empty() {
        value["apiVersion"] = "v1".into();
    }
    Some(value)
}

fn of_version<'r>(resources: &'r Resources, group: &str, version: &str) -> Vec<&'r Arc<Resource>> {
    resources.all().iter().filter(|row| row.kind.group == group && row.kind.version == version).collect()
}

fn main_entry(row: &Resource) -> Value {
    let mut entry = json!({
        "name": row.kind.resource,
        "singularName": row.kind.singular,
        "namespaced": row.kind.namespaced,
        "kind": row.kind.kind,
        "verbs": row.kind.verbs,
    });
    if !row.kind.short_names.is_empty() {
        entry["shortNames"] = json!(row.kind.short_names);
    }
    if !row.kind.categories.is_empty() {
        entry["categories"] = json!(row.kind.categories);
    }
    if !row.kind.storage_version_hash.is_empty() {
        entry["storageVersionHash"] = row.kind.storage_version_hash.into();
    }
    entry
}

/// `/api` and `/apis` as APIGroupDiscoveryList, of `apidiscovery.k8s.io` in the version asked for.
pub fn aggregated(resources: &Resources, core: bool, version: &str) -> Value {
    let items: Vec<Value> = groups(resources)
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let mut rows = of_version(resources, group, version);
                    rows.sort_by_key(|row| row.kind.resource);
                    let list: Vec<Value> = rows.iter().map(|row| aggregated_entry(row)).collect();
                    json!({"version": version, "resources": list, "freshness": "Current"})
                })
                .collect();
            let metadata = if core {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_entry(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": row.kind.resource,
        "responseKind": kind(row.kind.group, row.kind.version, row.kind.kind),
        "scope": if row.kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.kind.singular,
        "verbs": row.kind.verbs,
    });
    if !row.kind.short_names.is_empty() {
        entry["shortNames"] = json!(row.kind.short_names);
    }
    if !row.kind.categories.is_empty() {
        entry["categories"] = json!(row.kind.categories);
    }
    if !row.kind.subresources.is_empty() {
        let subresources: Vec<Value> = row
            .kind
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": kind(sub.group, sub.version, sub.kind),
                    "verbs": sub.verbs,
                })
            })
            .collect();
        entry["subresources"] = subresources.into();
    }
    entry
}
