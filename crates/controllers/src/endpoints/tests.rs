//! Endpoints of Services on the fake API server.

use super::*;
use crate::kinds::resource::{ENDPOINTS, PODS, SERVICES};
use crate::testing::Stage;
use serde_json::json;

pub fn service(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": name, "labels": {"team": "a"}, "uid": format!("svc-{name}")},
        "spec": {
            "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"},
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 5353},
            ],
        },
    })
}

pub fn pod(name: &str, ip: &str, ready: bool, web: i32) -> Value {
    let status = if ready { "True" } else { "False" };
    let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({
        "metadata": {"namespace": "ns", "name": name, "uid": format!("pod-{name}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "web", "containerPort": web, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]},
    })
}

fn endpoints(stage: &Stage, name: &str) -> Value {
    stage.api.get(&ENDPOINTS, "ns", name).unwrap()
}

/// Ready and unready addresses and port numbers of every subset.
fn rows(endpoints: &Value) -> Vec<String> {
    let read: Endpoints = serde_json::from_value(endpoints.clone()).unwrap();
    let ips = |addresses: &[Address]| addresses.iter().map(|address| address.ip.as_str()).collect::<Vec<_>>().join(" ");
    let ports =
        |ports: &[Port]| ports.iter().map(|port| format!("{}:{}", port.name, port.port)).collect::<Vec<_>>().join(" ");
    let row = |subset: &Subset| {
        format!("{} | {} | {}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports(&subset.ports))
    };
    read.subsets.iter().map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn addresses_follow_readiness_and_stand_by_their_ports() {
    let objects = [
        (&SERVICES, service("web")),
        (&PODS, pod("a", "10.0.0.1", true, 80)),
        (&PODS, pod("b", "10.0.0.2", false, 80)),
        (&PODS, pod("c", "10.0.0.3", true, 8080)),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    let made = endpoints(&stage, "web");
    assert_eq!(rows(&made), ["10.0.0.1 | 10.0.0.2 | dns:5353 http:80", "10.0.0.3 |  | dns:5353 http:8080"]);
    let labels = json!({"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    assert_eq!(made["metadata"]["labels"], labels);
    let address = json!({
        "ip": "10.0.0.1", "nodeName": "n1",
        "targetRef": {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "pod-a"},
    });
    assert_eq!(made["subsets"][0]["addresses"][0], address);
    stage.api.put(&PODS, pod("b", "10.0.0.2", true, 80));
    stage.edit(&PODS, "ns", "a", |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    stage.settle(1).await;
    assert_eq!(rows(&endpoints(&stage, "web"))[0], "10.0.0.2 |  | dns:5353 http:80");
    stage.writes();
    stage.edit(&PODS, "ns", "b", |pod| pod["metadata"]["annotations"] = json!({"irrelevant": "1"}));
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_may_come_after_or_before_its_pods_and_its_endpoints_go_with_it() {
    let stage = Stage::new(&DEF, &[(&SERVICES, service("web"))]).await;
    assert!(rows(&endpoints(&stage, "web")).is_empty());
    stage.api.put(&PODS, pod("a", "10.0.0.1", true, 80));
    stage.settle(1).await;
    assert_eq!(rows(&endpoints(&stage, "web")).len(), 1);
    stage.api.remove(&SERVICES, "ns", "web");
    stage.settle(1).await;
    assert!(stage.api.all(&ENDPOINTS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_made_by_hand_stays() {
    let mut bare = service("bare");
    bare["spec"]["selector"] = Value::Null;
    let hand =
        json!({"metadata": {"namespace": "ns", "name": "bare"}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]});
    let early = json!({"metadata": {"namespace": "ns", "name": "early"}, "subsets": []});
    let stage = Stage::new(&DEF, &[(&SERVICES, bare), (&ENDPOINTS, hand), (&ENDPOINTS, early)]).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn headless_services_name_their_pods_and_may_have_no_ports() {
    let mut headless = service("web");
    headless["spec"]["clusterIP"] = json!("None");
    headless["spec"]["ports"] = json!([]);
    headless["spec"]["publishNotReadyAddresses"] = json!(true);
    let mut named = pod("a", "10.0.0.1", false, 80);
    named["spec"]["hostname"] = json!("a");
    named["spec"]["subdomain"] = json!("web");
    let stage = Stage::new(&DEF, &[(&SERVICES, headless), (&PODS, named)]).await;
    let made = endpoints(&stage, "web");
    assert_eq!(made["subsets"][0]["addresses"][0]["hostname"], "a");
    assert!(made["metadata"]["labels"]["service.kubernetes.io/headless"].is_string());
}

#[tokio::test(start_paused = true)]
async fn over_a_thousand_addresses_are_cut_and_it_shows() {
    let stage = Stage::new(&DEF, &[]).await;
    for number in 0..1005 {
        let ip = format!("10.0.{}.{}", number / 250, number % 250);
        stage.api.put(&PODS, pod(&format!("p{number}"), &ip, number >= 5, 80));
    }
    stage.api.put(&SERVICES, service("web"));
    stage.settle(1).await;
    let made = endpoints(&stage, "web");
    assert_eq!(made["subsets"][0]["addresses"].as_array().unwrap().len(), 1000);
    assert!(made["subsets"][0]["notReadyAddresses"].is_null());
    assert_eq!(made["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"], "truncated");
}
