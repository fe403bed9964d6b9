//! Which nodes take pods with claims, what the claims get, and that nobody gets what another has.

use super::*;
use crate::cluster::Cluster;
use crate::config::Args;
use crate::fixture::{Fixture, node, pod};
use base::Rng;

const ONE: &str = "0/1 nodes are available: ";

fn class(name: &str, expression: &str) -> Value {
    json!({"kind": "DeviceClass", "metadata": {"name": name},
           "spec": {"selectors": [{"cel": {"expression": expression}}]}})
}

/// All devices of the driver.
fn any() -> Value {
    class("any", "device.driver == 'a.example.com'")
}

fn slice(name: &str, nodes: &Value, devices: &[Value]) -> Value {
    let mut slice = json!({"kind": "ResourceSlice", "metadata": {"name": name}, "spec": {
        "driver": "a.example.com", "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
        "devices": devices}});
    slice["spec"].as_object_mut().unwrap().extend(nodes.as_object().unwrap().clone());
    slice
}

fn on(node: &str) -> Value {
    json!({"nodeName": node})
}

fn device(name: &str) -> Value {
    json!({"name": name})
}

fn claim(name: &str, requests: Value) -> Value {
    json!({"kind": "ResourceClaim", "metadata": {"name": name, "namespace": "d", "uid": format!("uid-{name}")},
           "spec": {"devices": {"requests": requests}}})
}

/// One request for so many of a class.
fn some(name: &str, count: usize) -> Value {
    claim(
        name,
        json!([{"name": "r", "exactly":
        {"deviceClassName": "any", "allocationMode": "ExactCount", "count": count}}]),
    )
}

fn using(claims: &[&str]) -> Value {
    let claims: Vec<Value> = claims.iter().map(|name| json!({"name": name, "resourceClaimName": name})).collect();
    json!({"metadata": {"name": "p"}, "spec": {"resourceClaims": claims}})
}

/// What a pod's claims get on a node, as `claim: request=device …`, or why they get nothing.
fn reserved(cluster: &Cluster, pod: &PodItem, node: &Node) -> Result<Vec<String>, String> {
    let args = Args::default();
    let reservations = reserve(&Case::new(pod, &args, cluster), node).map_err(|why| why.reasons.join(", "))?;
    let shown = |one: &Reservation| {
        let picks = one.given.iter().flat_map(|given| &given.picks);
        let picks: Vec<String> = picks.map(|pick| format!("{}={}", pick.request, pick.id.device)).collect();
        format!("{}: {}", one.key.name(), picks.join(" "))
    };
    Ok(reservations.iter().map(shown).collect())
}

async fn verdict(objects: &[Value], pod: &Value) -> String {
    let mut all = vec![any(), node("n1", json!({"zone": "a"}))];
    all.extend(objects.iter().cloned());
    Fixture::new(&all).await.verdict(pod)
}

