//! What an autoscaler scales: which resources its reference can mean.

use super::object::Reference;
use crate::views::{DefinitionView, custom_kind};
use client::Cache;
use meta::{GroupVersion, GroupVersionResource};
use std::sync::Arc;

/// All kinds that are served, custom ones too.
pub struct Kinds(pub Arc<Cache<DefinitionView>>);

impl Kinds {
    /// Where a reference's scale is found.
    ///
    /// # Errors
    /// In upstream's words.
    pub fn scaled(&self, reference: &Reference) -> Result<GroupVersionResource, String> {
        let version = parse(&reference.api_version)?;
        let found = self
            .find(&version.group, &reference.kind)
            .ok_or_else(|| format!("no matches for kind {:?} in group {:?}", reference.kind, version.group.as_ref()))?;
        let built_in = kinds::find(&found.group, &found.version, &found.resource);
        if built_in.is_some_and(|row| row.subresource("scale").is_none()) {
            let what = format!("{}/{}, Resource={}", found.group, found.version, found.resource);
            return Err(format!("could not find scale subresource for {what} in discovery information"));
        }
        Ok(found)
    }

    /// As metrics APIs name the resource: with its group, if it has one.
    pub fn named(&self, reference: &Reference) -> Option<String> {
        let version = parse(&reference.api_version).ok()?;
        let found = self.find(&version.group, &reference.kind)?;
        let (resource, group) = (&found.resource, &found.group);
        Some(if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") })
    }

    fn find(&self, group: &str, kind: &str) -> Option<GroupVersionResource> {
        let rows = kinds::all().iter().filter(|row| row.group == group && row.kind == kind);
        let served = |row: &&kinds::Kind| row.stability == kinds::Stability::Ga && row.served_by_default;
        let built_in = rows.filter(served).max_by_key(|row| row.version_priority).map(|row| row.gvr());
        built_in.or_else(|| custom_kind(&self.0, group, kind).map(|custom| custom.resource))
    }
}

fn parse(api_version: &str) -> Result<GroupVersion, String> {
    GroupVersion::parse(api_version).ok_or_else(|| format!("unexpected GroupVersion string: {api_version}"))
}
