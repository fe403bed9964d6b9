//! Objects whose fields each have their own rule: namespaces, events, quotas, what is immutable.

use crate::rig::{HOME, NAMESPACES, Rig, place};
use client::{DeleteOptions, Options, PatchType, Request, Verb};
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};

const QUOTAS: GroupVersionResource = GroupVersionResource::of("", "v1", "resourcequotas");
const EVENTS: GroupVersionResource = GroupVersionResource::of("", "v1", "events");
const NEWER_EVENTS: GroupVersionResource = GroupVersionResource::of("events.k8s.io", "v1", "events");

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "E2E", "message": "set from a test"})
}

fn find<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn a_namespace_takes_a_finalizer_by_its_own_door() {
    let rig = Rig::start().await;
    let finalizers = |found: &Value| found["spec"]["finalizers"].clone();
    let mut namespace = rig.get(&NAMESPACES, HOME).await.unwrap();
    assert_eq!(finalizers(&namespace), json!(["kubernetes"]));
    let put = |namespace: &Value, door: &str| {
        let request = place(Verb::Update, &NAMESPACES).name(HOME).body(namespace.to_string());
        if door.is_empty() { request } else { request.subresource(door) }
    };
    namespace["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fakeFinalizer"]);
    // The front door does not let it in.
    let same = rig.send(put(&namespace, "")).await.unwrap();
    assert_eq!(finalizers(&same), json!(["kubernetes"]));
    let with = rig.send(put(&namespace, "finalize")).await.unwrap();
    assert_eq!(finalizers(&with), json!(["kubernetes", "e2e.example.com/fakeFinalizer"]));
    // Deleted, it stays until the finalizers are gone.
    let mut ending = rig.send(place(Verb::Delete, &NAMESPACES).name(HOME)).await.unwrap();
    assert_eq!(ending["status"]["phase"], "Terminating");
    ending["spec"]["finalizers"] = json!(["kubernetes"]);
    let without = rig.send(put(&ending, "finalize")).await.unwrap();
    assert_eq!(finalizers(&without), json!(["kubernetes"]));
    assert_eq!(rig.get(&NAMESPACES, HOME).await.unwrap()["spec"], without["spec"]);
    ending = without;
    ending["spec"]["finalizers"] = json!([]);
    rig.send(put(&ending, "finalize")).await.unwrap();
    assert!(rig.get(&NAMESPACES, HOME).await.unwrap_err().is(Reason::NotFound));
}

#[tokio::test]
async fn a_namespace_takes_new_labels() {
    let rig = Rig::start().await;
    let mut namespace = rig.get(&NAMESPACES, HOME).await.unwrap();
    namespace["metadata"]["labels"]["pet"] = json!("cat");
    let put = place(Verb::Update, &NAMESPACES).name(HOME).body(namespace.to_string());
    let updated = rig.send(put.clone()).await.unwrap();
    assert_eq!(updated["metadata"]["labels"], json!({"kubernetes.io/metadata.name": HOME, "pet": "cat"}));
    let options = Options { label_selector: Some("pet=cat".to_owned()), ..Options::default() };
    let found = rig.send(place(Verb::List, &NAMESPACES).options(options)).await.unwrap();
    assert_eq!(names(&found), [HOME]);
    // Sent again, it is of a version that is gone.
    assert!(rig.send(put).await.unwrap_err().is(Reason::Conflict));
}

#[tokio::test]
async fn a_namespaces_status_is_read_patched_and_put() {
    let rig = Rig::start().await;
    let named = |verb| place(verb, &NAMESPACES).name(HOME).subresource("status");
    let status = rig.send(named(Verb::Get)).await.unwrap();
    assert_eq!(status["status"]["phase"], "Active");
    let patch = json!({
        "metadata": {"annotations": {"e2e-patched-ns-status": HOME}},
        "status": {"conditions": [condition("StatusPatch", "True")]},
    });
    let patched = rig.send(named(Verb::Patch(PatchType::Merge)).body(patch.to_string())).await.unwrap();
    assert_eq!(patched["metadata"]["annotations"]["e2e-patched-ns-status"], HOME);
    assert_eq!(find(&patched, "StatusPatch")["reason"], "E2E");
    let mut updated = patched.clone();
    updated["status"]["conditions"] = json!([condition("StatusPatch", "True"), condition("StatusUpdate", "True")]);
    updated["spec"]["finalizers"] = json!([]);
    let updated = rig.send(named(Verb::Update).body(updated.to_string())).await.unwrap();
    assert_eq!(find(&updated, "StatusUpdate")["message"], "set from a test");
    assert_eq!((&updated["status"]["phase"], &updated["spec"]), (&json!("Active"), &patched["spec"]));
    assert_eq!(rig.get(&NAMESPACES, HOME).await.unwrap()["status"], updated["status"]);
}

