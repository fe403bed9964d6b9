//! DefaultStorageClass: a claim that names no class gets the default one.

use crate::paths::{annotation, at, slot, text};
use crate::persistent_volume_claim_resize::CLASS_ANNOTATION;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(DefaultStorageClass)
}

struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        // An empty name is a choice too: no class.
        let chosen = request.is("", "persistentvolumeclaims")
            && (at(&request.object, &["spec", "storageClassName"]).is_some()
                || annotation(&request.object, CLASS_ANNOTATION).is_some());
        if chosen || !request.is("", "persistentvolumeclaims") || !request.object["spec"].is_object() {
            return Ok(());
        }
        let classes = lookup.list("storage.k8s.io", "storageclasses", "");
        if let Some(class) = newest(classes, &IS_DEFAULT)
            && let Some(place) = slot(&mut request.object, &["spec", "storageClassName"])
        {
            *place = json!(text(&class, &["metadata", "name"]));
        }
        Ok(())
    }
}

/// Of the objects annotated as default the newest, by name where equally old.
pub(crate) fn newest(objects: Vec<Arc<Value>>, annotations: &[&str]) -> Option<Arc<Value>> {
    let is_default = |object: &Arc<Value>| annotations.iter().any(|name| annotation(object, name) == Some("true"));
    let age = |object: &Arc<Value>| {
        let of = |field| text(object, &["metadata", field]).to_owned();
        (Reverse(of("creationTimestamp")), of("name"))
    };
    objects.into_iter().filter(is_default).min_by_key(age)
}
