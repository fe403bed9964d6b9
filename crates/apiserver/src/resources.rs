//! The table of served resources: each row joins a kind's names, its schema, its rules and the
//! collection its objects live in. Everything else in this crate walks this table and knows no
//! kind by name.

use crate::collection::Collection;
use kinds::Kind;
use meta::{GroupResource, GroupVersionKind, GroupVersionResource};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use strategy::Strategy;
use wire::schema::{Schema, TypeId};

/// One served group, version and resource.
pub struct Resource {
    pub kind: &'static Kind,
    pub schema: &'static Schema,
    pub type_id: TypeId,
    pub strategy: &'static dyn Strategy,
    /// None: virtual, such as the review kinds.
    pub collection: Option<Arc<Collection>>,
    /// Start of its keys in the store, ending in a slash.
    pub prefix: String,
}

impl Resource {
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::of(self.kind.group, self.kind.version, self.kind.resource)
    }

    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::of(self.kind.group, self.kind.version, self.kind.kind)
    }

    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.kind.group == group && self.kind.resource == resource
    }

    pub fn group_resource(&self) -> GroupResource {
        self.gvr().group_resource()
    }

    pub fn api_version(&self) -> String {
        self.gvk().group_version().to_string()
    }

    pub fn supports(&self, verb: &str) -> bool {
        self.kind.has_verb(verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&'static kinds::Subresource> {
        self.kind.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// The key of one object in the store.
    pub fn store_key(&self, namespace: &str, name: &str) -> Arc<str> {
        let key = crate::object::Object::key(namespace, name);
        format!("{}{key}", self.prefix).into()
    }
}

/// All served resources.
pub struct Resources {
    rows: Vec<Arc<Resource>>,
    by_name: BTreeMap<(&'static str, &'static str, &'static str), usize>,
    /// Store prefix to the row that stores there.
    by_prefix: BTreeMap<String, usize>,
}

impl Resources {
    /// The built-in kinds that are served by default.
    pub fn built_in(revision: &Arc<AtomicU64>) -> Self {
        let mut resources = Resources { rows: Vec::new(), by_name: BTreeMap::new(), by_prefix: BTreeMap::new() };
        for kind in kinds::all().iter().filter(|kind| kind.served_by_default && is_served(kind)) {
            resources.add(kind, revision);
        }
        resources
    }

    fn add(&mut self, kind: &'static Kind, revision: &Arc<AtomicU64>) {
        let prefix = prefix_of(kind.group, kind.resource);
        let collection = kind.is_stored().then(|| Arc::new(Collection::new(revision.clone())));
        let row = Resource {
            kind,
            schema: kinds::schema(),
            type_id: kind.type_id,
            strategy: strategy::find(kind.group, kind.kind),
            collection,
            prefix: prefix.clone(),
        };
        let at = self.rows.len();
        if row.collection.is_some() {
            self.by_prefix.insert(prefix, at);
        }
        self.by_name.insert((kind.group, kind.version, kind.resource), at);
        self.rows.push(Arc::new(row));
    }

    pub fn all(&self) -> &[Arc<Resource>] {
        &self.rows
    }

    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.by_name.get(&(group, version, resource)).map(|at| &self.rows[*at])
    }

    /// Whatever version is served of a resource.
    pub fn find_any_version(&self, group: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.rows.iter().find(|row| row.kind.group == group && row.kind.resource == resource)
    }

    /// The resource whose objects live at a key of the store.
    pub fn of_store_key(&self, key: &str) -> Option<&Arc<Resource>> {
        let candidate = self.by_prefix.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        key.starts_with(candidate.0.as_str()).then(|| &self.rows[*candidate.1])
    }
}

/// Kinds of the table that have no real behaviour behind them yet: better missing from discovery
/// than pretended. A second version of a stored kind waits for conversions.
fn is_served(kind: &Kind) -> bool {
    const CONVERTED: &[(&str, &str, &str)] =
        &[("autoscaling", "v1", "horizontalpodautoscalers"), ("events.k8s.io", "v1", "events")];
    const ELSEWHERE: &[&str] = &["apiextensions.k8s.io", "apiregistration.k8s.io"];
    kind.stability == kinds::Stability::Ga
        && !ELSEWHERE.contains(&kind.group)
        && !CONVERTED.contains(&(kind.group, kind.version, kind.resource))
}

fn prefix_of(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("/registry/{resource}/") } else { format!("/registry/{group}/{resource}/") }
}
