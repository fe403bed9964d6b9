//! Versions that upstream has taken away and that manifests still name. Each is today's kind under an
//! old name: its row is made of today's.
//!
//! They come last in discovery, have no short names and belong to no category, so that nobody gets
//! one who did not ask for it.

use crate::resources::{Kind, Stability, Subresource};
use std::borrow::Cow;

struct Old {
    group: &'static str,
    version: &'static str,
    /// Where the kinds are today.
    today: &'static str,
    kinds: &'static [&'static str],
}

const RBAC: &[&str] = &["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"];
const FLOW: &[&str] = &["FlowSchema", "PriorityLevelConfiguration"];
const REVIEWS: &[&str] =
    &["SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview"];

const fn old(group: &'static str, version: &'static str, kinds: &'static [&'static str]) -> Old {
    Old { group, version, today: group, kinds }
}

/// The oldest last.
const ALL: &[Old] = &[
    old("apps", "v1beta2", &["Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "ControllerRevision"]),
    old("apps", "v1beta1", &["Deployment", "StatefulSet", "ControllerRevision"]),
    old("batch", "v1beta1", &["CronJob"]),
    old("autoscaling", "v2beta2", &["HorizontalPodAutoscaler"]),
    old("networking.k8s.io", "v1beta1", &["Ingress", "IngressClass"]),
    old("policy", "v1beta1", &["PodDisruptionBudget"]),
    old("rbac.authorization.k8s.io", "v1beta1", RBAC),
    old("rbac.authorization.k8s.io", "v1alpha1", RBAC),
    old("apiextensions.k8s.io", "v1beta1", &["CustomResourceDefinition"]),
    old("apiregistration.k8s.io", "v1beta1", &["APIService"]),
    old("admissionregistration.k8s.io", "v1beta1", &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    old("authentication.k8s.io", "v1beta1", &["TokenReview"]),
    old("authorization.k8s.io", "v1beta1", REVIEWS),
    old("certificates.k8s.io", "v1beta1", &["CertificateSigningRequest"]),
    old("coordination.k8s.io", "v1beta1", &["Lease"]),
    old("discovery.k8s.io", "v1beta1", &["EndpointSlice"]),
    Old { group: "events.k8s.io", version: "v1beta1", today: "events.k8s.io", kinds: &["Event"] },
    old("flowcontrol.apiserver.k8s.io", "v1beta3", FLOW),
    old("flowcontrol.apiserver.k8s.io", "v1beta2", FLOW),
    old("flowcontrol.apiserver.k8s.io", "v1beta1", FLOW),
    old("node.k8s.io", "v1beta1", &["RuntimeClass"]),
    old("node.k8s.io", "v1alpha1", &["RuntimeClass"]),
    old("scheduling.k8s.io", "v1beta1", &["PriorityClass"]),
    old(
        "storage.k8s.io",
        "v1beta1",
        &["StorageClass", "CSIDriver", "CSINode", "VolumeAttachment", "CSIStorageCapacity"],
    ),
    Old { group: "extensions", version: "v1beta1", today: "apps", kinds: &["Deployment", "DaemonSet", "ReplicaSet"] },
    Old { group: "extensions", version: "v1beta1", today: "networking.k8s.io", kinds: &["Ingress", "NetworkPolicy"] },
];

/// Of a group that is nothing but old.
const LAST: u32 = 1;

/// Rows for all that `today` has a kind for.
pub fn rows(today: &[Kind]) -> Vec<Kind> {
    let stable = |group: &str, kind: &str| {
        let same = today.iter().filter(|row| row.group == group && row.kind == kind && row.stability == Stability::Ga);
        same.max_by_key(|row| row.version_priority)
    };
    let all = ALL.iter().flat_map(|old| old.kinds.iter().map(move |kind| (old, *kind)));
    all.filter_map(|(old, kind)| row(old, kind, stable(old.today, kind)?)).collect()
}

fn row(old: &Old, kind: &'static str, today: &Kind) -> Option<Kind> {
    let (group, version) = (old.group, old.version);
    let statuses = today.subresources.iter().filter(|sub| sub.name == "status");
    let subresources = statuses.map(|sub| Subresource {
        name: sub.name,
        verbs: sub.verbs.clone(),
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
    });
    Some(Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        list_kind: today.list_kind.clone(),
        resource: today.resource.clone(),
        singular: today.singular.clone(),
        short_names: Vec::new(),
        namespaced: today.namespaced,
        verbs: today.verbs.clone(),
        categories: Vec::new(),
        subresources: subresources.collect(),
        stability: Stability::Legacy,
        served_by_default: false,
        storage_group: today.storage_group.clone(),
        storage_version: today.storage_version.clone(),
        storage_version_hash: today.storage_version_hash.clone(),
        since: "",
        group_priority: if old.today == group { today.group_priority } else { LAST },
        version_priority: 0,
        type_id: crate::type_of(group, version, kind)?,
        list_type_id: crate::type_of(group, version, &format!("{kind}List")),
        model: None,
    })
}
