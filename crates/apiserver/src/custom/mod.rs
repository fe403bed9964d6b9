//! Custom resources as rows of the table: they appear when their definition is accepted, change with
//! it, and go with it.
//!
//! The store's sink calls [`define`] for every definition that is written, before anyone is told of
//! the write: who reads that a definition is established finds its resources served.
//! [`upkeep`] gives definitions their conditions and empties those that are being deleted.

mod conditions;
mod convert;
mod upkeep;

use self::convert::Converter;
use crate::collection::Collection;
use crate::object::Object;
use crate::resources::{Held, Resource, Resources, number, prefix_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::{Kind, Stability, Subresource};
use meta::{Name, Status};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::Revision;
use strategy::custom::definition::Version;
use strategy::custom::{Definition, Rules, version_order};
use tracing::error;
use wire::schema::TypeId;

pub const GROUP: &str = "apiextensions.k8s.io";
pub const RESOURCE: &str = "customresourcedefinitions";
const ESTABLISHED: &str = "Established";
/// Upstream's places for groups of custom resources in discovery.
const GROUP_PRIORITY: u32 = 1000;

/// What a row of a custom resource knows beside its names.
pub struct Served {
    pub rules: Arc<Rules>,
    pub definition: Arc<Definition>,
    /// What objects are written as.
    pub storage: String,
    /// None where versions differ by their names only.
    pub converter: Option<Converter>,
    /// To be told to whoever uses this version.
    pub warning: Option<String>,
    /// Of everything that the rows follow from; the same: nothing changed.
    signature: u64,
    /// Of the part of it that decides what objects look like.
    shape: u64,
    /// The revision from which on another row has taken over; 0: none yet.
    retired: AtomicU64,
}

impl Served {
    /// The definition is being deleted, and takes no new objects.
    pub fn is_ending(&self) -> bool {
        self.definition.metadata.deletion_timestamp.is_some()
    }

    /// Whether a change is no business of this row any more.
    pub fn is_past(&self, revision: Revision) -> bool {
        let retired = self.retired.load(Ordering::Acquire);
        retired != 0 && revision > retired
    }

    pub fn signature(&self) -> u64 {
        self.signature
    }

    /// A stored object as the version `api_version` has it: pruned and defaulted as its schema says now.
    pub fn shown(&self, mut object: Value, api_version: &str) -> Value {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), api_version.into());
        }
        let compiled = self.rules.compiled();
        if !compiled.keeps_unknown {
            wire::prune::prune(&mut object, &compiled.schema, compiled.root);
        }
        wire::defaults::apply_declared(&mut object, &compiled.schema, compiled.root);
        strategy::Strategy::default(self.rules.as_ref(), &mut object);
        object
    }
}

/// Follows one write of a definition. Runs in the store's sink and at start-up.
pub fn define(resources: &Resources, object: &Object, deleted: bool) {
    let name = &object.index.name;
    let old = resources.of_definition(name);
    if deleted {
        retire(&old, object.revision);
        old.iter().filter_map(|row| row.collection.as_ref()).for_each(|collection| collection.close());
        return resources.redefine(name, Vec::new());
    }
    let definition = match Definition::read(&object.json) {
        Ok(definition) => definition,
        Err(reason) => return error!(%name, %reason, "cannot read a definition that was stored"),
    };
    let (signature, shape) = signatures(&object.json, &definition);
    let is_same = |row: &Arc<Resource>| row.custom.as_ref().is_some_and(|custom| custom.signature == signature);
    if old.first().is_some_and(is_same) || (old.is_empty() && !definition.is_true(ESTABLISHED)) {
        return;
    }
    let collection = old.first().and_then(|row| row.collection.clone()).unwrap_or_else(|| {
        let collection = Arc::new(Collection::new(resources.revision()));
        collection.load(crate::collection::Objects::new(), object.revision);
        collection
    });
    // Watches go on where objects look as they did.
    if old.iter().filter_map(|row| row.custom.as_ref()).any(|custom| custom.shape != shape) {
        retire(&old, object.revision);
    }
    resources.redefine(name, rows(definition, &object.json, (signature, shape), &collection));
}

fn retire(rows: &[Arc<Resource>], revision: Revision) {
    for custom in rows.iter().filter_map(|row| row.custom.as_ref()) {
        custom.retired.store(revision, Ordering::Release);
    }
}

/// [`Served::signature`] and [`Served::shape`]: of the spec and of the names in the status, the first
/// also of what else decides how the definition is served.
fn signatures(json: &[u8], definition: &Definition) -> (u64, u64) {
    let spec = wire::json::find(json, &["spec"]).unwrap_or_default();
    let names = format!("{:?}", definition.status.accepted_names);
    let shape = fingerprint(FINGERPRINT, spec.iter().copied().chain(names.bytes()));
    let flags = [definition.is_true(ESTABLISHED), definition.metadata.deletion_timestamp.is_some()];
    (fingerprint(shape, flags.map(u8::from).into_iter()), shape)
}

