//! Autoscalers over fake scales and metrics; the counting alone, case by case.

use super::calculate::{Calculator, Proposal, Reading, Readings, Tolerances};
use super::normalize::History;
use super::object::{Behavior, Pod};
use super::*;
use crate::kinds::resource::{DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS};
use crate::testing::Stage;
use client::Error;
use meta::{GroupVersionResource, Status};
use serde_json::{Value, json};

const METRICS: GroupVersionResource = GroupVersionResource::of("metrics.k8s.io", "v1beta1", "pods");
const NOW: &str = "2026-01-01T01:00:00Z";

/// A pod as one letter: ready, unready since it began, unready after having worked, pending, failed,
/// going, just begun.
fn pod(at: usize, state: char, request: &str) -> Value {
    let (phase, ready, since) = match state {
        'u' => ("Running", "False", "2026-01-01T00:00:10Z"),
        'w' => ("Running", "False", "2026-01-01T00:30:00Z"),
        'p' => ("Pending", "False", "2026-01-01T00:00:00Z"),
        'f' => ("Failed", "False", "2026-01-01T00:00:00Z"),
        _ => ("Running", "True", "2026-01-01T00:00:10Z"),
    };
    let start = if state == 'b' { "2026-01-01T00:59:00Z" } else { "2026-01-01T00:00:00Z" };
    let since = if state == 'b' { "2026-01-01T00:59:55Z" } else { since };
    let mut pod = json!({
        "metadata": {"namespace": "ns", "name": format!("p{at}"), "uid": format!("p{at}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"requests": {"cpu": request}}}]},
        "status": {"phase": phase, "startTime": start,
                   "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}]},
    });
    if state == 'd' {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    }
    pod
}

fn pods(states: &str, request: &str) -> Vec<Pod> {
    let pods = states.chars().enumerate().map(|(at, state)| pod(at, state, request));
    pods.map(|pod| serde_json::from_value(pod).unwrap()).collect()
}

/// Values by pod; None: nothing was measured.
fn readings(values: &[Option<i64>]) -> Readings {
    let (at, window) = (NOW.parse().unwrap(), SignedDuration::from_secs(15));
    let named = values.iter().enumerate().filter_map(|(pod, value)| Some((format!("p{pod}"), (*value)?)));
    named.map(|(pod, value)| (pod, Reading { value, at, window })).collect()
}

fn calculator(pods: &[Pod]) -> Calculator<'_> {
    Calculator { namespace: "ns", pods, tolerances: Tolerances::of(None), now: NOW.parse().unwrap() }
}

#[test]
fn percentages_of_requests_are_met() {
    let some = |values: &[i64]| values.iter().copied().map(Some).collect::<Vec<_>>();
    let with_gaps = |values: &[i64]| values.iter().map(|value| (*value >= 0).then_some(*value)).collect::<Vec<_>>();
    // Pods' states, readings (request 1 CPU each), target percentage, wanted count.
    let cases = [
        ("more", "rrr", some(&[300, 500, 700]), 30, 5),
        ("less", "rrrrr", some(&[100, 300, 500, 250, 250]), 50, 3),
        ("enough", "rrr", some(&[1010, 1030, 1020]), 100, 3),
        ("just outside", "rrr", some(&[1110, 1110, 1110]), 100, 4),
        ("unready pods dampen growth", "ruu", some(&[800, 500, 700]), 30, 3),
        ("unready pods are left out of shrinking", "rruu", some(&[100, 100, 500, 700]), 50, 1),
        ("one that worked before counts", "rrw", some(&[500, 500, 500]), 25, 6),
        ("one that has just begun does not", "rrb", some(&[500, 500, 500]), 50, 3),
        ("pending pods dampen growth", "rpp", with_gaps(&[900, -1, -1]), 30, 3),
        ("failed and leaving pods do not count", "rrfd", some(&[500, 700, 10, 10]), 50, 3),
        ("missing ones are idle when growing", "rrrr", with_gaps(&[900, 950, -1, -1]), 50, 4),
        ("missing ones hold when shrinking", "rrrr", with_gaps(&[100, 100, -1, -1]), 60, 4),
        ("a change that would turn is none", "rrr", with_gaps(&[600, -1, -1]), 50, 3),
        ("even with a gap", "rrr", with_gaps(&[500, 500, -1]), 50, 3),
    ];
    for (name, states, values, target, wanted) in cases {
        let pods = pods(states, "1");
        let current = i32::try_from(pods.len()).unwrap();
        let found = calculator(&pods).by_utilization(readings(&values), ("", "cpu"), current, target).unwrap();
        assert_eq!(found.replicas, wanted, "{name}");
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let one = readings(&[Some(100)]);
    let none = pods("", "1");
    let error = calculator(&none).by_utilization(one.clone(), ("", "cpu"), 1, 50).unwrap_err();
    assert_eq!(error, "no pods returned by selector while calculating replica count");
    let starting = pods("p", "1");
    let error = calculator(&starting).by_utilization(one.clone(), ("", "cpu"), 1, 50).unwrap_err();
    assert_eq!(error, "did not receive metrics for targeted pods (pods might be unready)");
    let ready = pods("r", "1");
    let error = calculator(&ready).by_utilization(one.clone(), ("", "memory"), 1, 50).unwrap_err();
    assert_eq!(error, "missing request for memory in container c of Pod p0");
    let error = calculator(&ready).by_utilization(one.clone(), ("x", "cpu"), 1, 50).unwrap_err();
    assert_eq!(error, "container x not found in Pod p0");
    let zero = pods("r", "0");
    let error = calculator(&zero).by_utilization(one, ("", "cpu"), 1, 50).unwrap_err();
    assert_eq!(error, "no metrics returned matched known pods");
}

#[test]
fn averages_and_values_are_met() {
    let three = pods("rrr", "1");
    let averaged = |values: &[i64], target| {
        let values: Vec<_> = values.iter().copied().map(Some).collect();
        calculator(&three).by_average(readings(&values), "", 3, target).unwrap()
    };
    assert_eq!(averaged(&[20_000, 10_000, 30_000], 15_000), Proposal { replicas: 4, utilization: 0, usage: 20_000 });
    assert_eq!(averaged(&[12_000, 12_000, 12_000], 20_000).replicas, 2);
    assert_eq!(averaged(&[21_000, 21_000, 21_000], 20_000).replicas, 3);
    // Usage, current, target, wanted.
    for (usage, current, target, wanted) in [
        (20_000, 3, 15_000, 4),
        (8_000, 3, 20_000, 2),
        (20_500, 3, 20_000, 3),
        (500, 0, 100, 5),
        (50, 0, 100, 1),
        (0, 0, 100, 0),
    ] {
        assert_eq!(calculator(&three).by_value(usage, current, target).unwrap().replicas, wanted, "{usage}/{target}");
    }
    for (usage, current, target, wanted, share) in
        [(8_600, 3, 2_150, 4, 2_867), (8_600, 4, 2_150, 4, 2_150), (0, 2, 100, 0, 0)]
    {
        let found = calculator(&three).by_share(usage, current, target);
        assert_eq!((found.replicas, found.usage), (wanted, share), "{usage}/{target}");
    }
}

#[test]
fn a_tolerance_can_be_given_for_each_direction() {
    let behavior: Behavior =
        serde_json::from_value(json!({"scaleUp": {"tolerance": "0.5"}, "scaleDown": {"tolerance": "0"}})).unwrap();
    let pods = pods("rr", "1");
    let calculator = Calculator { tolerances: Tolerances::of(Some(&behavior)), ..calculator(&pods) };
    let found = |value| calculator.by_average(readings(&[Some(value), Some(value)]), "", 2, 100).unwrap().replicas;
    assert_eq!([found(150), found(151), found(100), found(49)], [2, 4, 2, 1]);
}

fn spec(min: i32, max: i32, behavior: Value) -> Spec {
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let spec = json!({"scaleTargetRef": reference, "minReplicas": min, "maxReplicas": max, "behavior": behavior});
    serde_json::from_value(spec).unwrap()
}

/// Steps: seconds since the start, current, wanted, what is set, the reasons.
type Step = (i64, i32, i32, i32, &'static str, &'static str);

fn play(spec: &Spec, steps: &[Step]) {
    let start: Timestamp = NOW.parse().unwrap();
    let mut history = History::default();
    for (at, current, wanted, set, able, limited) in steps {
        let now = start + SignedDuration::from_secs(*at);
        history.begin(*current, now);
        let found = history.normalize(spec, *current, *wanted, now);
        assert_eq!((found.replicas, found.able.1, found.limited.1), (*set, *able, *limited), "at {at}: {found:?}");
        if found.replicas != *current {
            history.scaled(spec, *current, found.replicas, now);
        }
    }
}

#[test]
fn without_a_behaviour_growth_doubles_and_shrinking_waits() {
    let (ready, within, held) = ("ReadyForNewScale", "DesiredWithinRange", "ScaleDownStabilized");
    let steps = [
        (0, 3, 20, 6, ready, "ScaleUpLimit"),
        (15, 6, 20, 10, ready, "TooManyReplicas"),
        (30, 10, 1, 10, held, "TooManyReplicas"),
        (200, 10, 1, 10, held, "TooManyReplicas"),
        (330, 10, 5, 5, ready, within),
        (700, 5, 1, 2, ready, "TooFewReplicas"),
    ];
    play(&spec(2, 10, Value::Null), &steps);
}

/// The clock goes back by a quarter of an hour: what holds for minutes holds for minutes from there.
#[test]
fn a_clock_that_is_set_back_holds_nothing_for_longer() {
    let (ready, within, held) = ("ReadyForNewScale", "DesiredWithinRange", "ScaleDownStabilized");
    let steps = [
        (1000, 3, 6, 6, ready, within),
        (100, 6, 2, 6, held, within),
        (395, 6, 2, 6, held, within),
        (401, 6, 2, 2, ready, within),
    ];
    play(&spec(1, 10, Value::Null), &steps);
    let policies = json!([{"type": "Pods", "value": 2, "periodSeconds": 60}]);
    let up = json!({"scaleUp": {"stabilizationWindowSeconds": 0, "policies": policies}});
    let steps = [
        (1000, 3, 10, 5, ready, "ScaleUpLimit"),
        (100, 5, 10, 5, ready, "ScaleUpLimit"),
        (161, 5, 10, 7, ready, "ScaleUpLimit"),
    ];
    play(&spec(1, 20, up), &steps);
}

#[test]
fn a_behaviour_has_rates_and_windows() {
    let policies =
        |kind: &str, value: i64, seconds: i64| json!([{"type": kind, "value": value, "periodSeconds": seconds}]);
    let (ready, within) = ("ReadyForNewScale", "DesiredWithinRange");
    let up = json!({"scaleUp": {"stabilizationWindowSeconds": 0, "policies": policies("Pods", 2, 60)}});
    play(
        &spec(1, 20, up),
        &[
            (0, 3, 10, 5, ready, "ScaleUpLimit"),
            (15, 5, 10, 5, ready, "ScaleUpLimit"),
            (61, 5, 6, 6, ready, within),
            (62, 6, 30, 7, ready, "ScaleUpLimit"),
            (400, 19, 30, 20, ready, "TooManyReplicas"),
        ],
    );
    let down = json!({"scaleDown": {"stabilizationWindowSeconds": 0, "policies": policies("Percent", 50, 60)}});
    play(&spec(1, 20, down), &[(0, 10, 1, 5, ready, "ScaleDownLimit"), (70, 5, 1, 2, ready, "ScaleDownLimit")]);
    let never = json!({"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"}});
    play(&spec(1, 20, never), &[(0, 10, 1, 10, ready, "ScaleDownLimit")]);
    let both = json!([{"type": "Pods", "value": 1, "periodSeconds": 60}, {"type": "Percent", "value": 100, "periodSeconds": 60}]);
    let least = json!({"scaleUp": {"selectPolicy": "Min", "policies": both}});
    play(&spec(1, 20, least), &[(0, 5, 20, 6, ready, "ScaleUpLimit")]);
    let most = json!({"scaleUp": {"selectPolicy": "Max", "policies": both}});
    play(&spec(1, 20, most), &[(0, 5, 20, 10, ready, "ScaleUpLimit")]);
    let windows = json!({"scaleUp": {"stabilizationWindowSeconds": 100, "policies": policies("Percent", 900, 15)},
                         "scaleDown": {"stabilizationWindowSeconds": 100, "policies": policies("Percent", 100, 15)}});
    play(
        &spec(1, 20, windows),
        &[
            (0, 5, 5, 5, ready, within),
            (15, 5, 8, 5, "ScaleUpStabilized", within),
            (101, 5, 9, 8, "ScaleUpStabilized", within),
            (102, 8, 4, 8, "ScaleDownStabilized", within),
            (250, 8, 4, 4, ready, within),
        ],
    );
}

fn autoscaler(metrics: Value) -> Value {
    let mut spec = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                          "minReplicas": 1, "maxReplicas": 10});
    spec["metrics"] = metrics;
    json!({"metadata": {"namespace": "ns", "name": "web", "uid": "h"}, "spec": spec})
}

