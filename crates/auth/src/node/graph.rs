//! Which node may know of which object: pods lead from a node to what they refer to, claims lead on
//! to their volumes, and volumes to their secrets.

use base::collections::HashMap;
use serde_json::Value;
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Secret,
    ConfigMap,
    Claim,
    Volume,
    Attachment,
    ResourceClaim,
    ResourceSlice,
    ServiceAccount,
    CertificateRequest,
    Pod,
}

/// A namespace and a name.
type Name = (String, String);
type Thing = (Target, String, String);

/// The graph. Clones share it.
#[derive(Clone, Default)]
pub struct Graph(Arc<RwLock<Edges>>);

#[derive(Default)]
struct Edges {
    /// What each object that leads somewhere leads to, to take it back.
    sources: HashMap<Thing, Source>,
    /// How many sources lead a node to a thing.
    nodes: HashMap<Thing, HashMap<String, usize>>,
    volumes: HashMap<String, Volume>,
    /// The volumes that need a secret.
    secret_volumes: HashMap<Name, Vec<String>>,
}

struct Source {
    node: String,
    leads_to: Vec<Thing>,
    /// Nothing through which it can come to lead elsewhere while it stays on its node.
    fixed: bool,
}

struct Volume {
    claim: Name,
    secrets: Vec<Name>,
}

impl Graph {
    /// Takes over a pod, a request for its certificate, a persistent volume, volume attachment or
    /// resource slice.
    pub fn upsert(&self, resource: &str, object: &Value) {
        let (namespace, name) = names_of(object);
        self.remove(resource, namespace, name);
        let spec = &object["spec"];
        let node = spec["nodeName"].as_str().unwrap_or_default();
        let mut edges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "pods" if !node.is_empty() => {
                let own = (Target::Pod, namespace.to_owned(), name.to_owned());
                let mut leads_to = pod_references(object);
                leads_to.push(own.clone());
                let grows = !spec["ephemeralContainers"].is_null()
                    || !object["status"]["resourceClaimStatuses"].is_null()
                    || !object["status"]["extendedResourceClaimStatus"].is_null();
                edges.add(own, node, leads_to, !grows);
            }
            "podcertificaterequests" if !node.is_empty() => {
                let own = (Target::CertificateRequest, namespace.to_owned(), name.to_owned());
                edges.add(own.clone(), node, vec![own], true);
            }
            "volumeattachments" if !node.is_empty() => edges.add_single(Target::Attachment, name, node),
            "resourceslices" if !node.is_empty() => edges.add_single(Target::ResourceSlice, name, node),
            "persistentvolumes" => edges.add_volume(name, spec),
            _ => {}
        }
    }

    /// Whether what the graph knows of a pod still holds, without reading the pod whole: it is on the
    /// node it was on, and has none of the fields through which a pod on its node can come to refer to
    /// more. Most writes of pods are of this kind, and all of them pass here one after the other.
    pub fn is_current(&self, namespace: &str, name: &str, node: &str, pod: &[u8]) -> bool {
        const MAY_GROW: [&[u8]; 3] =
            [b"\"ephemeralContainers\"", b"\"resourceClaimStatuses\"", b"\"extendedResourceClaimStatus\""];
        let own = (Target::Pod, namespace.to_owned(), name.to_owned());
        let edges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match edges.sources.get(&own) {
            None => node.is_empty(),
            Some(source) => {
                source.fixed
                    && source.node == node
                    && MAY_GROW.iter().all(|field| memchr::memmem::find(pod, field).is_none())
            }
        }
    }

    /// Forgets an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut edges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let target = match resource {
            "pods" => Target::Pod,
            "podcertificaterequests" => Target::CertificateRequest,
            "volumeattachments" => Target::Attachment,
            "resourceslices" => Target::ResourceSlice,
            "persistentvolumes" => return edges.drop_volume(name),
            _ => return,
        };
        edges.drop_source(&(target, namespace.to_owned(), name.to_owned()));
    }

    pub(super) fn reaches(&self, node: &str, target: Target, namespace: &str, name: &str) -> bool {
        let edges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let direct = |target, namespace: &str, name: &str| {
            let thing = (target, namespace.to_owned(), name.to_owned());
            edges.nodes.get(&thing).is_some_and(|nodes| nodes.contains_key(node))
        };
        let by_claim = |volume: &String| {
            edges.volumes.get(volume).is_some_and(|volume| direct(Target::Claim, &volume.claim.0, &volume.claim.1))
        };
        match target {
            Target::Volume => by_claim(&name.to_owned()),
            Target::Secret if !direct(target, namespace, name) => {
                let key = (namespace.to_owned(), name.to_owned());
                edges.secret_volumes.get(&key).is_some_and(|volumes| volumes.iter().any(by_claim))
            }
            Target::Secret => true,
            _ => direct(target, namespace, name),
        }
    }
}

