//! The table of served resources: each row joins a kind's names, its schema, its rules and the
//! collection its objects live in. Everything else in this crate walks this table and knows no
//! kind by name.
//!
//! Built-in rows stand from the start; those of custom resources come and go with their
//! definitions ([`crate::custom`]).

use crate::collection::Collection;
use crate::custom::Served;
use kinds::Kind;
use meta::{GroupResource, GroupVersionKind, GroupVersionResource};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use strategy::Strategy;
use strategy::versions::Version;
use wire::schema::{Schema, TypeId};

/// Something that lives as long as the program, or as long as who holds it.
pub enum Held<T: ?Sized + 'static> {
    Static(&'static T),
    Shared(Arc<T>),
}

impl<T: ?Sized> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Held::Static(held) => held,
            Held::Shared(held) => held,
        }
    }
}

/// One served group, version and resource.
pub struct Resource {
    pub kind: Held<Kind>,
    pub strategy: Held<dyn Strategy>,
    /// None: virtual, such as the review kinds.
    pub collection: Option<Arc<Collection>>,
    /// Start of its keys in the store, ending in a slash.
    pub prefix: String,
    /// Of a built-in kind that is kept as another version: the row of that one, where all rules
    /// run, and how objects get there and back.
    pub kept_as: Option<(Arc<Resource>, &'static Version)>,
    /// Of a custom resource: what its definition says.
    pub custom: Option<Arc<Served>>,
    /// Tells this row from every other, earlier forms of the same custom resource too.
    pub number: u64,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The next row's number.
pub(crate) fn number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Resource {
    pub fn schema(&self) -> &Schema {
        match &self.custom {
            Some(custom) => &custom.rules.compiled().schema,
            None => kinds::schema(),
        }
    }

    pub fn type_id(&self) -> TypeId {
        self.custom.as_ref().map_or(self.kind.type_id, |custom| custom.rules.compiled().root)
    }

    pub fn gvr(&self) -> GroupVersionResource {
        self.kind.gvr()
    }

    pub fn gvk(&self) -> GroupVersionKind {
        self.kind.gvk()
    }

    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.kind.group == group && self.kind.resource == resource
    }

    pub fn group_resource(&self) -> GroupResource {
        self.gvr().group_resource()
    }

    pub fn api_version(&self) -> String {
        self.kind.api_version()
    }

    /// False for a custom resource's stored version that its definition does not serve.
    pub fn is_served(&self) -> bool {
        self.custom.is_none() || self.kind.served_by_default
    }

    pub fn supports(&self, verb: &str) -> bool {
        self.kind.has_verb(verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&kinds::Subresource> {
        self.kind.subresource(name)
    }

    /// The key of one object in the store.
    pub fn store_key(&self, namespace: &str, name: &str) -> Arc<str> {
        let key = crate::object::Object::key(namespace, name);
        format!("{}{key}", self.prefix).into()
    }

    /// Custom resources have no protobuf form.
    pub fn has_protobuf(&self) -> bool {
        self.custom.is_none()
    }

    /// The row whose version rules work on: its own, but for built-in kinds kept as another.
    pub fn work(&self) -> &Resource {
        self.kept_as.as_ref().map_or(self, |(hub, _)| hub)
    }

    /// Adds what this row's version refuses beside the rules of the working one.
    pub fn check_version(&self, new: &Value, old: Option<&Value>, errors: &mut meta::field::ErrorList) {
        if let Some((_, version)) = &self.kept_as {
            version.check(new, old, errors);
        }
    }

    /// An object of this row's version in the working one, defaulted there.
    pub fn up(&self, mut object: Value) -> Value {
        if let Some((hub, version)) = &self.kept_as {
            version.up(&mut object);
            crate::write::default(hub, &mut object);
        }
        object
    }

    /// An object of the working version in this row's.
    pub fn down(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some((_, version)) = &self.kept_as {
            version.down(&mut object);
        }
        object
    }

    /// The same, without a copy where there is nothing to change.
    pub fn shown<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        if self.kept_as.is_some() { Cow::Owned(self.down(object)) } else { Cow::Borrowed(object) }
    }

    /// The same, where the object is not needed any more.
    pub fn into_down(&self, mut object: Value) -> Value {
        if let Some((_, version)) = &self.kept_as {
            version.down(&mut object);
        }
        object
    }

    /// Canonical JSON of an object of this version.
    pub fn encode(&self, object: &Value) -> Vec<u8> {
        match self.custom {
            Some(_) => wire::encode::any_to_json(object),
            None => wire::encode::to_json(object, self.schema(), self.type_id()),
        }
    }
}

/// All served resources.
pub struct Resources {
    built_in: Table,
    custom: RwLock<Customs>,
    revision: Arc<AtomicU64>,
}

#[derive(Default)]
struct Customs {
    table: Table,
    by_definition: BTreeMap<String, Vec<Arc<Resource>>>,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<String, Arc<Resource>>,
    /// By store prefix, the row of the version that is stored first.
    by_prefix: BTreeMap<String, Vec<Arc<Resource>>>,
    /// By group and resource, in the order of preference.
    by_resource: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Table {
    fn add(&mut self, row: Arc<Resource>) {
        if row.collection.is_some() {
            let same = self.by_prefix.entry(row.prefix.clone()).or_default();
            let at = if row.kind.is_storage_version() { 0 } else { same.len() };
            same.insert(at, row.clone());
        }
        // A stored version that is not served has its place at the prefix only.
        if !row.is_served() {
            return;
        }
        let same = self.by_resource.entry(format!("{}/{}", row.kind.resource, row.kind.group)).or_default();
        same.push(row.clone());
        same.sort_by_key(|row| std::cmp::Reverse(row.kind.version_priority));
        self.rows.insert(name(&row.kind.group, &row.kind.version, &row.kind.resource), row);
    }

    fn at_prefix(&self, key: &str) -> Option<&Arc<Resource>> {
        let candidate = self.by_prefix.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        key.starts_with(candidate.0.as_str()).then(|| candidate.1.first()).flatten()
    }
}

impl Resources {
    /// The built-in kinds, in the versions that are wanted.
    pub fn built_in(revision: &Arc<AtomicU64>, apis: &crate::apis::Apis) -> Self {
        let mut table = Table::default();
        let served: Vec<&'static Kind> = kinds::all().iter().filter(|kind| apis.serves(kind)).collect();
        // Versions that are stored as they are come first: the others refer to them.
        for kind in served.iter().filter(|kind| !kind.is_stored() || kind.is_storage_version()) {
            table.add(Arc::new(stored(kind, revision)));
        }
        for kind in served.iter().filter(|kind| kind.is_stored() && !kind.is_storage_version()) {
            let row = match strategy::versions::find(&kind.group, &kind.version, &kind.kind) {
                Some(version) => kept(&table, kind, version),
                None if kind.stability == kinds::Stability::Legacy => None,
                // New in this release and not yet stored as such: nothing older is served.
                None => Some(stored(kind, revision)),
            };
            if let Some(row) = row {
                table.add(Arc::new(row));
            }
        }
        Resources { built_in: table, custom: RwLock::default(), revision: revision.clone() }
    }

    fn custom(&self) -> std::sync::RwLockReadGuard<'_, Customs> {
        self.custom.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the newest change, for new collections.
    pub(crate) fn revision(&self) -> Arc<AtomicU64> {
        self.revision.clone()
    }

    /// Every row: the built-in ones, then those of custom resources.
    pub fn all(&self) -> Vec<Arc<Resource>> {
        let custom = self.custom();
        self.built_in.rows.values().chain(custom.table.rows.values()).cloned().collect()
    }

    /// One row of every stored kind, built in or not.
    pub fn stored(&self) -> Vec<Arc<Resource>> {
        let custom = self.custom();
        let tables = self.built_in.by_prefix.values().chain(custom.table.by_prefix.values());
        tables.filter_map(|rows| rows.first()).cloned().collect()
    }

    pub fn customs(&self) -> Vec<Arc<Resource>> {
        self.custom().table.rows.values().cloned().collect()
    }

    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Resource>> {
        let name = name(group, version, resource);
        self.built_in.rows.get(&name).cloned().or_else(|| self.custom().table.rows.get(&name).cloned())
    }

    /// Whatever version is served of a resource, the preferred one first.
    pub fn find_any_version(&self, group: &str, resource: &str) -> Option<Arc<Resource>> {
        let name = format!("{resource}/{group}");
        let first = |table: &Table| table.by_resource.get(&name).and_then(|rows| rows.first()).cloned();
        first(&self.built_in).or_else(|| first(&self.custom().table))
    }

    /// The versions that a row's objects are served in, its own among them.
    pub fn versions_of(&self, row: &Resource) -> Vec<Arc<Resource>> {
        let of = |table: &Table| table.by_prefix.get(&row.prefix).cloned();
        of(&self.built_in).or_else(|| of(&self.custom().table)).unwrap_or_default()
    }

    /// The resource whose objects live at a key of the store.
    pub fn of_store_key(&self, key: &str) -> Option<Arc<Resource>> {
        self.built_in.at_prefix(key).cloned().or_else(|| self.custom().table.at_prefix(key).cloned())
    }

    /// The rows that a definition stands behind.
    pub(crate) fn of_definition(&self, definition: &str) -> Vec<Arc<Resource>> {
        self.custom().by_definition.get(definition).cloned().unwrap_or_default()
    }

    /// Puts new rows in the place of those that a definition had.
    pub(crate) fn redefine(&self, definition: &str, rows: Vec<Arc<Resource>>) {
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        let old = custom.by_definition.remove(definition).unwrap_or_default();
        for row in &old {
            custom.table.rows.remove(&name(&row.kind.group, &row.kind.version, &row.kind.resource));
            custom.table.by_prefix.remove(&row.prefix);
            custom.table.by_resource.remove(&format!("{}/{}", row.kind.resource, row.kind.group));
        }
        if rows.is_empty() {
            return;
        }
        rows.iter().for_each(|row| custom.table.add(row.clone()));
        custom.by_definition.insert(definition.to_owned(), rows);
    }
}

fn name(group: &str, version: &str, resource: &str) -> String {
    let mut name = String::with_capacity(group.len() + version.len() + resource.len() + 2);
    for part in [group, "/", version, "/", resource] {
        name.push_str(part);
    }
    name
}

fn stored(kind: &'static Kind, revision: &Arc<AtomicU64>) -> Resource {
    Resource {
        kind: Held::Static(kind),
        strategy: Held::Static(strategy::find(&kind.group, &kind.kind)),
        collection: kind.is_stored().then(|| Arc::new(Collection::new(revision.clone()))),
        prefix: prefix_of(&kind.group, &kind.resource),
        kept_as: None,
        custom: None,
        number: number(),
    }
}

/// A version that is kept as another; None where that one is not served.
fn kept(table: &Table, kind: &'static Kind, version: &'static Version) -> Option<Resource> {
    let (group, at, plural) = version.kept_as();
    let hub = table.rows.get(&name(group, at, plural))?;
    Some(Resource {
        kind: Held::Static(kind),
        strategy: Held::Static(strategy::find(&hub.kind.group, &hub.kind.kind)),
        collection: hub.collection.clone(),
        prefix: hub.prefix.clone(),
        kept_as: Some((hub.clone(), version)),
        custom: None,
        number: number(),
    })
}

pub(crate) fn prefix_of(group: &str, resource: &str) -> String {
    if group.is_empty() { format!("/registry/{resource}/") } else { format!("/registry/{group}/{resource}/") }
}
