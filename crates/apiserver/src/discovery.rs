//! Discovery: which groups, versions and resources are served, plain and aggregated, and the
//! version of the server. Built from the table of resources on demand.

use crate::aggregate::Remote;
use crate::aggregate::shown::{aggregated_version, by_group};
use crate::resources::{Resource, Resources};
use crate::server::Server;
use kinds::Subresource;
use meta::Name;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

/// The release whose API this is.
pub const GIT_VERSION: &str = "v1.37.0";

/// Clients take the commit for hexadecimal digits; without a checkout it is unknown.
const UNKNOWN_COMMIT: &str = "0000000000000000000000000000000000000000";

pub fn version() -> Value {
    let commit = option_env!("KUTTER_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or(UNKNOWN_COMMIT);
    json!({
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": format!("{GIT_VERSION}+kutter-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": commit,
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

/// A group as it is shown.
pub struct Group {
    pub name: Name,
    priority: i64,
    pub versions: Vec<Version>,
}

/// One of its versions.
pub struct Version {
    pub name: Name,
    /// In the order of their names.
    rows: Vec<Arc<Resource>>,
    /// Another server answers it.
    remote: Option<Arc<Remote>>,
}

/// Everything that is served, here and by aggregated servers, in discovery order.
pub fn groups(server: &Server) -> Vec<Group> {
    let mut groups = own_groups(&server.resources);
    for (name, priority, remotes) in by_group(server.remotes.all()) {
        let versions = remotes.into_iter().map(|remote| Version {
            name: remote.version.clone().into(),
            rows: Vec::new(),
            remote: Some(remote),
        });
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => {
                for new in versions {
                    match group.versions.iter_mut().find(|known| known.name == new.name) {
                        // What a user has others answer is not answered here.
                        Some(known) => *known = new,
                        None => group.versions.push(new),
                    }
                }
            }
            None => groups.push(Group { name: name.into(), priority, versions: versions.collect() }),
        }
    }
    groups.sort_by(|a, b| (Reverse(a.priority), &a.name).cmp(&(Reverse(b.priority), &b.name)));
    groups
}

fn own_groups(resources: &Resources) -> Vec<Group> {
    let mut rows = resources.all();
    rows.sort_by(|a, b| {
        let key = |row: &Resource| (Reverse(row.kind.group_priority), row.kind.group.clone());
        let within = |row: &Resource| (Reverse(row.kind.version_priority), row.kind.version.clone());
        (key(a), within(a), &a.kind.resource).cmp(&(key(b), within(b), &b.kind.resource))
    });
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let (group, version) = (row.kind.group.clone(), row.kind.version.clone());
        if groups.last().is_none_or(|last| last.name != group) {
            let priority = i64::from(row.kind.group_priority);
            groups.push(Group { name: group, priority, versions: Vec::new() });
        }
        let Some(last) = groups.last_mut() else { continue };
        match last.versions.last_mut().filter(|last| last.name == version) {
            Some(last) => last.rows.push(row),
            None => last.versions.push(Version { name: version, rows: vec![row], remote: None }),
        }
    }
    groups
}

fn group_value(group: &Group) -> Value {
    let name = &group.name;
    let version =
        |version: &Version| json!({"groupVersion": format!("{name}/{}", version.name), "version": version.name});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// `/apis`
pub fn group_list(groups: &[Group]) -> Value {
    let groups: Vec<Value> = groups.iter().filter(|group| !group.name.is_empty()).map(group_value).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`
pub fn group(groups: &[Group], name: &str) -> Option<Value> {
    let found = groups.iter().find(|group| group.name == name && !name.is_empty())?;
    let mut value = group_value(found);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

/// `/api/v1` and `/apis/GROUP/VERSION`
pub fn resource_list(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let mut rows = resources.all();
    rows.retain(|row| row.kind.group == group && row.kind.version == version);
    if rows.is_empty() {
        return None;
    }
    let mut list: Vec<Value> = Vec::new();
    for row in &rows {
        list.push(main_entry(row));
        list.extend(row.kind.subresources.iter().map(|sub| sub_entry(row, sub)));
    }
    list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut value = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    if !group.is_empty() {
        value["apiVersion"] = "v1".into();
    }
    Some(value)
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
        entry["storageVersionHash"] = json!(row.kind.storage_version_hash);
    }
    entry
}

fn sub_entry(row: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", row.kind.resource, sub.name),
        "singularName": "",
        "namespaced": row.kind.namespaced,
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if sub.group != row.kind.group || sub.version != row.kind.version {
        entry["group"] = json!(sub.group);
        entry["version"] = json!(sub.version);
    }
    entry
}

/// `/api` and `/apis` as APIGroupDiscoveryList, of `apidiscovery.k8s.io` in the version asked for.
pub fn aggregated(groups: &[Group], core: bool, version: &str) -> Value {
    let wanted = groups.iter().filter(|group| group.name.is_empty() == core);
    let items: Vec<Value> = wanted.map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &Group) -> Value {
    let version = |version: &Version| {
        if let Some(remote) = &version.remote {
            return aggregated_version(remote);
        }
        let list: Vec<Value> = version.rows.iter().map(|row| aggregated_entry(row)).collect();
        json!({"version": version.name, "resources": list, "freshness": "Current"})
    };
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let metadata = match group.name.is_empty() {
        true => json!({"creationTimestamp": null}),
        false => json!({"name": group.name, "creationTimestamp": null}),
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_entry(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": row.kind.resource,
        "responseKind": kind(&row.kind.group, &row.kind.version, &row.kind.kind),
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
                    "responseKind": kind(&sub.group, &sub.version, &sub.kind),
                    "verbs": sub.verbs,
                })
            })
            .collect();
        entry["subresources"] = subresources.into();
    }
    entry
}
