//! A pod of a file: its name, its uid and its marks as upstream gives them; and its mirror. Pure.

use crate::names;
use crate::pod::PodRef;
use base::Timestamp;
use client::Item;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

pub struct StaticPod {
    pub pod: PodRef,
    /// With its object as workers see it.
    pub item: Arc<Item<()>>,
    object: Value,
}

impl fmt::Debug for StaticPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pod, f)
    }
}

impl PartialEq for StaticPod {
    fn eq(&self, other: &Self) -> bool {
        self.pod == other.pod && self.object == other.object
    }
}

/// What would need the API server: field of the spec, and what it refers to.
const REFERENCES: [(&str, &str); 12] = [
    ("serviceAccountName", "serviceaccounts"),
    ("imagePullSecrets", "secrets"),
    ("secret", "secrets"),
    ("secretRef", "secrets"),
    ("secretKeyRef", "secrets"),
    ("configMap", "configmaps"),
    ("configMapRef", "configmaps"),
    ("configMapKeyRef", "configmaps"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
    ("resourceClaims", "resourceclaims"),
];

/// # Errors
/// Why the pod cannot be a static one.
pub fn make(mut object: Value, file: &Path, node: &str, now: Timestamp) -> Result<StaticPod, String> {
    if let Some(what) = reference(&object["spec"]) {
        return Err(format!("static pods may not reference {what}"));
    }
    let uid = match object["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
        Some(own) => own.to_owned(),
        None => hash(&object, file, node),
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name = format!("{name}-{}", node.to_lowercase());
    let meta = &mut object["metadata"];
    (meta["name"], meta["uid"]) = (json!(name), json!(uid));
    if meta["namespace"].as_str().unwrap_or_default().is_empty() {
        meta["namespace"] = json!("default");
    }
    let namespace = meta["namespace"].as_str().unwrap_or_default().to_owned();
    let seen = now.to_string();
    for (mark, value) in [(names::CONFIG_HASH, &*uid), (names::CONFIG_SOURCE, "file"), (names::CONFIG_SEEN, &*seen)] {
        meta["annotations"][mark] = json!(value);
    }
    object["spec"]["nodeName"] = json!(node);
    stay(&mut object["spec"]);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let item = Item::read(object.to_string().into()).map_err(|error| error.to_string())?;
    Ok(StaticPod { pod: PodRef { namespace, name, uid }, item: Arc::new(item), object })
}

impl StaticPod {
    /// What the API server is to show.
    pub fn mirror(&self, node: &str, node_uid: &str) -> Value {
        let mut object = self.object.clone();
        let meta = &mut object["metadata"];
        meta["annotations"][names::CONFIG_MIRROR] = json!(self.pod.uid);
        meta["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": true}]);
        if let Some(fields) = meta.as_object_mut() {
            fields.remove("uid");
        }
        object
    }
}

/// The same for the same file of the same node.
fn hash(object: &Value, file: &Path, node: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(object.to_string());
    digest.update(format!("host:{node}file:{}", file.display()));
    let mut text = String::with_capacity(32);
    for byte in &digest.finalize()[..16] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// No taint of the node makes it go.
fn stay(spec: &mut Value) {
    let own = json!({"operator": "Exists", "effect": "NoExecute"});
    let all = spec["tolerations"].as_array().cloned().unwrap_or_default();
    if !all.contains(&own) {
        spec["tolerations"] = all.into_iter().chain([own]).collect();
    }
}

fn reference(value: &Value) -> Option<&'static str> {
    let named = |fields: &Map<String, Value>| {
        REFERENCES.iter().find(|(field, _)| match fields.get(*field) {
            Some(Value::String(name)) => *field == "serviceAccountName" && !name.is_empty(),
            Some(Value::Array(all)) => !all.is_empty(),
            Some(Value::Object(_)) => true,
            _ => false,
        })
    };
    match value {
        Value::Object(fields) => match named(fields) {
            Some((_, what)) => Some(what),
            None => fields.values().find_map(reference),
        },
        Value::Array(all) => all.iter().find_map(reference),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(object: Value) -> Result<StaticPod, String> {
        make(object, Path::new("/etc/pods/a.yaml"), "Node-1", "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_pod_gets_its_marks() {
        let object = json!({"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c"}]}});
        let pod = made(object.clone()).unwrap();
        assert_eq!((pod.pod.namespace.as_str(), pod.pod.name.as_str()), ("default", "web-node-1"));
        assert_eq!(pod.pod.uid.len(), 32);
        let meta = &pod.item.meta;
        assert_eq!(
            (meta.uid.as_str(), meta.annotations["kubernetes.io/config.hash"].as_str()),
            (&*pod.pod.uid, &*pod.pod.uid)
        );
        assert_eq!(meta.annotations["kubernetes.io/config.source"], "file");
        let spec = &pod.object["spec"];
        assert_eq!(spec["nodeName"], "Node-1");
        assert_eq!(spec["tolerations"], json!([{"operator": "Exists", "effect": "NoExecute"}]));
        let mirror = pod.mirror("Node-1", "u");
        assert_eq!(mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"], json!(pod.pod.uid));
        assert!(mirror["metadata"].get("uid").is_none());
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "Node-1", "uid": "u", "controller": true});
        assert_eq!(mirror["metadata"]["ownerReferences"], json!([owner]));
        assert_eq!(made(object.clone()).unwrap().pod.uid, pod.pod.uid, "the same file is the same pod");
        let mut other = object;
        other["spec"]["containers"][0]["image"] = json!("i");
        assert_ne!(made(other).unwrap().pod.uid, pod.pod.uid);
    }

    #[test]
    fn what_needs_the_api_server_is_refused() {
        let volume = |source: Value| json!({"volumes": [{"name": "v", "secret": source}]});
        for (spec, refused) in [
            (json!({"nodeSelector": {"secret": "x"}, "containers": [{"name": "secret", "args": ["configMap"]}]}), None),
            (json!({"serviceAccountName": ""}), None),
            (json!({"serviceAccountName": "x"}), Some("serviceaccounts")),
            (volume(json!({})), Some("secrets")),
            (json!({"containers": [{"envFrom": [{"configMapRef": {"name": "m"}}]}]}), Some("configmaps")),
            (json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "s"}}]}}]}), Some("secrets")),
        ] {
            let refusal = made(json!({"metadata": {"name": "a"}, "spec": spec})).err();
            assert_eq!(refusal, refused.map(|what| format!("static pods may not reference {what}")));
        }
    }
}