fn cpu() -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}])
}

/// The fake server's scale is the object itself.
fn deployment(replicas: i64, selector: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": "web", "uid": "d"}, "spec": {"replicas": replicas},
           "status": {"replicas": replicas, "selector": selector}})
}

fn measured(at: usize, cpu: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": format!("p{at}")}, "timestamp": "2026-01-01T02:00:00Z",
           "window": "15s", "containers": [{"name": "c", "usage": {"cpu": cpu, "memory": "10Mi"}}]})
}

fn ready(at: usize) -> Value {
    let mut pod = pod(at, 'r', "100m");
    pod["status"]["startTime"] = json!("2025-12-31T00:00:00Z");
    pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2025-12-31T00:00:00Z");
    pod
}

fn reasons(stage: &Stage) -> Vec<String> {
    let status = stage.api.get(&HORIZONTAL_POD_AUTOSCALERS, "ns", "web").unwrap()["status"].clone();
    let told = |condition: &Value| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        format!("{} {} {}", text("type"), text("status"), text("reason"))
    };
    status["conditions"].as_array().into_iter().flatten().map(told).collect()
}

async fn stage(metrics: Value, deployment: Value) -> Stage {
    let objects = [
        (&HORIZONTAL_POD_AUTOSCALERS, autoscaler(metrics)),
        (&DEPLOYMENTS, deployment),
        (&PODS, ready(0)),
        (&PODS, ready(1)),
        (&METRICS, measured(0, "120m")),
        (&METRICS, measured(1, "80m")),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(1).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_busy_deployment_grows_and_the_status_says_why() {
    let stage = stage(cpu(), deployment(2, "app=web")).await;
    assert_eq!(stage.api.get(&DEPLOYMENTS, "ns", "web").unwrap()["spec"]["replicas"], json!(4));
    let status = stage.api.get(&HORIZONTAL_POD_AUTOSCALERS, "ns", "web").unwrap()["status"].clone();
    let current = json!([{"type": "Resource", "resource":
        {"name": "cpu", "current": {"averageUtilization": 100, "averageValue": "100m"}}}]);
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(2), &json!(4)));
    assert_eq!(status["currentMetrics"], current);
    assert!(status["lastScaleTime"].is_string());
    let wanted = [
        "AbleToScale True SucceededRescale",
        "ScalingActive True ValidMetricFound",
        "ScalingLimited False DesiredWithinRange",
        "ScaledToZero False NotScaledToZero",
    ];
    assert_eq!(reasons(&stage), wanted);
    let event = "SuccessfulRescale New size: 4; reason: cpu resource utilization (percentage of request) above target";
    assert_eq!(stage.events(), [event]);
}

