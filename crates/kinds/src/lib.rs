//! The table of API types: groups, versions, names, scopes, fields, enum values, defaults.
//!
//! Data, hardly ever edited: `types.tbl` says what every struct of the API looks like,
//! `resources.tbl` which kinds are served and how. Both are read once, on first use, in about a
//! millisecond. Every layer above asks here; nothing here knows requests, storage or rules.

mod legacy;
pub mod openapi;
mod resources;
mod types;

pub use resources::{Kind, Stability, Subresource, VERBS, all, find, find_kind, find_resource, versions};

use std::sync::LazyLock;
use types::Table;
use wire::schema::{Schema, TypeId};

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("types.tbl")));

/// Every struct of the API, flattened.
pub fn schema() -> &'static Schema {
    &TABLE.schema
}

/// The struct of that name, as `core.v1.PodSpec` or `meta.v1.ObjectMeta`.
pub fn type_id(name: &str) -> Option<TypeId> {
    TABLE.type_id(name)
}

/// The struct behind an `apiVersion` group, version and kind, served as a resource or not
/// (`PodList`, `Status`, `DeleteOptions`).
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<TypeId> {
    let package = package(group, version);
    type_id(&format!("{package}.{kind}")).or_else(|| {
        // Every group also has the kinds that belong to the API machinery itself.
        let common = version == "v1" || OPTIONS.contains(&kind);
        common.then(|| type_id(&format!("meta.v1.{kind}"))).flatten()
    })
}

/// The same by `apiVersion`, as `apps/v1` or `v1`.
pub fn type_of_version(api_version: &str, kind: &str) -> Option<TypeId> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    type_of(group, version, kind)
}

/// Kinds of `meta/v1` that clients may send with any group's version.
const OPTIONS: [&str; 8] = [
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "UpdateOptions",
    "WatchEvent",
    "ApplyOptions",
];

/// The values of a string type such as `core.v1.RestartPolicy`, in upstream's order; empty for an
/// unknown one.
pub fn enum_values(name: &str) -> &'static [&'static str] {
    TABLE.enums.get(name).map_or(&[], |row| &row.values)
}

/// Whether those values are all there may be (`+enum`); otherwise they are only the well-known ones.
pub fn enum_is_closed(name: &str) -> bool {
    TABLE.enums.get(name).is_some_and(|row| row.closed)
}

/// The name that struct names begin with: `apps.v1`, `core.v1`, `rbac.v1`.
pub fn package(group: &str, version: &str) -> String {
    let first = match group {
        "" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        _ => group.split('.').next().unwrap_or_default(),
    };
    // The one version whose structs are a later one's.
    let version = if (group, version) == ("autoscaling", "v2beta2") { "v2" } else { version };
    format!("{first}.{version}")
}

#[cfg(test)]
mod tests;
