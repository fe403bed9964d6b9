//! Slices of Services and of hand-made Endpoints on the fake API server.

use super::*;
use crate::kinds::resource::{ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES};
use crate::testing::Stage;
use serde_json::json;
use std::collections::BTreeSet;

fn service() -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web", "labels": {"team": "a"}, "uid": "svc-web"},
        "spec": {
            "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"protocol": "TCP", "port": 80}],
        },
    })
}

fn pod(number: usize, ready: bool) -> Value {
    let ip = format!("10.0.{}.{}", number / 250, number % 250);
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": {"namespace": "ns", "name": format!("p{number}"), "uid": format!("pod-{number}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": status}]},
    })
}

fn slices(stage: &Stage) -> Vec<Slice> {
    stage.api.all(&ENDPOINT_SLICES).into_iter().map(|slice| serde_json::from_value(slice).unwrap()).collect()
}

fn sizes(stage: &Stage) -> Vec<usize> {
    let mut sizes: Vec<_> = slices(stage).iter().map(|slice| slice.endpoints.len()).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_told_with_its_state_and_place() {
    let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}});
    let stage = Stage::new(&DEF, &[(&SERVICES, service()), (&NODES, node), (&PODS, pod(1, true))]).await;
    let made = &stage.api.all(&ENDPOINT_SLICES)[0];
    let labels = json!({
        "team": "a", "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    assert_eq!(made["metadata"]["labels"], labels);
    assert!(made["metadata"]["name"].as_str().unwrap().starts_with("web-"));
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "svc-web");
    assert_eq!(made["ports"], json!([{"name": "", "protocol": "TCP", "port": 80}]));
    let endpoint = json!({
        "addresses": ["10.0.0.1"], "nodeName": "n1", "zone": "z1",
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "targetRef": {"kind": "Pod", "namespace": "ns", "name": "p1", "uid": "pod-1"},
    });
    assert_eq!(made["endpoints"], json!([endpoint]));
    stage.edit(&PODS, "ns", "p1", |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    stage.settle(1).await;
    let conditions = &stage.api.all(&ENDPOINT_SLICES)[0]["endpoints"][0]["conditions"];
    assert_eq!(conditions, &json!({"ready": false, "serving": true, "terminating": true}));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_without_pods_has_one_empty_slice() {
    let stage = Stage::new(&DEF, &[(&SERVICES, service())]).await;
    assert_eq!(sizes(&stage), [0]);
    stage.writes();
    stage.api.put(&PODS, pod(1, true));
    stage.settle(2).await;
    assert_eq!(sizes(&stage), [1]);
    let log = stage.writes();
    assert!(log.len() == 1 && log[0].starts_with("update"), "the empty slice is filled: {log:?}");
    stage.api.remove(&PODS, "ns", "p1");
    stage.settle(2).await;
    assert_eq!(sizes(&stage), [0]);
}

#[tokio::test(start_paused = true)]
async fn slices_hold_a_hundred_and_few_change_at_once() {
    let stage = Stage::new(&DEF, &[]).await;
    (0..250).for_each(|number| drop(stage.api.put(&PODS, pod(number, true))));
    stage.api.put(&SERVICES, service());
    stage.settle(1).await;
    assert_eq!(sizes(&stage), [50, 100, 100]);
    stage.writes();
    stage.api.put(&PODS, pod(300, true));
    stage.settle(1).await;
    assert_eq!(stage.writes().len(), 1, "one new pod changes one slice");
    (0..150).for_each(|number| stage.api.remove(&PODS, "ns", &format!("p{number}")));
    stage.settle(5).await;
    let total: usize = sizes(&stage).iter().sum();
    assert_eq!(total, 101);
    // All state changes of one moment are one write per slice.
    stage.writes();
    (150..250).for_each(|number| drop(stage.api.put(&PODS, pod(number, false))));
    stage.settle(5).await;
    assert!(
        slices(&stage).iter().flat_map(|slice| &slice.endpoints).filter(|it| it.conditions.ready == Some(true)).count()
            == 1
    );
}

#[tokio::test(start_paused = true)]
async fn two_families_have_slices_of_their_own() {
    let mut dual = service();
    dual["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    let mut both = pod(1, true);
    both["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    let stage = Stage::new(&DEF, &[(&SERVICES, dual), (&PODS, both)]).await;
    let mut told: Vec<_> =
        slices(&stage).iter().map(|it| format!("{} {}", it.address_type, it.endpoints[0].addresses[0])).collect();
    told.sort();
    assert_eq!(told, ["IPv4 10.0.0.1", "IPv6 fd00::1"]);
}

#[tokio::test(start_paused = true)]
async fn a_forged_slice_is_repaired_and_foreign_ones_stay() {
    let foreign = json!({
        "metadata": {"namespace": "ns", "name": "mine", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["9.9.9.9"]}], "ports": [],
    });
    let stage = Stage::new(&DEF, &[(&SERVICES, service()), (&PODS, pod(1, true)), (&ENDPOINT_SLICES, foreign)]).await;
    let name = slices(&stage).iter().map(|it| it.metadata.name.clone()).find(|name| name != "mine").unwrap();
    stage.edit(&ENDPOINT_SLICES, "ns", &name, |slice| slice["endpoints"][0]["addresses"] = json!(["6.6.6.6"]));
    stage.settle(2).await;
    let addresses: Vec<_> = slices(&stage).iter().map(|it| it.endpoints[0].addresses[0].clone()).collect();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.contains(&"9.9.9.9".to_owned()) && addresses.contains(&"10.0.0.1".to_owned()), "{addresses:?}");
}

#[tokio::test(start_paused = true)]
async fn traffic_that_is_to_stay_near_is_hinted() {
    let mut near = service();
    near["spec"]["trafficDistribution"] = json!("PreferSameZone");
    let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}});
    let stage = Stage::new(&DEF, &[(&SERVICES, near), (&NODES, node), (&PODS, pod(1, true))]).await;
    assert_eq!(stage.api.all(&ENDPOINT_SLICES)[0]["endpoints"][0]["hints"], json!({"forZones": [{"name": "z1"}]}));
}