#[tokio::test]
async fn pods_wait_for_their_claims() {
    let own = |status: Value| {
        json!({"metadata": {"name": "p"}, "status": status,
               "spec": {"resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}]}})
    };
    let made = json!({"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "p-c-1"}]});
    let mut going = some("going", 1);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (objects, pod, wanted) in [
        (vec![], own(json!({})), "pod \"d/p\": ResourceClaim not created yet."),
        (vec![], own(made.clone()), "resourceclaim.resource.k8s.io \"p-c-1\" not found."),
        (vec![some("p-c-1", 1)], own(made), "ResourceClaim d/p-c-1 was not created for pod d/p (pod is not owner)."),
        (vec![], using(&["none"]), "resourceclaim.resource.k8s.io \"none\" not found."),
        (vec![going], using(&["going"]), "resourceclaim \"going\" is being deleted."),
        (
            vec![claim("c", json!([{"name": "r", "exactly": {"deviceClassName": "none", "count": 1}}]))],
            using(&["c"]),
            "request r: device class none does not exist.",
        ),
        (vec![some("c", 1)], using(&["c"]), "1 cannot allocate all claims."),
    ] {
        assert_eq!(verdict(&objects, &pod).await, format!("{ONE}{wanted}"));
    }
    let unneeded = json!({"resourceClaimStatuses": [{"name": "c"}]});
    assert_eq!(verdict(&[], &own(unneeded)).await, "n1");
}

#[tokio::test]
async fn nodes_must_have_the_devices() {
    let allocated = |nodes: Value| {
        let mut claim = some("c", 1);
        claim["status"] = json!({"allocation": {"devices": {"results": []}, "nodeSelector": nodes}});
        claim
    };
    let zone = |name: &str| json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [name]}]}]);
    let selected = |name: &str| json!({"nodeSelector": {"nodeSelectorTerms": zone(name)}});
    let two = [device("d1"), device("d2")];
    let with = |more: Value| {
        let mut device = device("d1");
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        slice("s", &on("n1"), &[device])
    };
    let mut outdated = slice("old", &on("n1"), &two);
    outdated["spec"]["pool"]["name"] = json!("s");
    let mut newer = slice("new", &on("n2"), &two);
    newer["spec"]["pool"] = json!({"name": "s", "generation": 2, "resourceSliceCount": 1});
    let mut incomplete = slice("s", &on("n1"), &two);
    incomplete["spec"]["pool"]["resourceSliceCount"] = json!(2);
    let tolerating = claim(
        "c",
        json!([{"name": "r", "exactly": {"deviceClassName": "any", "count": 1,
        "allocationMode": "ExactCount", "tolerations": [{"key": "k", "operator": "Exists"}]}}]),
    );
    let taint = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
    let rule = json!({"kind": "DeviceTaintRule", "metadata": {"name": "t"}, "spec":
        {"deviceSelector": {"device": "d1"}, "taint": {"key": "k", "effect": "NoExecute"}}});
    for (objects, takes) in [
        (vec![some("c", 2), slice("s", &on("n1"), &two)], true),
        (vec![some("c", 3), slice("s", &on("n1"), &two)], false),
        (vec![some("c", 1), slice("s", &on("n2"), &two)], false),
        (vec![some("c", 1), slice("s", &selected("a"), &two)], true),
        (vec![some("c", 1), slice("s", &selected("b"), &two)], false),
        (vec![some("c", 1), slice("s", &json!({"allNodes": true}), &two)], true),
        (vec![some("c", 1), outdated, newer], false),
        (vec![some("c", 1), incomplete], false),
        (vec![some("c", 1), with(taint.clone())], false),
        (vec![tolerating, with(taint)], true),
        (vec![some("c", 1), with(json!({})), rule], false),
        (vec![some("c", 1), with(json!({"bindingConditions": ["ready"]}))], false),
    ] {
        let wanted = if takes { "n1".to_owned() } else { format!("{ONE}1 cannot allocate all claims.") };
        assert_eq!(verdict(&objects, &using(&["c"])).await, wanted, "{objects:?}");
    }
    let nodes = |name: &str| json!({"nodeSelectorTerms": zone(name)});
    assert_eq!(verdict(&[allocated(nodes("a"))], &using(&["c"])).await, "n1");
    let refused = format!("{ONE}1 resourceclaim not available on the node.");
    assert_eq!(verdict(&[allocated(nodes("b"))], &using(&["c"])).await, refused);
}

