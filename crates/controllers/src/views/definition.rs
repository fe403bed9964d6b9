//! A CustomResourceDefinition as rooms see it that look after objects of any kind.

use client::Projection;
use meta::{GroupVersionKind, GroupVersionResource};
use serde::Deserialize;

/// What a definition stands for, while it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionView {
    /// None: not served, or not yet.
    pub served: Option<CustomKind>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKind {
    pub resource: GroupVersionResource,
    pub kind: GroupVersionKind,
    pub namespaced: bool,
}

#[derive(Deserialize)]
struct Definition {
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    scope: String,
    names: Names,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Names {
    plural: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Version {
    name: String,
    served: bool,
    storage: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Projection for DefinitionView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let Definition { spec, status } = serde_json::from_slice(object)?;
        let conditions = status.conditions.unwrap_or_default();
        let established = conditions.iter().any(|one| one.kind == "Established" && one.status == "True");
        let mut versions = spec.versions.into_iter().filter(|version| version.served && established);
        // Any served version does for metadata; the stored one costs least.
        let first = versions.next();
        let best = versions.find(|version| version.storage).filter(|_| first.as_ref().is_some_and(|it| !it.storage));
        let served = best.or(first).map(|version| CustomKind {
            resource: GroupVersionResource {
                group: spec.group.clone().into(),
                version: version.name.clone().into(),
                resource: spec.names.plural.into(),
            },
            kind: GroupVersionKind {
                group: spec.group.into(),
                version: version.name.into(),
                kind: spec.names.kind.into(),
            },
            namespaced: spec.scope == "Namespaced",
        });
        Ok(DefinitionView { served })
    }
}
