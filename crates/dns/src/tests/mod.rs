//! Names by table, the rest over real sockets in namespaces of their own. Need root.

mod kernel;
mod names;

use client::fake::FakeApi;
use client::resource_of;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

fn put_namespace(api: &FakeApi, name: &str) {
    api.put(&resource_of::<Namespace>(), json!({"metadata": {"name": name}}));
}

fn put_service(api: &FakeApi, name: &str, spec: Value) {
    api.put(&resource_of::<Service>(), json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec}));
}

fn put_slice(api: &FakeApi, service: &str, ports: Value, endpoints: Value) {
    api.put(
        &resource_of::<EndpointSlice>(),
        json!({
            "metadata": {
                "namespace": "ns",
                "name": format!("{service}-1"),
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": endpoints,
        }),
    );
}

/// One of everything.
fn populated() -> FakeApi {
    let api = FakeApi::new();
    put_namespace(&api, "ns");
    put_namespace(&api, "empty");
    let web = json!([
        {"name": "http", "protocol": "TCP", "port": 80},
        {"name": "metrics", "protocol": "TCP", "port": 9090},
    ]);
    put_service(&api, "web", json!({"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ports": web}));
    put_slice(
        &api,
        "web",
        json!([{"name": "http", "protocol": "TCP", "port": 8080}]),
        json!([{"addresses": ["10.244.0.9"]}]),
    );
    let db = json!([{"name": "pg", "protocol": "TCP", "port": 5432}]);
    put_service(&api, "db", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": db}));
    put_slice(
        &api,
        "db",
        json!([{"name": "pg", "protocol": "TCP", "port": 5432}]),
        json!([
            {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.244.0.3"], "hostname": "db-1"},
            {"addresses": ["10.244.0.4"], "conditions": {"ready": true}},
            {"addresses": ["10.244.0.5"], "hostname": "db-9", "conditions": {"ready": false}},
        ]),
    );
    put_service(&api, "nobody", json!({"clusterIP": "None"}));
    put_slice(&api, "nobody", Value::Null, Value::Null);
    put_service(&api, "portless", json!({"clusterIP": "None"}));
    put_slice(&api, "portless", json!([]), json!([{"addresses": ["10.244.0.7"]}]));
    put_service(
        &api,
        "both",
        json!({"clusterIP": "10.96.0.6", "clusterIPs": ["10.96.0.6", "fd00::6"], "ports": [{"port": 53, "protocol": "UDP", "name": "dns"}]}),
    );
    put_service(&api, "away", json!({"type": "ExternalName", "externalName": "db.example.com"}));
    put_service(&api, "alias", json!({"type": "ExternalName", "externalName": "web.ns.svc.cluster.local"}));
    put_service(&api, "numeric", json!({"type": "ExternalName", "externalName": "192.0.2.7"}));
    put_service(&api, "circle", json!({"type": "ExternalName", "externalName": "circle.ns.svc.cluster.local"}));
    api
}
