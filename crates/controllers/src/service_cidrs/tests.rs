//! Ranges come and go on the fake API server.

use super::*;
use crate::kinds::resource::{IP_ADDRESSES, SERVICE_CIDRS, SERVICES};
use crate::testing::Stage;

fn range(name: &str, cidr: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "spec": {"cidrs": [cidr]}})
}

fn going(name: &str, cidr: &str) -> Value {
    let mut range = range(name, cidr);
    range["metadata"]["finalizers"] = json!([FINALIZER]);
    range["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    range
}

#[test]
fn prefixes_know_what_lies_in_them() {
    let cases = [
        ("10.96.0.0/16", "10.96.255.255", true),
        ("10.96.0.0/16", "10.97.0.0", false),
        ("0.0.0.0/0", "10.97.0.0", true),
        ("::/0", "10.97.0.0", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/112", "2001:db8::ffff", true),
        ("2001:db8::/112", "2001:db8::1:0", false),
    ];
    for (prefix, address, has) in cases {
        assert_eq!(Prefix::parse(prefix).unwrap().has(address.parse().unwrap()), has, "{prefix} {address}");
    }
    for (one, other, holds) in [("10.96.0.0/16", "10.96.8.0/24", true), ("10.96.8.0/24", "10.96.0.0/16", false)] {
        assert_eq!(Prefix::parse(one).unwrap().holds(&Prefix::parse(other).unwrap()), holds, "{one} {other}");
    }
    assert_eq!(Prefix::parse("10.96.0.0/33"), None);
}

#[tokio::test(start_paused = true)]
async fn a_new_range_is_held_and_ready() {
    let objects = [(&SERVICE_CIDRS, range(DEFAULT, "10.96.0.0/16")), (&SERVICE_CIDRS, range("more", "10.97.0.0/16"))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    for (name, message) in
        [(DEFAULT, "Kubernetes default Service CIDR is ready"), ("more", "Kubernetes Service CIDR is ready")]
    {
        let range = stage.api.get(&SERVICE_CIDRS, "", name).unwrap();
        assert_eq!(range["metadata"]["finalizers"], json!([FINALIZER]));
        let ready = &range["status"]["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"], &ready["message"]),
            (&json!("Ready"), &json!("True"), &json!(message))
        );
    }
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_range_stays_while_it_alone_has_an_address_in_use() {
    let service = json!({"metadata": {"namespace": "ns", "name": "s"}, "spec": {"clusterIPs": ["10.97.0.9"]}});
    let address = json!({"metadata": {"name": "10.98.0.9"}});
    let objects = [
        (&SERVICE_CIDRS, range("a", "10.96.0.0/16")),
        (&SERVICE_CIDRS, going("within", "10.96.8.0/24")),
        (&SERVICE_CIDRS, going("service", "10.97.0.0/16")),
        (&SERVICE_CIDRS, going("address", "10.98.0.0/16")),
        (&SERVICES, service),
        (&IP_ADDRESSES, json!({"metadata": {"name": "10.96.8.9"}})),
        (&IP_ADDRESSES, address),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    let held = |name: &str| {
        stage
            .api
            .get(&SERVICE_CIDRS, "", name)
            .is_some_and(|range| range["metadata"]["finalizers"] == json!([FINALIZER]))
    };
    assert!(held("within"), "let go of too early");
    stage.settle(10).await;
    assert_eq!(["a", "within", "service", "address"].map(held), [true, false, true, true]);
    let ready = &stage.api.get(&SERVICE_CIDRS, "", "service").unwrap()["status"]["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"], &ready["message"]),
        (&json!("False"), &json!("Terminating"), &json!(IN_USE))
    );
    stage.api.remove(&SERVICES, "ns", "s");
    stage.api.remove(&IP_ADDRESSES, "", "10.98.0.9");
    stage.settle(1).await;
    assert_eq!(["service", "address"].map(held), [false, false]);
}
