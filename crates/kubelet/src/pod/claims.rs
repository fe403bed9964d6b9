//! A pod's claims of devices, before its sandbox is made: each must be the pod's, and the drivers of
//! its devices have to make these ready.
//!
//! Drivers register with a node over a socket; this node has no such door yet. So nobody is registered,
//! and a pod with devices waits, rather than run as if it had none.

use super::spec::PodRef;
use crate::agent::Agent;
use client::{Request, Response, Verb};
use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use meta::GroupVersionResource;
use serde_json::Value;

const CLAIMS: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceclaims");

/// # Errors
/// Why the pod cannot have its devices now, in upstream's words.
pub async fn prepare(agent: &Agent, pod: &Pod, pod_ref: &PodRef) -> Result<(), String> {
    let entries = pod.spec.as_ref().and_then(|spec| spec.resource_claims.as_deref()).unwrap_or_default();
    for entry in entries {
        let Some((name, is_own)) = name_of(pod, pod_ref, entry)? else { continue };
        let claim = read(agent, pod_ref, &name).await.map_err(|why| format!("fetch ResourceClaim {name}: {why}"))?;
        if let Some(driver) = drivers(pod_ref, &claim, is_own)?.first() {
            return Err(format!("DRA driver {driver} is not registered"));
        }
    }
    Ok(())
}

/// The claim's name, and whether it was made for the pod; None: none is needed.
fn name_of(pod: &Pod, pod_ref: &PodRef, entry: &PodResourceClaim) -> Result<Option<(String, bool)>, String> {
    if let Some(name) = &entry.resource_claim_name {
        return Ok(Some((name.clone(), false)));
    }
    let statuses = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    let mut statuses = statuses.filter(|status| status.name == entry.name);
    match statuses.next() {
        Some(status) => Ok(status.resource_claim_name.clone().map(|name| (name, true))),
        None => Err(format!("pod \"{}/{}\": ResourceClaim not created yet", pod_ref.namespace, pod_ref.name)),
    }
}

async fn read(agent: &Agent, pod_ref: &PodRef, name: &str) -> Result<Value, String> {
    let request = Request::new(Verb::Get, CLAIMS).namespace(&pod_ref.namespace).name(name);
    match agent.options.api.call(request).await {
        Ok(Response::Object { body, .. }) => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        Ok(_) => Err("a GET was not answered with an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The drivers of the claim's devices, if the pod may use it.
fn drivers(pod: &PodRef, claim: &Value, is_own: bool) -> Result<Vec<String>, String> {
    let list = |pointer: &str| claim.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let meta = &claim["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    let (namespace, pod_name) = (&pod.namespace, &pod.name);
    let is_owner = |owner: &Value| owner["controller"] == true && owner["uid"] == *pod.uid;
    if is_own && !list("/metadata/ownerReferences").iter().any(is_owner) {
        return Err(format!(
            "ResourceClaim {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)"
        ));
    }
    if !list("/status/reservedFor").iter().any(|consumer| consumer["uid"] == *pod.uid) {
        let (pod_uid, uid) = (&pod.uid, meta["uid"].as_str().unwrap_or_default());
        return Err(format!("pod {pod_name} ({pod_uid}) is not allowed to use ResourceClaim {name} ({uid})"));
    }
    let mut drivers: Vec<String> = list("/status/allocation/devices/results")
        .iter()
        .filter_map(|result| result["driver"].as_str().map(str::to_owned))
        .collect();
    drivers.sort();
    drivers.dedup();
    Ok(drivers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_only_for_their_pods() {
        let pod = PodRef { namespace: "d".to_owned(), name: "p".to_owned(), uid: "u".to_owned() };
        let claim = |owner: &str, consumer: &str| {
            json!({
                "metadata": {"name": "c", "uid": "cu", "ownerReferences": [{"controller": true, "uid": owner}]},
                "status": {
                    "reservedFor": [{"uid": consumer}],
                    "allocation": {"devices": {"results": [{"driver": "b"}, {"driver": "a"}, {"driver": "b"}]}},
                },
            })
        };
        let ask = |owner: &str, consumer: &str, is_own: bool| drivers(&pod, &claim(owner, consumer), is_own);
        assert_eq!(ask("u", "u", true), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(ask("x", "u", false), Ok(vec!["a".to_owned(), "b".to_owned()]));
        let not_owner = "ResourceClaim d/c was not created for pod d/p (pod is not owner)";
        assert_eq!(ask("x", "u", true), Err(not_owner.to_owned()));
        assert_eq!(ask("u", "x", true), Err("pod p (u) is not allowed to use ResourceClaim c (cu)".to_owned()));
        let free = json!({"metadata": {"name": "c"}, "status": {"reservedFor": [{"uid": "u"}], "allocation": {}}});
        assert_eq!(drivers(&pod, &free, false), Ok(vec![]));
    }
}
