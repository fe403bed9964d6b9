//! Which objects a list or watch is about: namespace, label and field selectors.

use crate::object::{Index, Object};
use crate::resources::Resource;
use client::Options;
use meta::Status;

#[derive(Default)]
pub struct Filter {
    /// `namespace/`, or empty for all.
    pub key_prefix: String,
    labels: Option<meta::labels::Selector>,
    fields: Option<meta::fields::FieldSelector>,
    /// The version that the fields are named in, where it is not the stored one.
    version: Option<&'static strategy::versions::Version>,
}

impl Filter {
    /// Reads the selectors of a request; `name` narrows to one object, as a GET on its path with
    /// `watch` does.
    ///
    /// # Errors
    /// BadRequest for selectors that cannot be read or name a field the kind cannot select by.
    pub fn read(
        resource: &Resource,
        namespace: Option<&str>,
        name: Option<&str>,
        options: &Options,
    ) -> Result<Self, Status> {
        let labels = match options.label_selector.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(
                meta::labels::Selector::parse(text)
                    .map_err(|error| Status::bad_request(format!("unable to parse requirement: {error}")))?,
            ),
            None => None,
        };
        let mut field_text = options.field_selector.clone().unwrap_or_default();
        if let Some(name) = name {
            field_text = format!("metadata.name={name}{}{field_text}", if field_text.is_empty() { "" } else { "," });
        }
        let fields = if field_text.is_empty() { None } else { Some(read_fields(resource, &field_text)?) };
        let key_prefix = match namespace {
            Some(namespace) if resource.kind.namespaced && !namespace.is_empty() => format!("{namespace}/"),
            _ => String::new(),
        };
        let version = resource.kept_as.as_ref().map(|(_, version)| *version);
        Ok(Filter { key_prefix, labels, fields, version })
    }

    /// True where every object in the namespace passes.
    pub fn is_plain(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    pub fn matches(&self, object: &Object) -> bool {
        self.in_namespace(&object.index) && self.selects(&object.index)
    }

    fn in_namespace(&self, index: &Index) -> bool {
        self.key_prefix.is_empty() || self.key_prefix.strip_suffix('/') == Some(index.namespace.as_str())
    }

    fn selects(&self, index: &Index) -> bool {
        self.labels.as_ref().is_none_or(|selector| selector.matches(&index.labels))
            && self.fields.as_ref().is_none_or(|selector| {
                selector.matches_with(|field| match self.version {
                    Some(version) => index.field(version.field_label(field)?),
                    None => index.field(field),
                })
            })
    }
}

/// The client's own sentence about what cannot be found comes in front of these.
fn read_fields(resource: &Resource, text: &str) -> Result<meta::fields::FieldSelector, Status> {
    let selector = meta::fields::FieldSelector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?;
    let mut known = resource.strategy.selectable_fields(&serde_json::Value::Null);
    if let Some(custom) = &resource.custom {
        known.retain(|(name, _)| custom.rules.selects_by(name));
    }
    let mut supported = vec!["metadata.name", "metadata.namespace"];
    if !resource.kind.namespaced {
        supported.pop();
    }
    match &resource.kept_as {
        Some((_, version)) => supported.extend(selector.terms().iter().filter_map(|term| {
            let stored = version.field_label(&term.field)?;
            known.iter().any(|(name, _)| name == stored).then_some(term.field.as_str())
        })),
        None => supported.extend(known.iter().map(|(name, _)| name.as_ref())),
    }
    selector.check(&supported).map_err(|error| match selector.terms() {
        // Upstream words it so where a kind has no fields of its own to select by.
        [term, ..] if known.is_empty() => Status::bad_request(format!(
            "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            term.field
        )),
        _ => Status::bad_request(error.to_string()),
    })?;
    Ok(selector)
}
