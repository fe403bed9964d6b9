//! Services get addresses and ports once, and give them back.

use super::*;

fn service(kind: &str, ports: Value) -> Value {
    json!({"spec": {"type": kind, "ports": ports}})
}

fn assign(services: &Services, service: &mut Value, key: &str) -> Vec<String> {
    let errors = services.assign(service, None, key, &Rng::seeded(1));
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_gets_an_address_that_nobody_has() {
    let services = Services::new("10.96.0.0/28").unwrap();
    let mut seen = Vec::new();
    for number in 0..14 {
        let mut one = service("ClusterIP", json!([{"port": 80}]));
        assert_eq!(assign(&services, &mut one, &format!("default/s{number}")), Vec::<String>::new());
        seen.push(one["spec"]["clusterIP"].as_str().unwrap().to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 14);
    let mut one = service("ClusterIP", json!([]));
    assert!(assign(&services, &mut one, "default/more")[0].contains("range is full"));
    services.settle("default/s3", None);
    assert!(assign(&services, &mut one, "default/more").is_empty());
}

#[test]
fn what_is_asked_for_must_be_free_and_in_range() {
    let services = Services::new("10.96.0.0/16").unwrap();
    let mut dns = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.10"}});
    assert!(assign(&services, &mut dns, "kube-system/kube-dns").is_empty());
    assert_eq!(
        assign(&services, &mut dns.clone(), "default/other"),
        [
            r#"spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated"#
        ]
    );
    let mut far = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.97.0.1"}});
    assert!(assign(&services, &mut far, "default/far")[0].contains("does not contain the provided IP"));
    let mut node = service("NodePort", json!([{"port": 80, "nodePort": 30001, "protocol": "TCP"}]));
    assert!(assign(&services, &mut node, "default/node").is_empty());
    let mut again = service("NodePort", json!([{"port": 80, "nodePort": 30001, "protocol": "TCP"}]));
    assert_eq!(
        assign(&services, &mut again, "default/again"),
        ["spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"]
    );
    let mut udp = service("NodePort", json!([{"port": 80, "nodePort": 30001, "protocol": "UDP"}]));
    assert!(assign(&services, &mut udp, "default/udp").is_empty());
}

#[test]
fn an_update_keeps_what_was_assigned_and_drops_what_its_type_cannot_have() {
    let services = Services::new("10.96.0.0/16").unwrap();
    let mut old = service("NodePort", json!([{"port": 80, "protocol": "TCP"}]));
    assert!(assign(&services, &mut old, "a/b").is_empty());
    let rng = Rng::seeded(2);
    let mut new = service("NodePort", json!([{"port": 80, "protocol": "TCP"}]));
    assert!(services.assign(&mut new, Some(&old), "a/b", &rng).is_empty());
    assert_eq!(new, old);
    let mut inside = old.clone();
    inside["spec"]["type"] = "ClusterIP".into();
    assert!(services.assign(&mut inside, Some(&old), "a/b", &rng).is_empty());
    assert_eq!(inside["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert!(inside["spec"]["ports"][0].get("nodePort").is_none());
}
