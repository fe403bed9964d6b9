//! A CustomResourceDefinition as rooms see it that look after objects of any kind.

use client::{Cache, Projection};
use meta::{GroupVersionKind, GroupVersionResource};
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// Its replicas can be asked for and set.
    pub scaled: bool,
}

/// The custom kind that is served, in whatever version.
pub fn custom_kind(definitions: &Cache<DefinitionView>, group: &str, kind: &str) -> Option<CustomKind> {
    let all = definitions.list();
    let mut served = all.iter().filter_map(|definition| definition.view.served.as_ref());
    served.find(|custom| custom.kind.group == group && custom.kind.kind == kind).cloned()
}

/// The same by the name of its resource.
pub fn custom_resource(definitions: &Cache<DefinitionView>, group: &str, resource: &str) -> Option<CustomKind> {
    // Definitions are named after what they define.
    definitions.get("", &format!("{resource}.{group}"))?.view.served.clone()
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
    subresources: Subresources,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subresources {
    scale: Option<IgnoredAny>,
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
            scaled: version.subresources.scale.is_some(),
        });
        Ok(DefinitionView { served })
    }
}
