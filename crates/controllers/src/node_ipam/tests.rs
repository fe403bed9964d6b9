//! Cutting ranges, and giving them to nodes on the fake API server.

use super::*;
use crate::kinds::resource::NODES;
use crate::testing::Stage;
use serde_json::Value;

#[test]
fn the_first_free_part_is_given() {
    type Case = (&'static str, Option<u32>, &'static [&'static str], Option<&'static str>);
    let cases: &[Case] = &[
        ("10.244.0.0/16", None, &[], Some("10.244.0.0/24")),
        ("10.244.7.9/16", None, &["10.244.0.0/24", "10.244.2.0/24"], Some("10.244.1.0/24")),
        ("10.244.0.0/16", Some(26), &["10.244.0.0/26"], Some("10.244.0.64/26")),
        ("10.244.0.0/23", None, &["10.244.0.0/24", "10.244.1.0/24"], None),
        // A larger range taken by hand covers several parts.
        ("10.244.0.0/16", None, &["10.244.0.0/22"], Some("10.244.4.0/24")),
        ("10.244.0.0/16", None, &["fd00::/64", "nonsense"], Some("10.244.0.0/24")),
        ("fd00::/48", None, &["fd00::/64"], Some("fd00:0:0:1::/64")),
    ];
    for (cidr, part, taken, expected) in cases {
        let taken: Vec<String> = taken.iter().map(|text| (*text).to_owned()).collect();
        let first = Range::parse(cidr, *part).unwrap().free(&taken).next();
        assert_eq!(first.as_deref(), *expected, "{cidr} {taken:?}");
    }
    let taken = ["10.0.2.128/25", "10.0.0.0/24", "10.0.0.0/30"].map(str::to_owned);
    let all: Vec<String> = Range::parse("10.0.0.0/22", None).unwrap().free(&taken).collect();
    assert_eq!(all, ["10.0.1.0/24", "10.0.3.0/24"]);
    // At the end of all addresses.
    assert_eq!(Range::parse("ff00::/8", Some(10)).unwrap().free(&["ff00::/9".to_owned()]).count(), 2);
    assert_eq!(Range::parse("255.255.254.0/23", None).unwrap().free(&["255.255.255.0/24".to_owned()]).count(), 1);
    for (cidr, part) in [("10.244.0.0", None), ("10.0.0.0/33", None), ("10.244.0.0/25", None), ("::/0", Some(129))] {
        assert!(Range::parse(cidr, part).is_err(), "{cidr}");
    }
}

fn node(name: &str, cidr: Option<&str>) -> Value {
    json!({"metadata": {"name": name}, "spec": {"podCIDR": cidr}})
}

#[tokio::test(start_paused = true)]
async fn every_node_gets_a_range_of_its_own() {
    let objects = [(&NODES, node("a", Some("10.0.1.0/24"))), (&NODES, node("b", None)), (&NODES, node("c", None))];
    let stage = Stage::tuned(&[&DEF], &objects, |options| {
        options.node_ranges = vec![Range::parse("10.0.0.0/22", None).unwrap()];
    })
    .await;
    let range = |name| stage.api.get(&NODES, "", name).unwrap()["spec"]["podCIDRs"][0].clone();
    assert_eq!((range("b"), range("c")), (json!("10.0.0.0/24"), json!("10.0.2.0/24")));
    stage.api.put(&NODES, node("d", None));
    stage.api.put(&NODES, node("e", None));
    stage.settle(1).await;
    assert_eq!((range("d"), range("e")), (json!("10.0.3.0/24"), Value::Null));
    // It is told once, however often the node shows signs of life.
    for beat in 0..5 {
        stage.edit(&NODES, "", "e", |node| node["status"] = json!({"beat": beat}));
        stage.settle(10).await;
    }
    let events = stage.api.all(&crate::testing::EVENTS);
    assert_eq!(stage.events(), ["CIDRNotAvailable Node e status is now: CIDRNotAvailable"]);
    assert!(events[0]["count"].is_null() || events[0]["count"] == 1, "{events:?}");
    stage.api.remove(&NODES, "", "b");
    stage.settle(1).await;
    assert_eq!(range("e"), "10.0.0.0/24");
}