/// That a controller brings it back is shown where controllers run.
#[tokio::test]
async fn a_quotas_status_changes_apart_from_its_spec() {
    let rig = Rig::start().await;
    let hard = json!({"cpu": "500m", "memory": "500Mi"});
    rig.create(&QUOTAS, &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.unwrap();
    let named = |verb| place(verb, &QUOTAS).name("q").subresource("status");
    let mut quota = rig.send(named(Verb::Get)).await.unwrap();
    let other = json!({"cpu": "1", "memory": "1Gi"});
    quota["status"] = json!({"hard": other, "used": {"cpu": "0"}});
    quota["spec"]["hard"] = json!({"pods": "1"});
    let put = rig.send(named(Verb::Update).body(quota.to_string())).await.unwrap();
    assert_eq!((&put["status"]["hard"], &put["spec"]["hard"]), (&other, &hard));
    let patch = json!({"spec": {"hard": {"pods": "1"}}, "status": {"hard": {"cpu": "2"}}}).to_string();
    let patched = rig.send(named(Verb::Patch(PatchType::Merge)).body(patch)).await.unwrap();
    assert_eq!(patched["status"]["hard"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(patched["spec"]["hard"], hard);
    let patch = json!({"status": {"hard": {"cpu": "3"}}, "metadata": {"labels": {"a": "b"}}});
    let main = rig.merge(&QUOTAS, "q", &patch).await.unwrap();
    assert_eq!((&main["status"], &main["metadata"]["labels"]), (&patched["status"], &json!({"a": "b"})));
}

#[tokio::test]
async fn an_event_lives_from_creation_to_the_end_of_its_collection() {
    let rig = Rig::start().await;
    let event = json!({
        "metadata": {"name": "event-test", "labels": {"testevent-constant": "true"}},
        "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
        "involvedObject": {"namespace": HOME},
    });
    let made = rig.create(&EVENTS, &event).await.unwrap();
    let chosen = |verb| {
        let options = Options { label_selector: Some("testevent-constant=true".to_owned()), ..Options::default() };
        Request::new(verb, EVENTS).options(options)
    };
    assert_eq!(made["message"], "This is a test event");
    assert_eq!(names(&rig.send(chosen(Verb::List)).await.unwrap()), ["event-test"], "across namespaces");
    let message = "This is a test event - patched";
    let patch = json!({"message": message}).to_string();
    let patch = place(Verb::Patch(PatchType::Strategic), &EVENTS).name("event-test").body(patch);
    assert_eq!(rig.send(patch).await.unwrap()["message"], message);
    let mut found = rig.get(&EVENTS, "event-test").await.unwrap();
    assert_eq!(found["message"], message);
    let series = json!({"count": 100, "lastObservedTime": "2014-06-07T08:09:10.000000Z"});
    found["series"] = series.clone();
    let put = place(Verb::Update, &EVENTS).name("event-test").body(found.to_string());
    assert_eq!(rig.send(put).await.unwrap()["series"], series);
    // The newer API shows the same event under its own names.
    let same = rig.get(&NEWER_EVENTS, "event-test").await.unwrap();
    assert_eq!((&same["note"], &same["series"], &same["deprecatedCount"]), (&json!(message), &series, &json!(1)));

    rig.send(place(Verb::Delete, &EVENTS).name("event-test")).await.unwrap();
    assert!(rig.get(&EVENTS, "event-test").await.unwrap_err().is(Reason::NotFound));
    for number in 1..=3 {
        let mut event = event.clone();
        event["metadata"]["name"] = format!("event-{number}").into();
        rig.create(&EVENTS, &event).await.unwrap();
    }
    let body = serde_json::to_vec(&DeleteOptions::default()).unwrap();
    rig.send(chosen(Verb::DeleteCollection).namespace(HOME).body(body)).await.unwrap();
    assert_eq!(rig.send(chosen(Verb::List)).await.unwrap(), json!([]));
}

/// The suite of 1.20 patches the note, which upstream refuses since 1.24 (pull request 108047).
#[tokio::test]
async fn an_event_of_the_newer_api_grows_a_series_and_changes_in_nothing_else() {
    let rig = Rig::start().await;
    let event = json!({
        "metadata": {"name": "event-test", "labels": {"testevent-constant": "true"}},
        "note": "This is event-test", "reason": "Test", "type": "Normal", "action": "Do",
        "eventTime": "2017-09-19T13:49:16.000000Z", "regarding": {"namespace": HOME},
        "reportingController": "test-controller", "reportingInstance": "test-node",
    });
    rig.create(&NEWER_EVENTS, &event).await.unwrap();
    let selected = |resource: &GroupVersionResource, fields: &str| {
        let options = Options { field_selector: Some(fields.to_owned()), ..Options::default() };
        place(Verb::List, resource).options(options)
    };
    for (resource, fields) in
        [(&EVENTS, "source=test-controller"), (&NEWER_EVENTS, "reportingController=test-controller")]
    {
        assert_eq!(names(&rig.send(selected(resource, fields)).await.unwrap()), ["event-test"], "{fields}");
    }
    let patch = |patch: Value| {
        let request = place(Verb::Patch(PatchType::Strategic), &NEWER_EVENTS).name("event-test");
        request.body(patch.to_string())
    };
    let series = json!({"count": 2, "lastObservedTime": "2017-09-19T13:49:11.000000Z"});
    assert_eq!(rig.send(patch(json!({"series": series}))).await.unwrap()["series"], series);
    let refused = rig.send(patch(json!({"note": "This is a test event - patched"}))).await.unwrap_err();
    assert!(refused.is(Reason::Invalid) && refused.to_string().contains("field is immutable"), "{refused}");
    let mut found = rig.get(&NEWER_EVENTS, "event-test").await.unwrap();
    assert_eq!((&found["note"], &found["series"]), (&event["note"], &series));
    found["series"]["count"] = json!(100);
    let put = place(Verb::Update, &NEWER_EVENTS).name("event-test").body(found.to_string());
    assert_eq!(rig.send(put).await.unwrap()["series"]["count"], 100);
    rig.send(place(Verb::Delete, &NEWER_EVENTS).name("event-test")).await.unwrap();
    let everywhere = rig.send(Request::new(Verb::List, NEWER_EVENTS)).await.unwrap();
    assert_eq!(names(&everywhere), [""; 0]);
}

async fn is_immutable_once_said(rig: &Rig, plural: &'static str, kind: &str) {
    let resource = &GroupVersionResource::of("", "v1", plural);
    let (data, other) = match plural {
        "secrets" => (json!({"data-1": "dmFsdWUtMQ=="}), json!("eA==")),
        _ => (json!({"data-1": "value-1"}), json!("x")),
    };
    rig.create(resource, &json!({"metadata": {"name": "it"}, "data": data})).await.unwrap();
    let patched = rig.merge(resource, "it", &json!({"data": {"data-2": other}})).await.unwrap();
    assert_eq!(patched["data"]["data-2"], other);
    rig.merge(resource, "it", &json!({"immutable": true})).await.unwrap();
    let data = json!({"data": {"data-3": other}});
    for (patch, field) in [
        (json!({"immutable": false}), "immutable"),
        (json!({"immutable": null}), "immutable"),
        (data, "data"),
        (json!({"data": {"data-1": null}}), "data"),
    ] {
        let refusal = rig.merge(resource, "it", &patch).await.unwrap_err();
        assert!(refusal.is(Reason::Invalid), "{refusal}");
        let message =
            format!("{kind} \"it\" is invalid: {field}: Forbidden: field is immutable when `immutable` is set");
        assert_eq!(refusal.status().unwrap().message, message, "{patch}");
    }
    let labelled = rig.merge(resource, "it", &json!({"metadata": {"labels": {"label1": "value1"}}})).await.unwrap();
    assert_eq!(labelled["metadata"]["labels"]["label1"], "value1");
    assert_eq!((&labelled["data"]["data-2"], &labelled["immutable"]), (&other, &json!(true)));
    rig.send(place(Verb::Delete, resource).name("it")).await.unwrap();
    assert!(rig.get(resource, "it").await.unwrap_err().is(Reason::NotFound));
}

#[tokio::test]
async fn what_is_immutable_keeps_its_data() {
    let rig = Rig::start().await;
    is_immutable_once_said(&rig, "configmaps", "ConfigMap").await;
    is_immutable_once_said(&rig, "secrets", "Secret").await;
}
