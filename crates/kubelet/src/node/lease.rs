//! The node's lease in `kube-node-lease`: renewed every ten seconds, it says that the node is alive.

use crate::agent::Agent;
use client::{PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

const LEASES: GroupVersionResource = GroupVersionResource::of("coordination.k8s.io", "v1", "leases");
const NODES: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");
const NAMESPACE: &str = "kube-node-lease";
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
const SECONDS: i64 = 40;

pub(super) async fn run(agent: Arc<Agent>) {
    let mut failures = 0;
    loop {
        let wait = match renew(&agent).await {
            Ok(()) => {
                failures = 0;
                RENEW
            }
            Err(error) => {
                failures += 1;
                if failures == 5 {
                    warn!(error, "cannot renew the node's lease; trying on");
                } else {
                    debug!(error, "cannot renew the node's lease; trying again");
                }
                RETRY * failures.min(7)
            }
        };
        agent.env.clock.sleep(wait).await;
    }
}

async fn renew(agent: &Agent) -> Result<(), String> {
    let name = &agent.options.node_name;
    let now = agent.env.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let patch = json!({"spec": {"holderIdentity": name, "leaseDurationSeconds": SECONDS, "renewTime": now}});
    let request = Request::new(Verb::Patch(PatchType::Merge), LEASES).namespace(NAMESPACE).name(name);
    match agent.options.api.call(request.body(patch.to_string())).await {
        Ok(_) => Ok(()),
        Err(error) if error.is(Reason::NotFound) => create(agent, patch).await,
        Err(error) => Err(error.to_string()),
    }
}

/// The lease goes with its node.
async fn create(agent: &Agent, mut lease: Value) -> Result<(), String> {
    let name = &agent.options.node_name;
    let node = agent.options.api.call(Request::new(Verb::Get, NODES).name(name)).await;
    let uid = match node {
        Ok(Response::Object { body, .. }) => {
            let node: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            node["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
        }
        Ok(_) => return Err("no node in the answer".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    lease["apiVersion"] = json!("coordination.k8s.io/v1");
    lease["kind"] = json!("Lease");
    lease["metadata"] = json!({
        "name": name, "namespace": NAMESPACE,
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
    });
    let request = Request::new(Verb::Create, LEASES).namespace(NAMESPACE).body(lease.to_string());
    agent.options.api.call(request).await.map(drop).map_err(|error| error.to_string())
}
