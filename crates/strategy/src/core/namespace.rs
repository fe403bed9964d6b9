//! Namespace.

use crate::tree::items;
use crate::{Context, Strategy};
use serde_json::{Value, json};

/// Names a namespace's own label.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub struct Namespace;

impl Strategy for Namespace {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "Namespace")
    }

    fn default(&self, object: &mut Value) {
        let name = object["metadata"]["name"].clone();
        if name.as_str().is_some_and(|name| !name.is_empty()) {
            object["metadata"]["labels"][NAME_LABEL] = name;
        }
        if object["status"]["phase"].as_str().is_none_or(str::is_empty) {
            object["status"]["phase"] = "Active".into();
        }
    }

    fn prepare_create(&self, object: &mut Value, _context: &Context<'_>) {
        let name = object["metadata"]["name"].clone();
        object["metadata"]["labels"][NAME_LABEL] = name;
        object["status"] = json!({"phase": "Active"});
        let listed = items(&object["spec"], "finalizers").iter().any(|one| one == "kubernetes");
        if !listed {
            match object["spec"]["finalizers"].as_array_mut() {
                Some(list) => list.push("kubernetes".into()),
                None => object["spec"]["finalizers"] = json!(["kubernetes"]),
            }
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
        new["status"] = old["status"].clone();
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn begin_deletion(&self, object: &mut Value) {
        object["status"]["phase"] = "Terminating".into();
    }

    fn holds_deletion(&self, object: &Value) -> bool {
        !items(&object["spec"], "finalizers").is_empty()
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        vec![("status.phase".into(), object["status"]["phase"].as_str().unwrap_or_default().to_owned())]
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        meta::validation::dns1123_label(&crate::complete(name, prefix))
    }
}
