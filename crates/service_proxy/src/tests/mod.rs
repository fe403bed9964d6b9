//! Plans by table, the rest against the real kernel in namespaces of their own. Need root.

mod kernel;
mod load;
mod plans;

use serde_json::{Value, json};

/// An endpoint of a slice: address, node, and whether it is ready.
fn endpoint(address: &str, node: &str, ready: bool) -> Value {
    json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready, "serving": ready, "terminating": false}})
}

fn slice(service: &str, name: &str, ports: Value, endpoints: &[Value]) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    })
}

fn service(name: &str, spec: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec})
}
