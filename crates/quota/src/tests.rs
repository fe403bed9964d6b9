//! What objects count, as tables.

use crate::{Amounts, Subject, amounts, exceeding, pretty, requests, subtract};
use serde_json::{Value, json};

const PODS: Subject<'static> = Subject { group: "", resource: "pods" };

fn now() -> base::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn hard(names: &[&str]) -> Amounts {
    names.iter().map(|name| ((*name).to_owned(), meta::Quantity::ZERO)).collect()
}

#[test]
fn a_pod_counts_what_it_needs_at_its_worst_moment() {
    let container = |cpu: &str| json!({"name": cpu, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "2"}}});
    let mut sidecar = container("300m");
    sidecar["restartPolicy"] = json!("Always");
    let pod = json!({"spec": {
        "containers": [container("100m"), container("200m")],
        "initContainers": [sidecar, container("700m")],
        "overhead": {"cpu": "50m", "memory": "1Mi"},
    }});
    assert_eq!(pretty(&requests(&pod)), "cpu=1050m,memory=1Mi");
    assert_eq!(
        pretty(&PODS.usage(&pod, now())),
        "count/pods=1,cpu=1050m,limits.cpu=6050m,memory=1Mi,pods=1,requests.cpu=1050m,requests.memory=1Mi"
    );
}

#[test]
fn extended_resources_and_huge_pages_count_by_their_requests() {
    let requests = json!({"nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi", "kubernetes.io/x": "1"});
    let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests}}]}});
    assert_eq!(
        pretty(&PODS.usage(&pod, now())),
        "count/pods=1,hugepages-2Mi=4Mi,pods=1,requests.hugepages-2Mi=4Mi,requests.nvidia.com/gpu=2"
    );
}

#[test]
fn a_pod_that_is_over_counts_as_an_object_only() {
    let deleted = |at: &str| json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}});
    let cases: [(Value, bool); 5] = [
        (json!({"status": {"phase": "Running"}}), true),
        (json!({"status": {"phase": "Succeeded"}}), false),
        (json!({"status": {"phase": "Failed"}}), false),
        (deleted("2025-12-31T23:59:45Z"), true),
        (deleted("2025-12-31T23:59:15Z"), false),
    ];
    for (pod, counts) in cases {
        assert_eq!(PODS.usage(&pod, now()).contains_key("pods"), counts, "{pod}");
        assert!(PODS.usage(&pod, now()).contains_key("count/pods"));
    }
}

#[test]
fn services_claims_and_other_objects() {
    let cases = [
        (
            "services",
            json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}),
            "services.loadbalancers=0,services.nodeports=2",
        ),
        (
            "services",
            json!({"spec": {"type": "LoadBalancer", "ports": [{}]}}),
            "services.loadbalancers=1,services.nodeports=1",
        ),
        (
            "services",
            json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{}]}}),
            "services.loadbalancers=1,services.nodeports=0",
        ),
        ("configmaps", json!({}), "configmaps=1,count/configmaps=1"),
        (
            "persistentvolumeclaims",
            json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1500m"}}}}),
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             fast.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2",
        ),
    ];
    for (resource, object, wanted) in cases {
        let used = pretty(&Subject { group: "", resource }.usage(&object, now()));
        let missing: Vec<&str> =
            wanted.split(',').filter(|part| !used.split(',').any(|it| it == part.trim())).collect();
        assert!(missing.is_empty(), "{resource}: {used} lacks {missing:?}");
    }
    let deployments = Subject { group: "apps", resource: "deployments" };
    assert_eq!(pretty(&deployments.usage(&json!({}), now())), "count/deployments.apps=1");
}

#[test]
fn names_say_whose_they_are() {
    let cases = [
        ("pods", Some(("", "pods"))),
        ("requests.nvidia.com/gpu", Some(("", "pods"))),
        ("requests.storage", Some(("", "persistentvolumeclaims"))),
        ("gold.storageclass.storage.k8s.io/requests.storage", Some(("", "persistentvolumeclaims"))),
        ("services.nodeports", Some(("", "services"))),
        ("count/widgets.example.com", Some(("example.com", "widgets"))),
        ("count/secrets", Some(("", "secrets"))),
        ("nonsense", None),
    ];
    for (name, wanted) in cases {
        assert_eq!(Subject::of_name(name).map(|it| (it.group, it.resource)), wanted, "{name}");
    }
}

#[test]
fn scopes_choose_pods() {
    let plain = json!({"spec": {"containers": [{"name": "a"}]}});
    let mut urgent = plain.clone();
    urgent["spec"]["priorityClassName"] = json!("high");
    let mut brief = plain.clone();
    brief["spec"]["activeDeadlineSeconds"] = json!(5);
    let mut sized = plain.clone();
    sized["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    let mut crossing = plain.clone();
    crossing["spec"]["affinity"] = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"namespaceSelector": {}, "topologyKey": "zone"}]}});
    let pods = [&plain, &urgent, &brief, &sized, &crossing];
    let by = |operator: &str, values: Value| {
        json!({"spec": {"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": operator, "values": values}]}}})
    };
    let cases = [
        (json!({"spec": {"scopes": ["Terminating"]}}), [false, false, true, false, false]),
        (json!({"spec": {"scopes": ["NotTerminating"]}}), [true, true, false, true, true]),
        (json!({"spec": {"scopes": ["BestEffort"]}}), [true, true, true, false, true]),
        (json!({"spec": {"scopes": ["NotBestEffort", "NotTerminating"]}}), [false, false, false, true, false]),
        (json!({"spec": {"scopes": ["CrossNamespacePodAffinity"]}}), [false, false, false, false, true]),
        (by("In", json!(["high"])), [false, true, false, false, false]),
        (by("NotIn", json!(["high"])), [true, false, true, true, true]),
        (by("Exists", json!([])), [false, true, false, false, false]),
    ];
    for (quota, wanted) in cases {
        let seen = pods.map(|pod| PODS.is_seen_by(&quota, &hard(&["pods"]), pod));
        assert_eq!(seen, wanted, "{quota}");
    }
    let secrets = Subject { group: "", resource: "secrets" };
    let scoped = json!({"spec": {"scopes": ["BestEffort"]}});
    assert!(!secrets.is_seen_by(&scoped, &hard(&["secrets"]), &json!({})));
    assert!(!PODS.is_seen_by(&json!({}), &hard(&["secrets"]), &plain));
}

#[test]
fn containers_must_state_what_is_limited() {
    let pod = json!({"spec": {"containers": [
        {"name": "b", "resources": {"requests": {"cpu": "1"}}}, {"name": "a", "resources": {"limits": {"memory": "1"}}}]}});
    let told = PODS.unstated(&pod, &hard(&["requests.cpu", "limits.memory", "pods", "limits.ephemeral-storage"]));
    assert_eq!(told.unwrap(), "must specify limits.memory for: b; requests.cpu for: a");
    assert_eq!(PODS.unstated(&pod, &hard(&["pods"])), None);
}

#[test]
fn sums_and_differences() {
    let of = |value: Value| amounts(&value);
    let rest = subtract(&of(json!({"a": "3", "b": "1"})), &of(json!({"a": "1", "b": "2", "c": "9"})));
    assert_eq!(pretty(&rest), "a=2,b=0");
    assert_eq!(pretty(&exceeding(&of(json!({"a": "2", "b": 1})), &of(json!({"a": "1", "c": "0"})))), "a=2");
}
