//! Volumes and claims: binding one to the other, keeping both while they are used, claims for the
//! generic ephemeral volumes of pods, word of claims that are to grow.
//!
//! Nothing here makes or removes storage: provisioners and nodes do.

mod binder;
mod claims;
mod ephemeral;
mod expander;
mod matching;
mod protection;
#[cfg(test)]
mod tests;

pub use binder::DEF as BINDER;
pub use claims::DEF as CLAIM_PROTECTION;
pub use ephemeral::DEF as EPHEMERAL;
pub use expander::DEF as EXPANDER;
pub use protection::{ATTRIBUTES as ATTRIBUTES_PROTECTION, VOLUMES as VOLUME_PROTECTION};

use serde_json::Value;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The class of a volume or claim; the annotation of old goes before the field.
fn class(object: &Value) -> &str {
    let annotated = object["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    annotated.or(object["spec"]["storageClassName"].as_str()).unwrap_or_default()
}

fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The claims that a pod's volumes are made of, the ones made for it alone among them.
fn claims_of(pod: &Value) -> Vec<String> {
    let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
    let claim = |volume: &Value| match volume["persistentVolumeClaim"]["claimName"].as_str() {
        Some(name) => Some(name.to_owned()),
        None if volume["ephemeral"].is_object() => {
            Some(format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name")))
        }
        None => None,
    };
    volumes.iter().filter_map(claim).collect()
}
