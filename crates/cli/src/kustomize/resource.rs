//! One resource on its way through the layers, and the names it has had.

use crate::print::{name_of, namespace_of};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub object: Value,
    /// Namespace and name at first, and after each change but the last.
    pub earlier: Vec<(String, String)>,
    pub prefixes: Vec<String>,
    pub suffixes: Vec<String>,
    /// Generated, and to be named after its content.
    pub hashed: bool,
}

impl Resource {
    pub fn new(object: Value) -> Self {
        Resource { object, earlier: Vec::new(), prefixes: Vec::new(), suffixes: Vec::new(), hashed: false }
    }

    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    pub fn api_version(&self) -> &str {
        self.object["apiVersion"].as_str().unwrap_or_default()
    }

    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    pub fn version(&self) -> &str {
        let all = self.api_version();
        all.split_once('/').map_or(all, |(_, version)| version)
    }

    pub fn name(&self) -> &str {
        name_of(&self.object)
    }

    pub fn namespace(&self) -> &str {
        namespace_of(&self.object)
    }

    /// Kinds nobody knows are taken to be namespaced.
    pub fn is_namespaced(&self) -> bool {
        kinds::find_kind(self.group(), self.version(), self.kind()).is_none_or(|row| row.namespaced)
    }

    /// Every namespace and name it has had, the present one last.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &str)> {
        let earlier = self.earlier.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        earlier.chain(std::iter::once((self.namespace(), self.name())))
    }

    pub fn was_called(&self, name: &str) -> bool {
        self.ids().any(|(_, own)| own == name)
    }

    pub fn was_in(&self, namespace: &str) -> bool {
        self.ids().any(|(own, _)| effective(own) == effective(namespace))
    }

    pub fn rename(&mut self, name: String) {
        self.remember();
        self.object["metadata"]["name"] = json!(name);
    }

    pub fn remember(&mut self) {
        let id = (self.namespace().to_owned(), self.name().to_owned());
        self.earlier.push(id);
    }

    /// As messages name it: `Deployment.v1.apps/web.prod`.
    pub fn shown(&self) -> String {
        let group = if self.group().is_empty() { "[noGrp]" } else { self.group() };
        let namespace = if self.namespace().is_empty() { "[noNs]" } else { self.namespace() };
        format!("{}.{}.{group}/{}.{namespace}", self.kind(), self.version(), self.name())
    }
}

pub fn effective(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}
