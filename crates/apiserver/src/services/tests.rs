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

#[test]
fn a_full_range_is_followed_by_those_that_were_added() {
    let services = Services::new("10.96.0.0/30").unwrap();
    let range = |cidr: &str| json!({"spec": {"cidrs": [cidr]}});
    let take = |key: &str| {
        let mut one = service("ClusterIP", json!([]));
        let errors = assign(&services, &mut one, key);
        errors.first().cloned().unwrap_or_else(|| one["spec"]["clusterIP"].as_str().unwrap().to_owned())
    };
    let mut first = [take("a/1"), take("a/2")];
    first.sort();
    assert_eq!(first, ["10.96.0.1", "10.96.0.2"]);
    assert!(take("a/3").contains("range is full"));
    services.book().ranges.observe("six", Some(&range("2001:db8::/112")));
    assert!(take("a/3").contains("range is full"));
    services.book().ranges.observe("more", Some(&range("10.97.0.0/30")));
    assert!(take("a/3").starts_with("10.97.0."));
    let mut unready = range("10.97.0.0/30");
    unready["status"] = json!({"conditions": [{"type": "Ready", "status": "False"}]});
    services.book().ranges.observe("more", Some(&unready));
    assert!(take("a/4").contains("range is full"));
    services.book().ranges.observe("more", Some(&range("10.97.0.0/30")));
    assert!(take("a/4").starts_with("10.97.0."));
}

#[test]
fn an_object_of_another_holds_its_address() {
    let services = Services::new("10.96.0.0/16").unwrap();
    let object = |resource: &str, name: &str| json!({"spec": {"parentRef": {"resource": resource, "namespace": "a", "name": name}}});
    services.observe_address("10.96.0.9", Some(&object("services", "own")));
    services.observe_address("10.96.0.8", Some(&object("gateways", "own")));
    let asked = |address: &str| json!({"spec": {"type": "ClusterIP", "clusterIP": address}});
    assert!(assign(&services, &mut asked("10.96.0.9"), "a/own").is_empty());
    for (address, key) in [("10.96.0.9", "a/other"), ("10.96.0.8", "a/own")] {
        assert!(assign(&services, &mut asked(address), key)[0].contains("already allocated"), "{address} {key}");
    }
    services.observe_address("10.96.0.8", None);
    assert!(assign(&services, &mut asked("10.96.0.8"), "a/own").is_empty());
}