#[tokio::test(start_paused = true)]
async fn it_looks_every_fifteen_seconds_and_writes_only_news() {
    let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"}}}]);
    let stage = stage(metrics, deployment(2, "app=web")).await;
    stage.settle(20).await;
    stage.writes();
    stage.api.take_log();
    stage.settle(600).await;
    let log = stage.api.take_log();
    let looks = log.iter().filter(|line| line.starts_with("get deployments/scale")).count();
    assert!((39..=41).contains(&looks), "{looks} looks");
    assert_eq!(log.len(), looks, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told() {
    let none = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to \
                get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource \
                metrics API: the server could not find the requested resource";
    let at_zero = stage(cpu(), deployment(0, "app=web")).await;
    assert_eq!(reasons(&at_zero), ["AbleToScale True SucceededGetScale", "ScalingActive False ScalingDisabled"]);
    let blind = stage(cpu(), deployment(2, "")).await;
    assert_eq!(reasons(&blind), ["AbleToScale True SucceededGetScale", "ScalingActive False InvalidSelector"]);
    let wanted = ["SelectorRequired selector is required", "FailedComputeMetricsReplicas selector is required"];
    assert_eq!(blind.events(), wanted);
    let above = stage(cpu(), deployment(12, "app=web")).await;
    let event = "SuccessfulRescale New size: 10; reason: Current number of replicas above Spec.MaxReplicas";
    assert_eq!(above.events(), [event]);
    let deaf = stage(cpu(), deployment(2, "app=web")).await;
    deaf.api.fault(|request| (request.resource == METRICS).then(|| Error::from(Status::no_such_path())));
    deaf.settle(16).await;
    assert!(deaf.events().contains(&format!("FailedComputeMetricsReplicas {none}")), "{:?}", deaf.events());
    assert_eq!(reasons(&deaf)[1], "ScalingActive False FailedGetResourceMetric");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_scaled_is_told() {
    let missing = [(&HORIZONTAL_POD_AUTOSCALERS, autoscaler(cpu()))];
    let stage = Stage::new(&DEF, &missing).await;
    stage.settle(1).await;
    assert_eq!(stage.events(), ["FailedGetScale deployments.apps \"web\" not found"]);
    assert_eq!(reasons(&stage), ["AbleToScale False FailedGetScale"]);
    for (kind, why) in [
        ("DaemonSet", "could not find scale subresource for apps/v1, Resource=daemonsets in discovery information"),
        ("Nothing", "no matches for kind \"Nothing\" in group \"apps\""),
    ] {
        let mut odd = autoscaler(cpu());
        odd["spec"]["scaleTargetRef"]["kind"] = json!(kind);
        let stage = Stage::new(&DEF, &[(&HORIZONTAL_POD_AUTOSCALERS, odd)]).await;
        stage.settle(1).await;
        assert_eq!(stage.events(), [format!("FailedGetScale {why}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_autoscalers_of_the_same_pods_do_nothing() {
    let stage = stage(cpu(), deployment(2, "app=web")).await;
    let mut other = autoscaler(cpu());
    other["metadata"]["name"] = json!("other");
    stage.api.put(&HORIZONTAL_POD_AUTOSCALERS, other);
    stage.settle(31).await;
    assert_eq!(reasons(&stage)[1], "ScalingActive False AmbiguousSelector");
    let told = "AmbiguousSelector pods by selector app=web are controlled by multiple HPAs: [{other ns} {web ns}]";
    assert!(stage.events().iter().any(|event| event == told), "{:?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_empty_takes_the_scale_to_zero_and_back() {
    let queue = GroupVersionResource::of("external.metrics.k8s.io", "v1beta1", "queue");
    let metrics = json!([{"type": "External", "external": {"metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "10"}}}]);
    let stage = stage(metrics, deployment(2, "app=web")).await;
    let depth = |value: &str| {
        json!({"metadata": {"namespace": "ns", "name": "q"}, "metricName": "queue",
        "timestamp": "2026-01-01T00:00:00Z", "value": value})
    };
    stage.api.put(&queue, depth("0"));
    stage.edit(&HORIZONTAL_POD_AUTOSCALERS, "ns", "web", |hpa| hpa["spec"]["minReplicas"] = json!(0));
    stage.settle(320).await;
    let replicas = |stage: &Stage| stage.api.get(&DEPLOYMENTS, "ns", "web").unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(&stage), json!(0), "{:?} {:?}", stage.events(), reasons(&stage));
    assert!(reasons(&stage).contains(&"ScaledToZero True ScaledToZero".to_owned()), "{:?}", reasons(&stage));
    stage.edit(&DEPLOYMENTS, "ns", "web", |scale| scale["status"]["replicas"] = json!(0));
    stage.api.put(&queue, depth("25"));
    stage.settle(31).await;
    assert_eq!(replicas(&stage), json!(3));
    assert!(
        stage
            .events()
            .iter()
            .any(|event| event.starts_with("SuccessfulRescale New size: 3; reason: external metric queue(nil)"))
    );
}