impl Edges {
    fn add(&mut self, own: Thing, node: &str, leads_to: Vec<Thing>, fixed: bool) {
        for thing in &leads_to {
            *self.nodes.entry(thing.clone()).or_default().entry(node.to_owned()).or_default() += 1;
        }
        self.sources.insert(own, Source { node: node.to_owned(), leads_to, fixed });
    }

    /// A cluster-wide object that leads its node to itself.
    fn add_single(&mut self, target: Target, name: &str, node: &str) {
        let own = (target, String::new(), name.to_owned());
        self.add(own.clone(), node, vec![own], true);
    }

    fn drop_source(&mut self, own: &Thing) {
        let Some(source) = self.sources.remove(own) else { return };
        for thing in source.leads_to {
            let Some(nodes) = self.nodes.get_mut(&thing) else { continue };
            if let Some(count) = nodes.get_mut(&source.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&source.node);
                }
            }
            if nodes.is_empty() {
                self.nodes.remove(&thing);
            }
        }
    }

    fn add_volume(&mut self, name: &str, spec: &Value) {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let claim = (text(&spec["claimRef"], "namespace"), text(&spec["claimRef"], "name"));
        if claim.1.is_empty() {
            return;
        }
        let mut secrets = Vec::new();
        for (field, source) in spec.as_object().into_iter().flatten().filter(|(field, _)| *field != "claimRef") {
            let mut add = |secret: &str, namespace: &str| {
                if !secret.is_empty() {
                    let namespace = if namespace.is_empty() { claim.0.clone() } else { namespace.to_owned() };
                    secrets.push((namespace, secret.to_owned()));
                }
            };
            for (key, reference) in source.as_object().into_iter().flatten() {
                if key.to_ascii_lowercase().ends_with("secretref") {
                    add(&text(reference, "name"), &text(reference, "namespace"));
                }
            }
            if field == "azureFile" {
                add(&text(source, "secretName"), &text(source, "secretNamespace"));
            }
        }
        for secret in &secrets {
            self.secret_volumes.entry(secret.clone()).or_default().push(name.to_owned());
        }
        self.volumes.insert(name.to_owned(), Volume { claim, secrets });
    }

    fn drop_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        for secret in volume.secrets {
            if let Some(volumes) = self.secret_volumes.get_mut(&secret) {
                volumes.retain(|own| own != name);
                if volumes.is_empty() {
                    self.secret_volumes.remove(&secret);
                }
            }
        }
    }
}

fn names_of(object: &Value) -> (&str, &str) {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// What a pod's node must be able to read for it. The copy of a static pod refers to nothing: a node
/// could name in it what it likes.
fn pod_references(pod: &Value) -> Vec<Thing> {
    if pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some() {
        return Vec::new();
    }
    let (namespace, pod_name) = names_of(pod);
    let spec = &pod["spec"];
    let mut found = Vec::new();
    let mut add = |target, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            let thing = (target, namespace.to_owned(), name.to_owned());
            if !found.contains(&thing) {
                found.push(thing);
            }
        }
    };
    add(Target::ServiceAccount, &spec["serviceAccountName"]);
    list(spec, "imagePullSecrets").for_each(|secret| add(Target::Secret, &secret["name"]));
    for container in ["containers", "initContainers", "ephemeralContainers"].iter().flat_map(|key| list(spec, key)) {
        for env in list(container, "env") {
            add(Target::Secret, &env["valueFrom"]["secretKeyRef"]["name"]);
            add(Target::ConfigMap, &env["valueFrom"]["configMapKeyRef"]["name"]);
        }
        for source in list(container, "envFrom") {
            add(Target::Secret, &source["secretRef"]["name"]);
            add(Target::ConfigMap, &source["configMapRef"]["name"]);
        }
    }
    for volume in list(spec, "volumes") {
        add(Target::Secret, &volume["secret"]["secretName"]);
        add(Target::Secret, &volume["azureFile"]["secretName"]);
        add(Target::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            add(Target::Secret, &volume[source]["secretRef"]["name"]);
        }
        add(Target::ConfigMap, &volume["configMap"]["name"]);
        for source in list(&volume["projected"], "sources") {
            add(Target::Secret, &source["secret"]["name"]);
            add(Target::ConfigMap, &source["configMap"]["name"]);
        }
        add(Target::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if volume.get("ephemeral").is_some_and(|source| !source.is_null()) {
            let name = format!("{pod_name}-{}", volume["name"].as_str().unwrap_or_default());
            add(Target::Claim, &Value::String(name));
        }
    }
    list(spec, "resourceClaims").for_each(|claim| add(Target::ResourceClaim, &claim["resourceClaimName"]));
    list(&pod["status"], "resourceClaimStatuses")
        .for_each(|claim| add(Target::ResourceClaim, &claim["resourceClaimName"]));
    add(Target::ResourceClaim, &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"]);
    found
}