/// Where FNV-1a begins.
const FINGERPRINT: u64 = 0xcbf2_9ce4_8422_2325;

fn fingerprint(so_far: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(so_far, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn rows(
    definition: Definition,
    json: &[u8],
    (signature, shape): (u64, u64),
    collection: &Arc<Collection>,
) -> Vec<Arc<Resource>> {
    let definition = Arc::new(definition);
    let source: Arc<[u8]> = json.into();
    let Some(storage) = definition.storage_version().map(|version| version.name.clone()) else { return Vec::new() };
    // The stored version has a row in any case: its objects must not be forgotten.
    let wanted = |version: &&Version| version.served || version.storage;
    let mut served: Vec<&Version> = definition.spec.versions.iter().filter(wanted).collect();
    served.sort_by_key(|version| version_order(&version.name));
    let row = |(rank, version): (usize, &Version)| {
        let rules = Arc::new(Rules::new(&definition, version, source.clone()));
        let kind = kind(&definition, version, &storage, rank);
        let custom = Served {
            rules: rules.clone(),
            converter: Converter::of(&definition),
            warning: definition.deprecation(version),
            storage: format!("{}/{storage}", definition.spec.group),
            definition: definition.clone(),
            signature,
            shape,
            retired: AtomicU64::new(0),
        };
        Arc::new(Resource {
            prefix: prefix_of(&kind.group, &kind.resource),
            kind: Held::Shared(Arc::new(kind)),
            strategy: Held::Shared(rules),
            collection: Some(collection.clone()),
            kept_as: None,
            custom: Some(Arc::new(custom)),
            number: number(),
        })
    };
    served.into_iter().enumerate().map(row).collect()
}

fn kind(definition: &Definition, version: &Version, storage: &str, rank: usize) -> Kind {
    let own = |text: &String| -> Name { Cow::Owned(text.clone()) };
    let names = &definition.status.accepted_names;
    let group = &definition.spec.group;
    let sub = |name: &'static str, group: Name, version: Name, kind: Name| Subresource {
        name,
        verbs: vec!["get", "patch", "update"],
        group,
        version,
        kind,
    };
    let mut subresources = Vec::new();
    if version.has_status() {
        subresources.push(sub("status", own(group), own(&version.name), own(&names.kind)));
    }
    if version.scale().is_some() {
        let scale = ("autoscaling", "v1", "Scale");
        subresources.push(sub("scale", scale.0.into(), scale.1.into(), scale.2.into()));
    }
    Kind {
        group: own(group),
        version: own(&version.name),
        kind: own(&names.kind),
        list_kind: own(&names.list_kind),
        resource: own(&definition.spec.names.plural),
        singular: own(&names.singular),
        short_names: names.short_names.iter().map(own).collect(),
        namespaced: definition.is_namespaced(),
        verbs: kinds::VERBS.to_vec(),
        categories: names.categories.iter().map(own).collect(),
        subresources,
        stability: Stability::Ga,
        served_by_default: version.served,
        storage_group: own(group),
        storage_version: Cow::Owned(storage.to_owned()),
        storage_version_hash: Cow::Owned(storage_hash(group, storage, &names.kind)),
        since: "",
        group_priority: GROUP_PRIORITY,
        version_priority: u32::try_from(rank).unwrap_or(u32::MAX) + 1,
        type_id: TypeId(0),
        list_type_id: None,
        model: Some(model(group, &version.name, &names.kind)),
    }
}

/// As upstream hashes what objects are stored as.
fn storage_hash(group: &str, version: &str, kind: &str) -> String {
    let hash = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&hash[..8])
}

/// `com.example.v1.Cat`: what OpenAPI documents call the type.
fn model(group: &str, version: &str, kind: &str) -> String {
    let parts: Vec<&str> = group.rsplit('.').chain([version, kind]).collect();
    parts.join(".")
}

/// Upstream's answer to a create while the definition goes away.
pub fn check_not_ending(resource: &Resource) -> Result<(), Status> {
    match &resource.custom {
        Some(custom) if custom.is_ending() => {
            let mut status = Status::method_not_supported(&resource.group_resource(), "create");
            "create not allowed while custom resource definition is terminating".clone_into(&mut status.message);
            Err(status)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn storage_hashes_are_upstreams() {
        assert_eq!(super::storage_hash("apps", "v1", "Deployment"), "8aSe+NMegvE=");
        assert_eq!(super::model("stable.example.com", "v1", "CronTab"), "com.example.stable.v1.CronTab");
    }
}