#[tokio::test(start_paused = true)]
async fn hand_made_endpoints_are_mirrored() {
    let mut bare = service();
    bare["spec"]["selector"] = Value::Null;
    let ports = json!([{"port": 80, "protocol": "TCP"}]);
    let subset = json!({"addresses": [{"ip": "1.2.3.4"}, {"ip": "nonsense"}], "notReadyAddresses": [{"ip": "fd00::2"}], "ports": ports});
    let hand = json!({"metadata": {"namespace": "ns", "name": "web", "uid": "ep"}, "subsets": [subset]});
    let stage = Stage::new(&MIRRORING, &[(&SERVICES, bare), (&ENDPOINTS, hand)]).await;
    let mut told: Vec<_> = slices(&stage)
        .iter()
        .map(|it| {
            format!("{} {} {:?}", it.address_type, it.endpoints[0].addresses[0], it.endpoints[0].conditions.ready)
        })
        .collect();
    told.sort();
    assert_eq!(told, ["IPv4 1.2.3.4 Some(true)", "IPv6 fd00::2 Some(false)"]);
    assert_eq!(stage.events(), ["InvalidIPAddress Skipped 1 invalid IP addresses when mirroring to EndpointSlices"]);
    stage.edit(&ENDPOINTS, "ns", "web", |it| {
        it["metadata"]["labels"] = json!({"endpointslice.kubernetes.io/skip-mirror": "true"})
    });
    stage.settle(2).await;
    assert!(slices(&stage).is_empty());
}

fn zoned(name: &str, zone: &str, cpu: &str) -> Value {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
           "status": {"conditions": ready, "allocatable": {"cpu": cpu}}})
}

/// How many endpoints are meant for each zone.
fn hinted(stage: &Stage) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for endpoint in slices(stage).iter().flat_map(|slice| &slice.endpoints) {
        let zone = endpoint.hints.as_ref().map_or("", |hints| &hints.for_zones[0].name);
        *zones.entry(zone.to_owned()).or_default() += 1;
    }
    zones
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_shared_out_by_what_zones_have() {
    let mut auto = service();
    auto["metadata"]["annotations"] = json!({"service.kubernetes.io/topology-mode": "Auto"});
    let stage = Stage::new(&DEF, &[(&SERVICES, auto), (&NODES, zoned("n1", "a", "4"))]).await;
    // Two thirds of the CPU, but all of the pods.
    (0..6).for_each(|number| drop(stage.api.put(&PODS, pod(number, true))));
    stage.settle(2).await;
    assert_eq!(hinted(&stage), BTreeMap::from([(String::new(), 6)]));
    stage.api.put(&NODES, zoned("n2", "b", "2"));
    stage.settle(2).await;
    let shared = BTreeMap::from([("a".to_owned(), 4), ("b".to_owned(), 2)]);
    assert_eq!(hinted(&stage), shared);
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
    // A zone that gets a little less than its share is left as it is.
    stage.edit(&NODES, "", "n2", |node| node["status"]["allocatable"]["cpu"] = json!("2300m"));
    stage.settle(2).await;
    assert_eq!((hinted(&stage), stage.writes().len()), (shared, 0));
    stage.edit(&SERVICES, "ns", "web", |it| it["metadata"]["annotations"] = json!({}));
    stage.settle(2).await;
    assert_eq!(hinted(&stage), BTreeMap::from([(String::new(), 6)]));
    let insufficient = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
    let told: BTreeSet<String> = stage.events().into_iter().collect();
    let wanted = [
        format!("TopologyAwareHintsDisabled {insufficient}, addressType: IPv4"),
        "TopologyAwareHintsEnabled Topology Aware Hints has been enabled, addressType: IPv4".to_owned(),
        "TopologyAwareHintsDisabled Topology Aware Hints has been disabled, addressType: IPv4".to_owned(),
    ];
    assert_eq!(told, BTreeSet::from(wanted));
}

