//! Pods from templates, as every controller that has one makes them.

use serde_json::{Value, json};

/// The pod of a template, owned by `owner`, yet without a name.
pub fn pod(template: &Value, owner: &Value) -> Value {
    let mut metadata = json!({"ownerReferences": [owner]});
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
