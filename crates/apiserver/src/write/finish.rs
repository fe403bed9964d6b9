//! The end of every write: encode, compare, commit.

use crate::object::{Index, Object};
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use crate::write::delete::is_over;
use serde_json::Value;
use std::sync::Arc;
use store::Expect;

/// An object that passed everything and is ready to be written.
pub(crate) struct Draft {
    json: Vec<u8>,
    index: Index,
    /// A deletion that nothing holds up any more.
    pub is_over: bool,
}

impl Draft {
    /// Encodes `object` as it is stored: canonical, without resourceVersion.
    pub fn new(resource: &Resource, mut object: Value) -> Self {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            metadata.remove("selfLink");
        }
        let mut index = Index::of_value(&object, &*resource.strategy);
        if let Some(custom) = &resource.custom {
            // Written through the stored version, it is as that version shows it.
            if resource.api_version() == custom.storage {
                index.form = resource.number;
            }
            object["apiVersion"] = custom.storage.as_str().into();
        }
        Draft { json: resource.encode(&object), index, is_over: is_over(&object, resource) }
    }

    /// True where writing it would change nothing.
    pub fn is_same_as(&self, current: &Object) -> bool {
        wire::json::splice_resource_version(&self.json, current.revision) == current.json
    }

    /// The answer of a dry run: nothing was written, so there is no revision of its own.
    pub fn into_unwritten(self, current: Option<&Object>) -> Arc<Object> {
        Arc::new(match current {
            Some(current) => Object::publish(current.revision, &self.json, self.index),
            None => Object::new(0, self.json.into(), self.index),
        })
    }

    pub async fn put(self, server: &Server, resource: &Resource, expect: Expect) -> Result<Arc<Object>, CommitError> {
        server.commit_put(resource, expect, self.json, self.index).await
    }

    pub async fn delete(
        self,
        server: &Server,
        resource: &Resource,
        current: &Object,
    ) -> Result<Arc<Object>, CommitError> {
        server.commit_delete(resource, current, self.json, self.index).await
    }
}
