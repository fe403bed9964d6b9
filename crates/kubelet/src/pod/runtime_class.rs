//! Which runtime a pod wants: this node has one, under a name of its own and the one that manifests
//! use for the ordinary runtime.

use super::spec;
use crate::agent::Agent;
use client::{Request, Response, Verb};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use meta::GroupVersionResource;

const CLASSES: GroupVersionResource = GroupVersionResource::of("node.k8s.io", "v1", "runtimeclasses");
const HANDLERS: [&str; 2] = [crate::names::RUNTIME, "runc"];

/// # Errors
/// Why the pod has no sandbox: its class is not known, or wants what is not here.
pub async fn check(agent: &Agent, pod: &Pod) -> Result<(), String> {
    let spec = spec::spec(pod);
    let Some(name) = spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
    let class: RuntimeClass = match agent.options.api.call(Request::new(Verb::Get, CLASSES).name(name)).await {
        Ok(Response::Object { body, .. }) => serde_json::from_slice(&body).map_err(|error| error.to_string())?,
        Ok(_) => return Err(format!("failed to lookup RuntimeClass {name}: it was not answered with an object")),
        Err(error) if error.is(meta::Reason::NotFound) => return Err(error.to_string()),
        Err(error) => return Err(format!("failed to lookup RuntimeClass {name}: {error}")),
    };
    if HANDLERS.contains(&class.handler.as_str()) {
        return Ok(());
    }
    Err(format!("failed to get sandbox runtime: no runtime for {:?} is configured", class.handler))
}