#[tokio::test]
async fn requests_and_constraints_decide_what_is_given() {
    let gpu = |name: &str, size: i64, numa: i64| {
        json!({"name": name, "attributes": {"size": {"int": size}, "numa": {"int": numa}},
               "capacity": {"memory": {"value": format!("{size}Gi")}}})
    };
    let devices = [gpu("small-0", 1, 0), gpu("small-1", 1, 1), gpu("big-1", 4, 1), gpu("big-2", 4, 2)];
    let sized =
        |size: i64| json!([{"cel": {"expression": format!("device.attributes['a.example.com'].size == {size}")}}]);
    let of = |size: i64, count: usize| json!({"deviceClassName": "any", "allocationMode": "ExactCount", "count": count, "selectors": sized(size)});
    let all = json!({"deviceClassName": "any", "allocationMode": "All", "selectors": sized(4)});
    let mut together = claim("c", json!([{"name": "a", "exactly": of(1, 1)}, {"name": "b", "exactly": of(4, 1)}]));
    together["spec"]["devices"]["constraints"] = json!([{"matchAttribute": "a.example.com/numa"}]);
    let mut apart = claim("c", json!([{"name": "a", "exactly": of(1, 2)}]));
    apart["spec"]["devices"]["constraints"] = json!([{"requests": ["a"], "matchAttribute": "a.example.com/numa"}]);
    let named = |name: &str, mut one: Value| {
        one["name"] = json!(name);
        one
    };
    let choice = |first: usize| {
        claim("c", json!([{"name": "a", "firstAvailable": [named("big", of(4, first)), named("small", of(1, 1))]}]))
    };
    let mut admin = of(4, 1);
    admin["adminAccess"] = json!(true);
    let twice = claim("c", json!([{"name": "a", "exactly": of(4, 2)}, {"name": "b", "exactly": admin}]));
    for (claim, wanted) in [
        (claim("c", json!([{"name": "a", "exactly": of(4, 1)}])), Some("c: a=big-1")),
        (claim("c", json!([{"name": "a", "exactly": all}])), Some("c: a=big-1 a=big-2")),
        (together, Some("c: a=small-1 b=big-1")),
        (apart, None),
        (choice(2), Some("c: a/big=big-1 a/big=big-2")),
        (choice(3), Some("c: a/small=small-0")),
        // All of them are in use in the same claim.
        (twice, None),
    ] {
        let slice = slice("s", &json!({"allNodes": true}), &devices);
        let fixture = Fixture::new(&[any(), slice, claim.clone()]).await;
        let got = reserved(&fixture.cluster, &pod(&using(&["c"])), &Node::new(0, "n1"));
        let wanted = wanted.map(|text| vec![text.to_owned()]).ok_or_else(|| NO_DEVICES.to_owned());
        assert_eq!(got, wanted, "{claim}");
    }
}

#[tokio::test]
async fn counters_run_out() {
    let part = |name: &str, amount: &str| json!({"name": name, "consumesCounters": [{"counterSet": "gpu", "counters": {"memory": {"value": amount}}}]});
    let pool = json!({"name": "s", "generation": 1, "resourceSliceCount": 2});
    let mut parts = slice("s", &on("n1"), &[part("whole", "8Gi"), part("half-a", "4Gi"), part("half-b", "4Gi")]);
    parts["spec"]["pool"] = pool.clone();
    let mut counters = slice("s-counters", &on("n1"), &[]);
    counters["spec"]["pool"] = pool;
    counters["spec"]["sharedCounters"] = json!([{"name": "gpu", "counters": {"memory": {"value": "8Gi"}}}]);
    let half = |name: &str| {
        let mut claim = some(name, 1);
        claim["spec"]["devices"]["requests"][0]["exactly"]["selectors"] =
            json!([{"cel": {"expression": "!has(device.attributes['a.example.com'].none)"}}]);
        claim
    };
    let objects = [any(), parts, counters, some("two", 2), half("one"), half("another")];
    let fixture = Fixture::new(&objects).await;
    let node = Node::new(0, "n1");
    let ask = |name: &str| reserved(&fixture.cluster, &pod(&using(&[name])), &node);
    // Whoever wants two gets the halves, though the whole comes first; then nothing is left.
    assert_eq!(ask("two").unwrap(), ["two: r=half-a r=half-b"]);
    assert_eq!(ask("one").unwrap_err(), NO_DEVICES);
    fixture.cluster.assumed().devices.clear();
    assert_eq!(ask("one").unwrap(), ["one: r=whole"]);
    assert_eq!(ask("another").unwrap_err(), NO_DEVICES);
}

