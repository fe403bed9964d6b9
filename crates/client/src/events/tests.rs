//! Counting, combining and dropping, seen from the server.

use super::*;
use crate::fake::FakeApi;
use serde_json::Value;

const CORE: GroupVersionResource = GroupVersionResource::of("", "v1", "events");
const SERIES: GroupVersionResource = GroupVersionResource::of("events.k8s.io", "v1", "events");

fn about(name: &str) -> ObjectRef {
    ObjectRef { kind: "Pod".into(), namespace: "ns".into(), name: name.into(), uid: "u".into(), ..ObjectRef::default() }
}

async fn recorded(style: Style, record: impl AsyncFnOnce(&Recorder, &Env)) -> (Vec<Value>, FakeApi) {
    let env = Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let api = FakeApi::new();
    let recorder = Recorder::new(Arc::new(api.clone()), &env, "tester", "host", style);
    record(&recorder, &env).await;
    env.clock.sleep(Duration::from_millis(10)).await;
    let resource = if style == Style::Core { CORE } else { SERIES };
    (api.all(&resource), api)
}

#[tokio::test(start_paused = true)]
async fn the_same_event_is_counted() {
    let (events, _) = recorded(Style::Core, async |recorder, env| {
        for _ in 0..3 {
            recorder.normal(about("a"), "Pulled", "got it");
            env.clock.sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["count"], &event["message"]), (&json!(3), &json!("got it")));
    assert_eq!(event["lastTimestamp"], "2026-01-01T00:00:02Z");
    assert_eq!(event["firstTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(event["source"], json!({"component": "tester", "host": "host"}));
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("a."));
}

#[tokio::test(start_paused = true)]
async fn who_can_wait_loses_no_event() {
    let env = Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let api = FakeApi::new();
    let recorder = Recorder::with_queue(1, Arc::new(api.clone()), &env, "tester", "", Style::Core);
    let started = |name: &str| Happening::new(about(name), Severity::Normal, "Started", "it runs");
    // Nothing is taken from the queue while nobody waits.
    ["a", "b"].into_iter().for_each(|name| recorder.record(started(name)));
    for name in ["c", "d"] {
        recorder.record_within(Duration::from_secs(1), started(name)).await;
    }
    env.clock.sleep(Duration::from_millis(10)).await;
    let told: Vec<_> = api.all(&CORE).iter().map(|event| event["involvedObject"]["name"].clone()).collect();
    assert_eq!(told, ["a", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn similar_events_are_combined_and_floods_cut_off() {
    let (events, api) = recorded(Style::Core, async |recorder, _| {
        for number in 0..40 {
            recorder.warning(about("a"), "Failed", format!("try {number}"));
        }
        recorder.warning(about("b"), "Failed", "of another object");
    })
    .await;
    let combined: Vec<_> =
        events.iter().filter(|event| event["message"].as_str().unwrap().starts_with("(combined from")).collect();
    assert_eq!(combined.len(), 1);
    assert_eq!(combined[0]["message"], "(combined from similar events): try 24", "the bucket holds 25");
    assert_eq!(combined[0]["count"], 16);
    assert_eq!(events.len(), 9 + 1 + 1);
    assert_eq!(api.take_log().len(), 26);
}

#[tokio::test(start_paused = true)]
async fn a_series_is_written_at_its_second_event_and_then_seldom() {
    let (events, api) = recorded(Style::Series, async |recorder, env| {
        for number in 0..10 {
            recorder.record(
                Happening::new(about("a"), Severity::Warning, "FailedScheduling", format!("{number}"))
                    .action("Scheduling"),
            );
            env.clock.sleep(Duration::from_secs(60)).await;
        }
    })
    .await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["note"], &event["action"]), (&json!("0"), &json!("Scheduling")));
    assert_eq!(event["eventTime"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(event["series"]["count"], 8);
    assert_eq!(api.take_log().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_expired_event_is_made_anew() {
    let (events, _) = recorded(Style::Core, async |recorder, env| {
        recorder.normal(about("a"), "Pulled", "got it");
        env.clock.sleep(Duration::from_secs(1)).await;
        recorder.normal(about("a"), "Pulled", "got it");
    })
    .await;
    assert_eq!(events.len(), 1);
    let env = Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let api = FakeApi::new();
    let recorder = Recorder::new(Arc::new(api.clone()), &env, "tester", "", Style::Core);
    recorder.normal(about("a"), "Pulled", "got it");
    env.clock.sleep(Duration::from_secs(1)).await;
    let name = api.all(&CORE)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    api.remove(&CORE, "ns", &name);
    for _ in 0..2 {
        recorder.normal(about("a"), "Pulled", "got it");
        env.clock.sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(api.all(&CORE)[0]["count"], 2);
}
