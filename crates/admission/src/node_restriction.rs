//! NodeRestriction: a kubelet changes its own Node, the pods bound to it and what belongs to them;
//! never the labels others rely on to keep it away.

use crate::certificate_subject_restriction::subject;
use crate::paths::{annotation, at, items, labels, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{GroupResource, Status};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const MIRROR: &str = "kubernetes.io/config.mirror";
const CSR_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/// Labels of the kubernetes.io and k8s.io domains that a kubelet may set.
const KUBELET_LABELS: [&str; 13] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/windows-build",
    "kubernetes.io/metadata.name",
];
const KUBELET_LABEL_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(NodeRestriction)
}

struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let node = request.user.name.strip_prefix("system:node:").filter(|_| request.user.in_group("system:nodes"));
        let Some(node) = node else { return Ok(()) };
        if node.is_empty() {
            let user = &request.user.name;
            return Err(request.forbid(&format!("could not determine node from user {user:?}")));
        }
        let judge = match (request.resource.group.as_ref(), request.resource.resource.as_ref()) {
            ("", "pods") => pod,
            ("", "nodes") => own_node,
            ("", "persistentvolumeclaims") => claim,
            ("", "serviceaccounts") => token,
            ("coordination.k8s.io", "leases") => lease,
            ("storage.k8s.io", "csinodes") => csi_node,
            ("resource.k8s.io", "resourceslices") => resource_slice,
            ("certificates.k8s.io", "certificatesigningrequests") => signing_request,
            ("certificates.k8s.io", "podcertificaterequests") => pod_certificate,
            _ => return Ok(()),
        };
        judge(node, request, lookup)
    }
}

type Verdict = Result<(), Status>;

fn refuse(request: &Attributes<'_>, why: String) -> Verdict {
    Err(request.forbid(&why))
}