#[tokio::test]
async fn failing_selectors_are_told() {
    let objects = [
        class("bad", "device.attributes['x'].y == 1"),
        slice("s", &on("n1"), &[device("d")]),
        claim(
            "c",
            json!([{"name": "r", "exactly": {"deviceClassName": "bad", "count": 1, "allocationMode": "ExactCount"}}]),
        ),
    ];
    let told = verdict(&objects, &using(&["c"])).await;
    let wanted = "1 class bad: selector #0 on device a.example.com/s/d: CEL runtime error: no such key: y. Consider using \
                  CEL optional chaining (?), has() macro, or orValue() for optional fields.";
    assert_eq!(told, format!("{ONE}{wanted}"));
}

#[tokio::test]
async fn claims_say_what_they_were_given() {
    let mut class = any();
    class["spec"]["config"] = json!([{"opaque": {"driver": "a.example.com", "parameters": {"mode": "fast"}}}]);
    let mut wanted = some("c", 1);
    wanted["spec"]["devices"]["config"] =
        json!([{"requests": ["r"], "opaque": {"driver": "a.example.com", "parameters": {"x": 1}}}]);
    wanted["spec"]["devices"]["requests"][0]["exactly"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    let fixture = Fixture::new(&[class.clone(), slice("s", &on("n1"), &[device("d")]), wanted.clone()]).await;
    let (args, pod) = (Args::default(), pod(&using(&["c"])));
    let reservations = reserve(&Case::new(&pod, &args, &fixture.cluster), &Node::new(0, "n1")).unwrap();
    let given = reservations[0].given.as_ref().unwrap();
    let told = allocation(given, &wanted, |name| (name == "any").then(|| class.clone()));
    let expected = json!({
        "devices": {
            "results": [{"request": "r", "driver": "a.example.com", "pool": "s", "device": "d",
                         "tolerations": [{"key": "k", "operator": "Exists"}]}],
            "config": [{"source": "FromClass", "opaque": class["spec"]["config"][0]["opaque"]},
                       {"source": "FromClaim", "opaque": wanted["spec"]["devices"]["config"][0]["opaque"],}],
        },
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields":
            [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]},
    });
    assert_eq!(told, expected);
}

/// Random claims on random nodes, decided one after the other while nothing has been written yet: no
/// device goes to two of them, and what was refused could not have been given.
#[tokio::test]
async fn no_device_goes_to_two_claims() {
    for seed in 0..20 {
        let rng = Rng::seeded(seed);
        let count = |limit: usize| rng.usize(1..limit + 1);
        let mut objects = vec![any()];
        let nodes: Vec<Node> = (0..3).map(|at| Node::new(at, &format!("n{at}"))).collect();
        let mut total = 0;
        for (at, node) in nodes.iter().enumerate() {
            let devices: Vec<Value> = (0..count(5)).map(|number| device(&format!("d{number}"))).collect();
            let everywhere = json!({"allNodes": true});
            let nodes = if rng.usize(0..3) == 0 { everywhere } else { on(&node.name) };
            total += devices.len();
            objects.push(slice(&format!("s{at}"), &nodes, &devices));
        }
        let claims: Vec<(String, usize)> = (0..12).map(|number| (format!("c{number}"), count(3))).collect();
        objects.extend(claims.iter().map(|(name, count)| some(name, *count)));
        let fixture = Fixture::new(&objects).await;
        let (mut given, mut has_refused) = (BTreeSet::new(), false);
        for (name, count) in &claims {
            let (pod, node) = (pod(&using(&[name])), &nodes[rng.usize(0..3)]);
            let (args, cluster) = (Args::default(), &fixture.cluster);
            let Ok(reservations) = reserve(&Case::new(&pod, &args, cluster), node) else {
                has_refused = true;
                continue;
            };
            let picks = &reservations[0].given.as_ref().unwrap().picks;
            assert_eq!(picks.len(), *count, "seed {seed}");
            for pick in picks {
                assert!(given.insert(pick.id.clone()), "seed {seed}: {} goes to {name} as well", pick.id);
            }
            // A claim that is being allocated is not decided on again.
            assert!(reserved(cluster, &pod, node).unwrap_err().contains("is in the process of being allocated"));
        }
        assert!(has_refused || given.len() <= total);
        assert!(!given.is_empty(), "seed {seed}");
    }
}