#[test]
fn shares_keep_to_the_threshold() {
    let endpoint = |number: usize, zone: &str| Endpoint {
        addresses: vec![format!("10.0.0.{number}")],
        conditions: Conditions { ready: Some(true), ..Conditions::default() },
        zone: Some(zone.to_owned()).filter(|zone| !zone.is_empty()),
        ..Endpoint::default()
    };
    let even = [("a", 1.0 / 3.0), ("b", 1.0 / 3.0), ("c", 1.0 / 3.0)];
    let few = "Insufficient number of endpoints (2 endpoints, 3 zones)";
    let over = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                (4 endpoints, 3 zones)";
    let bare = "One or more endpoints do not have a zone specified";
    type Case<'c> = (&'c [(&'c str, f64)], &'c str, Result<[usize; 3], &'c str>);
    let cases: &[Case<'_>] = &[
        (&even, "aabbcc", Ok([2, 2, 2])),
        (&even, "aaaaaa", Ok([2, 2, 2])),
        (&even, "ccc", Ok([1, 1, 1])),
        (&even, "abcabca", Ok([3, 2, 2])),
        (&even, "ab", Err(few)),
        (&[("a", 0.5), ("b", 0.25), ("c", 0.25)], "aabbccab", Ok([4, 2, 2])),
        (&even, "aabb", Err(over)),
        (&even, "aabbc-", Err(bare)),
    ];
    for (shares, zones, wanted) in cases {
        let shares: topology::Shares = shares.iter().map(|(zone, share)| ((*zone).to_owned(), *share)).collect();
        let zones = zones.chars().map(|zone| zone.to_string().replace('-', ""));
        let mut endpoints: Vec<Endpoint> = zones.enumerate().map(|(number, zone)| endpoint(number, &zone)).collect();
        let mut all: Vec<&mut Endpoint> = endpoints.iter_mut().collect();
        let outcome = topology::hint(&mut all, Some(&shares), &BTreeMap::new());
        let count = |zone: &str| {
            let hints = endpoints.iter().filter_map(|endpoint| endpoint.hints.as_ref());
            hints.filter(|hints| hints.for_zones[0].name == zone).count()
        };
        let found = outcome.map(|()| ["a", "b", "c"].map(count));
        assert_eq!(found.as_ref().map_err(String::as_str), wanted.as_ref().map_err(|why| *why), "{shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn mirrored_slices_hold_a_subset_and_say_what_it_says() {
    let mut bare = service();
    bare["spec"]["selector"] = Value::Null;
    let address = |number: usize| json!({"ip": format!("10.1.{}.{}", number / 250, number % 250)});
    let addresses: Vec<Value> = (0..1002).map(address).collect();
    let annotations = json!({"mine": "yes", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let hand = json!({"metadata": {"namespace": "ns", "name": "web", "uid": "ep", "annotations": annotations},
                      "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    let stage = Stage::new(&MIRRORING, &[(&SERVICES, bare), (&ENDPOINTS, hand)]).await;
    stage.settle(2).await;
    assert_eq!(sizes(&stage), [1000]);
    let made = &stage.api.all(&ENDPOINT_SLICES)[0];
    assert_eq!(made["metadata"]["annotations"], json!({"mine": "yes"}));
    assert_eq!(made["endpoints"][0]["conditions"], json!({"ready": true}));
    let words =
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped";
    assert_eq!(stage.events(), [format!("TooManyAddressesToMirror {words}")]);
    stage.writes();
    stage.edit(&ENDPOINTS, "ns", "web", |it| it["metadata"]["annotations"] = json!({"mine": "no"}));
    stage.settle(2).await;
    assert_eq!(stage.writes().len(), 1);
    assert_eq!(stage.api.all(&ENDPOINT_SLICES)[0]["metadata"]["annotations"], json!({"mine": "no"}));
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}