fn pod(node: &str, request: &Attributes<'_>, lookup: &dyn Lookup) -> Verdict {
    let bound_here = |pod: &Value| text(pod, &["spec", "nodeName"]) == node;
    match (request.subresource, request.operation) {
        ("", Operation::Create) => mirror_pod(node, request, lookup),
        ("", Operation::Delete) => match request.old_object {
            Some(old) if !bound_here(old) => {
                refuse(request, format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            _ => Ok(()),
        },
        ("status", Operation::Update) => pod_status(node, request),
        ("eviction", Operation::Create) => {
            let name = request.object_name();
            let found = lookup.get("", "pods", request.namespace, name);
            let what = GroupResource { group: "".into(), resource: "pods".into() };
            let found = found.ok_or_else(|| Status::not_found(&what, name))?;
            if bound_here(&found) {
                return Ok(());
            }
            refuse(request, format!("node {node:?} can only evict pods with spec.nodeName set to itself"))
        }
        ("" | "status" | "eviction", operation) => refuse(
            request,
            format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                operation.as_str()
            ),
        ),
        (other, _) => {
            refuse(request, format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
    }
}

fn pod_status(node: &str, request: &Attributes<'_>) -> Verdict {
    let Some(old) = request.old_object else { return Ok(()) };
    if text(old, &["spec", "nodeName"]) != node {
        return refuse(
            request,
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"),
        );
    }
    if labels(old, "labels").ne(labels(&request.object, "labels")) {
        return refuse(request, format!("node {node:?} cannot update labels through pod status"));
    }
    if at(old, &["status", "resourceClaimStatuses"]) != at(&request.object, &["status", "resourceClaimStatuses"]) {
        return refuse(request, format!("node {node:?} cannot update resource claim statuses"));
    }
    Ok(())
}

/// The only pods a kubelet makes: copies of its static ones, which may refer to nothing.
fn mirror_pod(node: &str, request: &Attributes<'_>, lookup: &dyn Lookup) -> Verdict {
    let pod = &*request.object;
    if annotation(pod, MIRROR).is_none() {
        return refuse(
            request,
            format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"),
        );
    }
    if text(pod, &["spec", "nodeName"]) != node {
        return refuse(request, format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let itself = "owner reference set to itself";
    let owners = items(pod, &["metadata", "ownerReferences"]);
    let [owner] = owners else {
        let what = if owners.is_empty() { "an" } else { "a single" };
        return refuse(request, format!("node {node:?} can only create pods with {what} {itself}"));
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return refuse(request, format!("node {node:?} can only create pods with an {itself}"));
    }
    if owner["controller"] != true {
        return refuse(request, format!("node {node:?} can only create pods with a controller {itself}"));
    }
    if owner["blockOwnerDeletion"] == true {
        return refuse(request, format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let what = GroupResource { group: "".into(), resource: "nodes".into() };
    let known = lookup.get("", "nodes", "", node).ok_or_else(|| Status::not_found(&what, node))?;
    let (expected, given) = (text(&known, &["metadata", "uid"]), text(owner, &["uid"]));
    if expected != given {
        return refuse(request, format!("node {node} UID mismatch: expected {expected} got {given}"));
    }
    if !text(pod, &["spec", "serviceAccountName"]).is_empty() {
        return refuse(request, format!("node {node:?} can not create pods that reference a service account"));
    }
    if let Some(what) = references(&pod["spec"]) {
        return refuse(request, format!("node {node:?} can not create pods that reference {what}"));
    }
    Ok(())
}

/// What a pod's spec refers to that its node would then be allowed to read.
fn references(spec: &Value) -> Option<&'static str> {
    const VOLUMES: [(&[&str], &str); 4] = [
        (&["secret"], "secrets"),
        (&["configMap"], "configmaps"),
        (&["persistentVolumeClaim"], "persistentvolumeclaims"),
        (&["ephemeral"], "persistentvolumeclaims"),
    ];
    const SOURCES: [(&str, &str); 4] = [
        ("secret", "secrets"),
        ("configMap", "configmaps"),
        ("serviceAccountToken", "serviceaccounts"),
        ("clusterTrustBundle", "clustertrustbundles"),
    ];
    if !items(spec, &["imagePullSecrets"]).is_empty() {
        return Some("secrets");
    }
    for container in crate::paths::containers(spec) {
        let envs = items(container, &["env"]).iter().map(|env| (env, "valueFrom", ["secretKeyRef", "configMapKeyRef"]));
        for (env, key, fields) in envs {
            for (field, what) in fields.into_iter().zip(["secrets", "configmaps"]) {
                if at(env, &[key, field]).is_some() {
                    return Some(what);
                }
            }
        }
        for source in items(container, &["envFrom"]) {
            for (field, what) in [("secretRef", "secrets"), ("configMapRef", "configmaps")] {
                if at(source, &[field]).is_some() {
                    return Some(what);
                }
            }
        }
    }
    if !items(spec, &["resourceClaims"]).is_empty() {
        return Some("resourceclaims");
    }
    items(spec, &["volumes"]).iter().find_map(|volume| {
        let plain = VOLUMES.iter().find(|(path, _)| at(volume, path).is_some()).map(|(_, what)| *what);
        let mut sources = items(volume, &["projected", "sources"]).iter();
        plain.or_else(|| {
            sources
                .find_map(|source| SOURCES.iter().find(|(key, _)| at(source, &[key]).is_some()).map(|(_, what)| *what))
        })
    })
}

fn own_node(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    let (name, object) = (request.object_name(), &*request.object);
    if name != node {
        return refuse(request, format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    match request.operation {
        Operation::Create => {
            let set: BTreeMap<&str, &str> = labels(object, "labels").collect();
            let forbidden: Vec<&str> = set.keys().copied().filter(|key| !may_set(key)).collect();
            if !forbidden.is_empty() {
                let list = forbidden.join(", ");
                return refuse(request, format!("node {node:?} is not allowed to set the following labels: {list}"));
            }
            Ok(())
        }
        Operation::Update => {
            let Some(old) = request.old_object else { return Ok(()) };
            if at(old, &["spec", "taints"]) != at(object, &["spec", "taints"]) {
                return refuse(request, format!("node {node:?} is not allowed to modify taints"));
            }
            if at(old, &["metadata", "ownerReferences"]) != at(object, &["metadata", "ownerReferences"]) {
                return refuse(request, format!("node {node:?} is not allowed to modify ownerReferences"));
            }
            let before: BTreeSet<(&str, &str)> = labels(old, "labels").collect();
            let after: BTreeSet<(&str, &str)> = labels(object, "labels").collect();
            let changed: BTreeSet<&str> = before.symmetric_difference(&after).map(|(key, _)| *key).collect();
            let forbidden: Vec<&str> = changed.into_iter().filter(|key| !may_set(key)).collect();
            if !forbidden.is_empty() {
                let list = forbidden.join(", ");
                return refuse(request, format!("is not allowed to modify labels: {list}"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Labels outside of Kubernetes' domains are free; within, only those a kubelet is known to set.
fn may_set(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|head| head.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    if !within("kubernetes.io") && !within("k8s.io") {
        return true;
    }
    KUBELET_LABELS.contains(&label) || KUBELET_LABEL_DOMAINS.iter().any(|parent| within(parent))
}

fn claim(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    let (true, Some(old)) =
        (request.operation == Operation::Update && request.subresource == "status", request.old_object)
    else {
        return refuse(request, format!("node {node:?} may only update PVC status"));
    };
    let bare = |object: &Value| {
        let mut object = object.clone();
        if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
            for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
                status.remove(field);
            }
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        object
    };
    if bare(old) == bare(&request.object) {
        return Ok(());
    }
    refuse(
        request,
        format!("node {node:?} is not allowed to update fields other than status.capacity and status.conditions"),
    )
}

/// A kubelet gets tokens for its pods only, bound to them.
fn token(node: &str, request: &Attributes<'_>, lookup: &dyn Lookup) -> Verdict {
    if request.subresource != "token" || request.operation != Operation::Create {
        return Ok(());
    }
    let bound = &request.object["spec"]["boundObjectRef"];
    let is_pod = bound["kind"] == "Pod" && bound["apiVersion"] == "v1" && !text(bound, &["name"]).is_empty();
    if !is_pod {
        return refuse(request, "node requested token not bound to a pod".to_owned());
    }
    let (name, uid) = (text(bound, &["name"]), text(bound, &["uid"]));
    if uid.is_empty() {
        return refuse(request, "node requested token with a pod binding without a uid".to_owned());
    }
    let what = GroupResource { group: "".into(), resource: "pods".into() };
    let pod = lookup.get("", "pods", request.namespace, name).ok_or_else(|| Status::not_found(&what, name))?;
    let actual = text(&pod, &["metadata", "uid"]);
    if actual != uid {
        return refuse(
            request,
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record ({actual}). The object might \
                 have been deleted and then recreated"
            ),
        );
    }
    if text(&pod, &["spec", "nodeName"]) != node {
        return refuse(request, "node requested token bound to a pod scheduled on a different node".to_owned());
    }
    audiences(request, &pod, lookup)
}

/// Only for audiences that the pod's volumes ask for.
fn audiences(request: &Attributes<'_>, pod: &Value, lookup: &dyn Lookup) -> Verdict {
    let volumes = items(pod, &["spec", "volumes"]);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for volume in volumes {
        for source in items(volume, &["projected", "sources"]) {
            if let Some(token) = at(source, &["serviceAccountToken"]) {
                known.insert(text(token, &["audience"]).to_owned());
            }
        }
        for driver in drivers(volume, request.namespace, lookup) {
            let found = lookup.get("storage.k8s.io", "csidrivers", "", &driver);
            let wanted = found.as_deref().map(|found| items(found, &["spec", "tokenRequests"])).unwrap_or_default();
            known.extend(wanted.iter().map(|token| text(token, &["audience"]).to_owned()));
        }
    }
    let asked = items(&request.object, &["spec", "audiences"]);
    match asked.iter().filter_map(Value::as_str).find(|audience| !known.contains(*audience)) {
        Some(audience) => refuse(request, format!("audience {audience:?} not found in pod spec volume")),
        None => Ok(()),
    }
}

/// The CSI drivers behind a volume.
fn drivers(volume: &Value, namespace: &str, lookup: &dyn Lookup) -> Vec<String> {
    let inline = text(volume, &["csi", "driver"]);
    if !inline.is_empty() {
        return vec![inline.to_owned()];
    }
    let claim = text(volume, &["persistentVolumeClaim", "claimName"]);
    if claim.is_empty() {
        return Vec::new();
    }
    let claim = lookup.get("", "persistentvolumeclaims", namespace, claim);
    let volume = claim.map(|claim| text(&claim, &["spec", "volumeName"]).to_owned()).unwrap_or_default();
    let volume = lookup.get("", "persistentvolumes", "", &volume);
    volume.map(|volume| text(&volume, &["spec", "csi", "driver"]).to_owned()).into_iter().collect()
}

fn lease(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    if request.object_name() == node {
        return Ok(());
    }
    refuse(request, "can only access node lease with the same name as the requesting node".to_owned())
}

fn csi_node(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    if request.object_name() == node {
        return Ok(());
    }
    refuse(request, "can only access CSINode with the same name as the requesting node".to_owned())
}

fn resource_slice(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    match (request.operation, request.old_object) {
        (Operation::Create, _) if text(&request.object, &["spec", "nodeName"]) != node => {
            refuse(request, "can only create ResourceSlice with the same NodeName as the requesting node".to_owned())
        }
        (Operation::Update | Operation::Delete, Some(old)) if text(old, &["spec", "nodeName"]) != node => refuse(
            request,
            "can only modify or delete ResourceSlice with the same NodeName as the requesting node".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// A node asks for certificates in its own name only.
fn signing_request(node: &str, request: &Attributes<'_>, _: &dyn Lookup) -> Verdict {
    let signer = text(&request.object, &["spec", "signerName"]);
    if request.operation != Operation::Create || !request.subresource.is_empty() || !CSR_SIGNERS.contains(&signer) {
        return Ok(());
    }
    let subject = subject(&request.object).map_err(|why| request.forbid(&format!("unable to parse csr: {why}")))?;
    let own = format!("system:node:{node}");
    if subject.common_name == own {
        return Ok(());
    }
    refuse(request, format!("can only create a node CSR with CN={own}"))
}

/// A node asks for certificates of its own pods, from the signers that they name.
fn pod_certificate(node: &str, request: &Attributes<'_>, lookup: &dyn Lookup) -> Verdict {
    if request.operation != Operation::Create || !request.subresource.is_empty() {
        let operation = request.operation.as_str();
        return refuse(
            request,
            format!("unexpected operation {operation:?}, nodes can only create podcertificaterequests"),
        );
    }
    let spec = &request.object["spec"];
    let asked = |field: &str| text(spec, &[field]);
    if asked("nodeName") != node {
        let why = format!(
            "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {node:?}",
            asked("nodeName")
        );
        return refuse(request, why);
    }
    let find = |resource: &str, namespace: &str, name: &str| {
        let what = GroupResource { group: "".into(), resource: resource.to_owned().into() };
        lookup.get("", resource, namespace, name).ok_or_else(|| Status::not_found(&what, name))
    };
    let pod = find("pods", request.namespace, asked("podName"))?;
    if text(&pod, &["spec", "nodeName"]) != node {
        return refuse(request, format!("pod {:?} is not bound to the requesting node {node:?}", asked("podName")));
    }
    if annotation(&pod, MIRROR).is_some() {
        return refuse(request, format!("pod {:?} is a mirror pod", asked("podName")));
    }
    let account = text(&pod, &["spec", "serviceAccountName"]);
    if asked("serviceAccountName") != account {
        return refuse(request, format!("pod {:?} runs as service account {account:?}", asked("podName")));
    }
    let owner = find("serviceaccounts", request.namespace, account)?;
    let home = find("nodes", "", node)?;
    for (field, object) in [("podUID", &*pod), ("serviceAccountUID", &*owner), ("nodeUID", &*home)] {
        let actual = text(object, &["metadata", "uid"]);
        if asked(field) != actual {
            return refuse(
                request,
                format!("{field} {:?} does not match the one in record ({actual:?})", asked(field)),
            );
        }
    }
    let volumes = items(&pod, &["spec", "volumes"]).iter();
    let mut sources = volumes.flat_map(|volume| items(volume, &["projected", "sources"]));
    if sources.any(|source| text(source, &["podCertificate", "signerName"]) == asked("signerName")) {
        return Ok(());
    }
    refuse(request, format!("signer {:?} not found in pod spec volume", asked("signerName")))
}
