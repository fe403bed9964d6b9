//! What a pod's entries need: claims made from their templates and written down in the pod's status,
//! and, for pods that were bound without the scheduler, to be the claims' consumers.

use super::metrics::Metrics;
use super::{FOR_ENTRY, list, text};
use crate::action::{Action, Create, Outcome, Patch, Plan};
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use client::Key;
use client::events::ObjectRef;
use meta::ObjectMeta;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the server appends to a generateName fits behind it.
const MAX_BASE: usize = 57;

pub struct Observed {
    pub pod: Value,
    pub meta: Arc<ObjectMeta>,
    /// The claims that the pod owns.
    pub owned: Vec<Value>,
}

type Find<'f> = &'f dyn Fn(&str) -> Option<Value>;

/// The status of one of the pod's entries.
pub fn standing<'p>(pod: &'p Value, entry: &str) -> Option<&'p Value> {
    list(pod, "/status/resourceClaimStatuses").iter().find(|status| text(status, "/name") == entry)
}

pub fn plan(observed: &Observed, claim: Find<'_>, template: Find<'_>, metrics: &Metrics) -> Plan {
    let (pod, about) = (&observed.pod, ObjectRef::of(&kind::PODS, &observed.meta));
    let (mut found, mut creates): (Vec<Value>, Vec<Create>) = (Vec::new(), Vec::new());
    for entry in list(pod, "/spec/resourceClaims") {
        let name = text(entry, "/name");
        let Some(template_name) = entry["resourceClaimTemplateName"].as_str() else { continue };
        if is_settled(observed, name, claim) {
            continue;
        }
        if let Some(orphan) = observed.owned.iter().find(|claim| claim["metadata"]["annotations"][FOR_ENTRY] == *name) {
            found.push(status(name, orphan));
            continue;
        }
        let Some(template) = template(template_name) else {
            let why = format!(
                "resource claim template {template_name:?}: resourceclaimtemplate.resource.k8s.io {template_name:?} not \
                 found"
            );
            let event = failed(&about, name, &why);
            return Plan::of(vec![event]).unfinished();
        };
        creates.push(Create::new(
            &resource::RESOURCE_CLAIMS,
            &observed.meta.namespace,
            made(observed, name, &template),
        ));
    }
    if creates.is_empty() {
        let mut actions = write_down(&observed.meta, found);
        actions.extend(reservations(observed, claim));
        return Plan::of(actions);
    }
    let (meta, metrics) = (observed.meta.clone(), metrics.clone());
    let asked: Vec<(String, bool)> =
        creates.iter().map(|create| (entry_of(&create.object), is_admin(&create.object))).collect();
    Plan::of(vec![Action::Create(creates)]).then(move |outcome| after(outcome, &meta, found, &asked, &metrics))
}

/// Whether the entry has its claim, or needs none.
fn is_settled(observed: &Observed, entry: &str, claim: Find<'_>) -> bool {
    let Some(status) = standing(&observed.pod, entry) else { return false };
    let Some(name) = status["resourceClaimName"].as_str() else { return true };
    let is_own = |claim: &Value| {
        list(claim, "/metadata/ownerReferences")
            .iter()
            .any(|owner| owner["controller"] == true && owner["uid"] == *observed.meta.uid)
    };
    claim(name).is_some_and(|claim| is_own(&claim))
}

fn status(entry: &str, claim: &Value) -> Value {
    json!({"name": entry, "resourceClaimName": claim["metadata"]["name"]})
}

fn entry_of(claim: &Value) -> String {
    claim["metadata"]["annotations"][FOR_ENTRY].as_str().unwrap_or_default().to_owned()
}

fn is_admin(claim: &Value) -> bool {
    list(claim, "/spec/devices/requests").iter().any(|request| request["exactly"]["adminAccess"] == true)
}

fn failed(about: &ObjectRef, entry: &str, why: &str) -> Action {
    Action::event(about, true, "FailedResourceClaimCreation", format!("PodResourceClaim {entry}: {why}"))
}

fn made(observed: &Observed, entry: &str, template: &Value) -> Value {
    let owner = Owner::new(kind::PODS, resource::PODS, &observed.meta);
    let meta = &template["spec"]["metadata"];
    let mut annotations = if meta["annotations"].is_object() { meta["annotations"].clone() } else { json!({}) };
    annotations[FOR_ENTRY] = entry.into();
    let mut claim = json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "generateName": base_name(&observed.meta.name, entry),
            "annotations": annotations,
            "ownerReferences": [owner.reference()],
        },
        "spec": template["spec"]["spec"],
    });
    if meta["labels"].is_object() {
        claim["metadata"]["labels"] = meta["labels"].clone();
    }
    claim
}

/// Too long names lose letters of both parts, in proportion.
pub fn base_name(pod: &str, entry: &str) -> String {
    let whole = format!("{pod}-{entry}-");
    if whole.len() <= MAX_BASE {
        return whole;
    }
    let pod = &pod[..pod.len() * MAX_BASE / whole.len()];
    let entry = &entry[..entry.len() * MAX_BASE / whole.len()];
    format!("{pod}-{entry}")
}

/// Writes down what was made, and tells of what was not.
fn after(
    outcome: &Outcome,
    meta: &ObjectMeta,
    mut found: Vec<Value>,
    asked: &[(String, bool)],
    metrics: &Metrics,
) -> Plan {
    let written = outcome.written.iter().filter_map(|body| serde_json::from_slice::<Value>(body).ok());
    let written: Vec<Value> = written.collect();
    for claim in &written {
        metrics.created(is_admin(claim), true);
        found.push(status(&entry_of(claim), claim));
    }
    let mut actions = write_down(meta, found);
    let missing = asked.iter().find(|(entry, _)| !written.iter().any(|claim| entry_of(claim) == *entry));
    if let (Some((entry, is_admin)), Some(error)) = (missing, &outcome.failure) {
        metrics.created(*is_admin, false);
        let about = ObjectRef::of(&kind::PODS, meta);
        actions.push(failed(&about, entry, &format!("create ResourceClaim : {error}")));
    }
    Plan::of(actions)
}

fn write_down(meta: &ObjectMeta, statuses: Vec<Value>) -> Vec<Action> {
    if statuses.is_empty() {
        return Vec::new();
    }
    let body = json!({"metadata": {"uid": meta.uid}, "status": {"resourceClaimStatuses": statuses}});
    vec![Action::Patch(Patch::strategic(&resource::PODS, &Key::of(meta), body).subresource("status"))]
}

/// The scheduler does this for the pods that it binds.
fn reservations(observed: &Observed, claim: Find<'_>) -> Vec<Action> {
    if text(&observed.pod, "/spec/nodeName").is_empty() {
        return Vec::new();
    }
    let (meta, mut actions) = (&observed.meta, Vec::new());
    for name in super::names_of(&observed.pod) {
        // Without this one the pod cannot start anyway.
        let Some(claim) = claim(name) else { return actions };
        let is_reserved = list(&claim, "/status/reservedFor").iter().any(|one| one["uid"] == *meta.uid);
        if claim["status"]["allocation"].is_null() || is_reserved {
            continue;
        }
        let body = json!({
            "metadata": {"uid": claim["metadata"]["uid"]},
            "status": {"reservedFor": [{"resource": "pods", "name": meta.name, "uid": meta.uid}]},
        });
        let patch = Patch::strategic(&resource::RESOURCE_CLAIMS, &Key::new(&meta.namespace, name), body);
        actions.push(Action::Patch(patch.subresource("status")));
    }
    actions
}
