//! Reads `resources.tbl`: the kinds that are served, by group in order of priority, with their
//! names, verbs and subresources.

use meta::{GroupVersionKind, GroupVersionResource};
use std::borrow::Cow;
use std::sync::LazyLock;
use wire::schema::{Name, TypeId};

/// A kind in one version, as served under its resource name. The table's are borrowed from it;
/// custom resources own their names.
#[derive(Debug)]
pub struct Kind {
    pub group: Name,
    pub version: Name,
    pub kind: Name,
    /// Of its lists: `PodList`, unless a custom resource says otherwise.
    pub list_kind: Name,
    /// The plural.
    pub resource: Name,
    pub singular: Name,
    pub short_names: Vec<Name>,
    pub namespaced: bool,
    pub verbs: Vec<&'static str>,
    pub categories: Vec<Name>,
    pub subresources: Vec<Subresource>,
    pub stability: Stability,
    pub served_by_default: bool,
    /// What the object is stored as; empty for kinds that are never stored.
    pub storage_group: Name,
    pub storage_version: Name,
    /// As upstream computes it; empty for kinds that are never stored.
    pub storage_version_hash: Name,
    /// The release that first served it, `1.19`; empty for the oldest.
    pub since: &'static str,
    /// Higher ones come first in discovery.
    pub group_priority: u32,
    pub version_priority: u32,
    pub type_id: TypeId,
    /// `PodList`, where the kind can be listed.
    pub list_type_id: Option<TypeId>,
    /// What OpenAPI documents call a custom resource; None: what the struct is called there.
    pub model: Option<String>,
}

#[derive(Debug)]
pub struct Subresource {
    /// `status`, `scale`, `log`.
    pub name: &'static str,
    pub verbs: Vec<&'static str>,
    /// Group, version and kind of what is sent there.
    pub group: Name,
    pub version: Name,
    pub kind: Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    Ga,
    Beta,
    Alpha,
    /// Gone upstream; answered for those who still ask, stored as what came after.
    Legacy,
}

/// Kinds whose DELETE answers with what was deleted, as upstream's OpenAPI document says; clients made
/// from it expect no Status there. Groups, and resources in them.
const SHOWN_WHEN_DELETED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ],
    ),
    ("resource.k8s.io", &["deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"]),
    ("storage.k8s.io", &["csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses"]),
];

impl Kind {
    /// Whether DELETE answers with the object itself and not with a Status.
    pub fn is_shown_when_deleted(&self) -> bool {
        let of = SHOWN_WHEN_DELETED.iter().find(|(group, _)| *group == self.group);
        of.is_some_and(|(_, resources)| resources.contains(&&*self.resource))
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn gvr(&self) -> GroupVersionResource {
        let (group, version, resource) = (self.group.clone(), self.version.clone(), self.resource.clone());
        GroupVersionResource { group, version, resource }
    }

    pub fn gvk(&self) -> GroupVersionKind {
        let (group, version, kind) = (self.group.clone(), self.version.clone(), self.kind.clone());
        GroupVersionKind { group, version, kind }
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// Objects of it live in the store, as opposed to reviews that are answered and forgotten.
    pub fn is_stored(&self) -> bool {
        !self.storage_version.is_empty()
    }

    /// Whether this is the version that objects are stored as.
    pub fn is_storage_version(&self) -> bool {
        self.storage_group == self.group && self.storage_version == self.version
    }
}

static ALL: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut rows = read(include_str!("resources.tbl"));
    let legacy: Vec<Kind> = crate::legacy::rows(&rows);
    rows.extend(legacy);
    rows
});

/// What `*` stands for, and what custom resources are served with.
pub const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Every kind and version, those served by default and the others.
pub fn all() -> &'static [Kind] {
    &ALL
}

pub fn find(group: &str, version: &str, resource: &str) -> Option<&'static Kind> {
    all().iter().find(|row| row.resource == resource && row.version == version && row.group == group)
}

pub fn find_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    all().iter().find(|row| row.kind == kind && row.version == version && row.group == group)
}

/// The resource in the version that its group prefers.
pub fn find_resource(group: &str, resource: &str) -> Option<&'static Kind> {
    versions(group, resource).into_iter().next()
}

/// All versions of a resource, the preferred one first.
pub fn versions(group: &str, resource: &str) -> Vec<&'static Kind> {
    let mut rows: Vec<_> = all().iter().filter(|row| row.resource == resource && row.group == group).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.version_priority));
    rows
}

fn read(text: &'static str) -> Vec<Kind> {
    let mut rows = Vec::with_capacity(128);
    let (mut group, mut priority) = ("", 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, number)) = line.strip_prefix('=').and_then(|rest| rest.split_once(' ')) {
            (group, priority) = (name, number.parse().unwrap_or_default());
        } else {
            rows.extend(row(group, priority, line));
        }
    }
    rows
}

fn row(group: &'static str, group_priority: u32, line: &'static str) -> Option<Kind> {
    let mut columns = line.split('\t').map(|column| if column == "-" { "" } else { column });
    let mut next = || columns.next();
    let (version, version_priority) = (next()?, next()?.parse().ok()?);
    let (resource, singular, short_names, kind, scope) = (next()?, next()?, next()?, next()?, next()?);
    let (verbs, subresources, categories, stability) = (next()?, next()?, next()?, next()?);
    let (served, storage, storage_version_hash, since) = (next()?, next()?, next()?, next()?);
    let (storage_group, storage_version) = match storage.split_once('/') {
        Some((_, version)) => ("", version),
        None => (group, storage),
    };
    Some(Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        list_kind: Cow::Owned(format!("{kind}List")),
        resource: Cow::Borrowed(resource),
        singular: Cow::Borrowed(singular),
        short_names: names(short_names),
        namespaced: scope == "n",
        verbs: if verbs == "*" { VERBS.to_vec() } else { words(verbs) },
        categories: names(categories),
        subresources: subresources.split(';').filter_map(|text| subresource(group, version, text)).collect(),
        stability: match stability {
            "ga" => Stability::Ga,
            "beta" => Stability::Beta,
            "legacy" => Stability::Legacy,
            _ => Stability::Alpha,
        },
        served_by_default: served == "yes",
        storage_group: Cow::Borrowed(storage_group),
        storage_version: Cow::Borrowed(storage_version),
        storage_version_hash: Cow::Borrowed(storage_version_hash),
        since,
        group_priority,
        version_priority,
        type_id: crate::type_of(group, version, kind)?,
        list_type_id: crate::type_id(&format!("{}.{kind}List", crate::package(group, version))),
        model: None,
    })
}

fn words(text: &'static str) -> Vec<&'static str> {
    text.split(',').filter(|word| !word.is_empty()).collect()
}

fn names(text: &'static str) -> Vec<Name> {
    words(text).into_iter().map(Cow::Borrowed).collect()
}

/// `name:verbs:kind`, the kind with group and version where they are not the resource's own.
fn subresource(group: &'static str, version: &'static str, text: &'static str) -> Option<Subresource> {
    let mut parts = text.split(':');
    let (name, verbs, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let mut path = kind.rsplit('/');
    let kind = path.next()?;
    let version = path.next().unwrap_or(version);
    let group = path.next().unwrap_or(group);
    let (group, version, kind) = (Cow::Borrowed(group), Cow::Borrowed(version), Cow::Borrowed(kind));
    Some(Subresource { name, verbs: words(verbs), group, version, kind })
}
