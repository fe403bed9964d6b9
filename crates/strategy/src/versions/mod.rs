//! Versions of built-in kinds that are kept as another version: what stands elsewhere in them, and
//! what they default differently.
//!
//! One [`Version`] per group, version and kind, in the file of its neighbours, and one line in
//! [`ALL`]. Rules run on the version that is stored; these only translate. Fields that both have under
//! one name need no mention.

mod access;
mod autoscaling;
mod events;
mod system;
mod workloads;

use meta::field::ErrorList;
use serde_json::{Map, Value};

/// How one version becomes the stored one, and back.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    hub: Hub,
    defaults: fn(&mut Value),
    up: fn(&mut Value),
    down: fn(&mut Value),
    /// Field selectors that are called otherwise in the stored version.
    labels: &'static [(&'static str, &'static str)],
    check: fn(&Value, Option<&Value>, &mut ErrorList),
}

/// The stored version.
#[derive(Debug, Clone, Copy)]
struct Hub {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
}

/// By the files they stand in.
pub const ALL: &[&[Version]] = &[&[autoscaling::V1, events::V1], access::ALL, system::ALL, workloads::ALL];

pub fn all() -> impl Iterator<Item = &'static Version> {
    ALL.iter().copied().flatten()
}

/// The version, if it is one that is kept as another.
pub fn find(group: &str, version: &str, kind: &str) -> Option<&'static Version> {
    all().find(|row| row.kind == kind && row.version == version && row.group == group)
}

impl Version {
    const fn new(group: &'static str, version: &'static str, kind: &'static str, hub: Hub) -> Self {
        Version {
            group,
            version,
            kind,
            hub,
            defaults: |_| {},
            up: |_| {},
            down: |_| {},
            labels: &[],
            check: |_, _, _| {},
        }
    }

    const fn defaults(mut self, defaults: fn(&mut Value)) -> Self {
        self.defaults = defaults;
        self
    }

    const fn converts(mut self, up: fn(&mut Value), down: fn(&mut Value)) -> Self {
        self.up = up;
        self.down = down;
        self
    }

    const fn selected_as(mut self, labels: &'static [(&'static str, &'static str)]) -> Self {
        self.labels = labels;
        self
    }

    const fn checks(mut self, check: fn(&Value, Option<&Value>, &mut ErrorList)) -> Self {
        self.check = check;
        self
    }

    /// Rules that hold for those only who write in this version; both objects are of the stored one.
    /// It also sees what was found so far.
    pub fn check(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        (self.check)(new, old, errors);
    }

    /// Group, version and plural of what it is kept as.
    pub fn kept_as(&self) -> (&'static str, &'static str, &'static str) {
        (self.hub.group, self.hub.version, self.hub.plural)
    }

    /// What this version fills in itself.
    pub fn default(&self, object: &mut Value) {
        (self.defaults)(object);
    }

    /// To the stored version.
    pub fn up(&self, object: &mut Value) {
        (self.up)(object);
        name(object, self.hub.group, self.hub.version, self.hub.kind);
    }

    /// From the stored version.
    pub fn down(&self, object: &mut Value) {
        (self.down)(object);
        name(object, self.group, self.version, self.kind);
    }

    /// What a field of a selector is called in the stored version; None: this version has none.
    pub fn field_label<'l>(&self, label: &'l str) -> Option<&'l str> {
        if self.labels.is_empty() || label.starts_with("metadata.") {
            return Some(label);
        }
        self.labels.iter().find(|(own, _)| *own == label).map(|(_, stored)| *stored)
    }
}

fn name(object: &mut Value, group: &str, version: &str, kind: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
}

/// Nothing to translate.
fn same(_: &mut Value) {}

/// Moves a field of an object to another name.
fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to.to_owned(), value);
    }
}

/// The fields at a path of names, where there is such an object.
fn at<'o>(object: &'o mut Value, path: &[&str]) -> Option<&'o mut Map<String, Value>> {
    path.iter().try_fold(object, |here, name| here.get_mut(*name))?.as_object_mut()
}

#[cfg(test)]
mod tests;
