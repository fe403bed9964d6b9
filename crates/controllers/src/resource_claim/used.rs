//! What becomes of a claim whose consumers are done: it loses them, with the last one its devices, and,
//! if it was made for a pod that is done, it goes.

use super::{list, text};
use crate::action::{Action, Delete, Outcome, Plan, Update};
use crate::kinds::resource;
use client::Key;
use serde_json::{Value, json};

/// Keeps a claim as long as it has devices.
const PROTECTION: &str = "resource.kubernetes.io/delete-protection";

/// A pod, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pod {
    Needs,
    /// Deleted, replaced, or done.
    Gone,
    /// It may just not be known yet: the server is asked.
    Unknown,
}

/// # Errors
/// The claim has a consumer that is no pod.
pub fn plan(claim: Value, pod: &dyn Fn(&str, &str) -> Pod) -> Result<Plan, String> {
    let consumers = list(&claim, "/status/reservedFor");
    if let Some(other) =
        consumers.iter().find(|one| !text(one, "/apiGroup").is_empty() || text(one, "/resource") != "pods")
    {
        return Err(format!("unsupported ReservedFor entry: {other}"));
    }
    let known: Vec<(Value, Pod)> =
        consumers.iter().map(|one| (one.clone(), pod(text(one, "/name"), text(one, "/uid")))).collect();
    let owner = owner(&claim).map(|(name, uid)| pod(&name, &uid));
    let namespace = text(&claim, "/metadata/namespace").to_owned();
    let unknown: Vec<Action> = known
        .iter()
        .filter(|(_, pod)| *pod == Pod::Unknown)
        .map(|(one, _)| Action::Read { resource: resource::PODS, key: Key::new(&namespace, text(one, "/name")) })
        .collect();
    if unknown.is_empty() {
        let valid = known.into_iter().filter(|(_, pod)| *pod == Pod::Needs).map(|(one, _)| one).collect();
        return Ok(settle(claim, valid, owner));
    }
    Ok(Plan::of(unknown).then(move |outcome| {
        if outcome.failure.is_some() {
            return Plan::nothing();
        }
        let mut reads = outcome.reads.iter();
        let needs = |(one, pod): (Value, Pod)| match pod {
            Pod::Needs => Some(one),
            Pod::Gone => None,
            Pod::Unknown => {
                let read = reads.next().and_then(Option::as_ref);
                let pod: Value = serde_json::from_slice(read?).unwrap_or_default();
                (pod["metadata"]["uid"] == one["uid"]).then_some(one)
            }
        };
        settle(claim, known.into_iter().filter_map(needs).collect(), owner)
    }))
}

/// The pod that the claim was made for, by name and uid.
fn owner(claim: &Value) -> Option<(String, String)> {
    let owners = list(claim, "/metadata/ownerReferences").iter();
    let mut pods = owners.filter(|owner| {
        owner["controller"] == true && text(owner, "/apiVersion") == "v1" && text(owner, "/kind") == "Pod"
    });
    pods.next().map(|owner| (text(owner, "/name").to_owned(), text(owner, "/uid").to_owned()))
}

fn is_protected(claim: &Value) -> bool {
    list(claim, "/metadata/finalizers").iter().any(|one| *one == PROTECTION)
}

fn settle(claim: Value, valid: Vec<Value>, owner: Option<Pod>) -> Plan {
    let is_less = valid.len() < list(&claim, "/status/reservedFor").len();
    let is_deleting = claim["metadata"]["deletionTimestamp"].is_string();
    let is_unused = valid.is_empty();
    // With its last consumer a claim loses its devices: the next one may want them elsewhere.
    let loses =
        is_unused && is_protected(&claim) && (is_less || is_deleting) && !claim["status"]["allocation"].is_null();
    if is_less || loses {
        let mut object = claim;
        if let Some(status) = object["status"].as_object_mut() {
            status.insert("reservedFor".to_owned(), json!(valid));
            if is_unused {
                status.remove("reservedFor");
            }
            if loses {
                status.remove("allocation");
                status.remove("devices");
            }
        }
        let update = vec![update(object, Some("status"))];
        return Plan::of(update).then(move |outcome| match written(outcome) {
            Some(claim) => finish(claim, is_unused, owner),
            None => Plan::nothing(),
        });
    }
    if is_unused && (is_deleting || owner == Some(Pod::Gone)) {
        return finish(claim, is_unused, owner);
    }
    Plan::nothing()
}

/// Lets a claim without devices go, and deletes one that nobody will want again.
fn finish(claim: Value, is_unused: bool, owner: Option<Pod>) -> Plan {
    let mut actions = Vec::new();
    let (uid, key) = (text(&claim, "/metadata/uid").to_owned(), key(&claim));
    let is_deleting = claim["metadata"]["deletionTimestamp"].is_string();
    if is_protected(&claim) && claim["status"]["allocation"].is_null() && is_unused {
        let mut object = claim;
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|one| *one != PROTECTION);
        }
        actions.push(update(object, None));
    }
    if is_unused && owner == Some(Pod::Gone) && !is_deleting {
        actions.push(Action::Delete(vec![Delete::new(&resource::RESOURCE_CLAIMS, &key, &uid)]));
    }
    Plan::of(actions)
}

fn written(outcome: &Outcome) -> Option<Value> {
    serde_json::from_slice(outcome.written.first()?).ok()
}

fn key(claim: &Value) -> Key {
    Key::new(text(claim, "/metadata/namespace"), text(claim, "/metadata/name"))
}

/// At the version that was looked at: whoever changed it meanwhile is asked again.
fn update(object: Value, subresource: Option<&'static str>) -> Action {
    Action::Update(Update { resource: resource::RESOURCE_CLAIMS, key: key(&object), subresource, object })
}
