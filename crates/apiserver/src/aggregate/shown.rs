//! Aggregated groups in discovery, beside those that this server answers itself.

use super::Remote;
use serde_json::{Value, json};
use std::sync::Arc;

/// One version of a group as aggregated discovery shows it.
pub fn aggregated_version(remote: &Remote) -> Value {
    let seen = remote.seen();
    let list = seen.resources.as_ref().and_then(|list| list["resources"].as_array()).cloned().unwrap_or_default();
    let mut resources: Vec<Value> = Vec::new();
    for entry in list.iter().filter(|entry| !name(entry).contains('/')) {
        let mut shown = json!({
            "resource": name(entry),
            "responseKind": kind(remote, entry),
            "scope": if entry["namespaced"] == true { "Namespaced" } else { "Cluster" },
            "singularResource": entry["singularName"].as_str().unwrap_or_default(),
            "verbs": entry["verbs"],
        });
        for field in ["shortNames", "categories"] {
            if entry[field].is_array() {
                shown[field] = entry[field].clone();
            }
        }
        let subs = list.iter().filter_map(|sub| {
            let own = name(sub).strip_prefix(name(entry))?.strip_prefix('/')?;
            Some(json!({"subresource": own, "responseKind": kind(remote, sub), "verbs": sub["verbs"]}))
        });
        let subs: Vec<Value> = subs.collect();
        if !subs.is_empty() {
            shown["subresources"] = subs.into();
        }
        resources.push(shown);
    }
    let freshness = if remote.is_available { "Current" } else { "Stale" };
    json!({"version": remote.version, "resources": resources, "freshness": freshness})
}

fn name(entry: &Value) -> &str {
    entry["name"].as_str().unwrap_or_default()
}

/// An entry's kind is of the list's group and version unless it says otherwise.
fn kind(remote: &Remote, entry: &Value) -> Value {
    let or = |field: &str, otherwise: &str| match entry[field].as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => otherwise.to_owned(),
    };
    json!({"group": or("group", &remote.group), "version": or("version", &remote.version), "kind": entry["kind"]})
}

/// Groups and their versions, in the order that their priorities give.
pub fn by_group(mut remotes: Vec<Arc<Remote>>) -> Vec<(String, i64, Vec<Arc<Remote>>)> {
    remotes.sort_by(|a, b| {
        let key = |remote: &Remote| (remote.group.clone(), std::cmp::Reverse(remote.version_priority));
        key(a).cmp(&key(b)).then_with(|| {
            let order = |remote: &Remote| std::cmp::Reverse(strategy::custom::version_order(&remote.version));
            order(a).cmp(&order(b))
        })
    });
    let mut groups: Vec<(String, i64, Vec<Arc<Remote>>)> = Vec::new();
    for remote in remotes {
        match groups.last_mut().filter(|(group, ..)| *group == remote.group) {
            Some((_, priority, versions)) => {
                *priority = (*priority).max(remote.group_priority);
                versions.push(remote);
            }
            None => groups.push((remote.group.clone(), remote.group_priority, vec![remote])),
        }
    }
    groups
}
