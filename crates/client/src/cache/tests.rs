//! Caches against the fake server: dropped watches, 410, repeated events, replaced objects.

use super::*;
use crate::fake::FakeApi;
use crate::{Error, Verb};
use base::{Env, Timestamp};
use meta::{GroupVersionResource, Status};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

/// A pod's node, and an index by it.
struct OnNode(String);

impl Projection for OnNode {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(object)?;
        Ok(OnNode(value["spec"]["nodeName"].as_str().unwrap_or("").to_owned()))
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        add("node", &item.view.0);
    }
}

struct Scene {
    env: Env,
    api: FakeApi,
    cache: Arc<Cache<OnNode>>,
    told: Arc<Mutex<Vec<String>>>,
}

async fn scene(pods: &[Value]) -> Scene {
    let env = Env::simulated(3, Timestamp::UNIX_EPOCH);
    let api = FakeApi::new();
    pods.iter().for_each(|pod| drop(api.put(&PODS, pod.clone())));
    let cache = Caches::new(Arc::new(api.clone()), &env).watch::<OnNode>(Selection::all(PODS));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let ledger = told.clone();
    cache.subscribe(move |change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        ledger.lock().unwrap().push(format!("{sign}{}", change.latest().unwrap().key));
    });
    cache.synced().await;
    Scene { env, api, cache, told }
}

impl Scene {
    async fn settle(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": {"nodeName": node}})
}

#[tokio::test(start_paused = true)]
async fn changes_arrive_in_order_and_indices_follow() {
    let scene = scene(&[pod("a", "n1"), pod("b", "n2")]).await;
    assert_eq!(scene.told(), ["+ns/a", "+ns/b"]);
    let version = scene.api.put(&PODS, pod("a", "n2"))["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    scene.cache.wait_seen(parse_version(&version)).await;
    scene.api.remove(&PODS, "ns", "b");
    scene.settle(1).await;
    assert_eq!(scene.told(), ["~ns/a", "-ns/b"]);
    let on = |node| scene.cache.by_index("node", node).iter().map(|item| item.key.to_string()).collect::<Vec<_>>();
    assert!(on("n1").is_empty());
    assert_eq!(on("n2"), ["ns/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_resumes_and_a_forgotten_one_lists_again() {
    for forget in [false, true] {
        let scene = scene(&[pod("a", "n1"), pod("b", "n1"), pod("c", "n1")]).await;
        scene.settle(1).await;
        scene.told();
        scene.api.freeze(true);
        scene.api.remove(&PODS, "ns", "a");
        scene.api.put(&PODS, pod("b", "n9"));
        scene.api.put(&PODS, pod("d", "n1"));
        scene.api.freeze(false);
        scene.api.drop_watches(forget);
        scene.settle(5).await;
        let mut told = scene.told();
        told.sort();
        assert_eq!(told, ["+ns/d", "-ns/a", "~ns/b"], "forget: {forget}");
        assert_eq!(scene.cache.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_told_once_and_a_replaced_object_twice() {
    let scene = scene(&[pod("a", "n1")]).await;
    scene.settle(1).await;
    scene.api.put(&PODS, pod("a", "n2"));
    scene.api.repeat_last(&PODS);
    scene.settle(1).await;
    assert_eq!(scene.told(), ["+ns/a", "~ns/a"]);
    scene.api.freeze(true);
    scene.api.remove(&PODS, "ns", "a");
    scene.api.put(&PODS, pod("a", "n3"));
    scene.api.freeze(false);
    scene.api.drop_watches(true);
    scene.settle(5).await;
    assert_eq!(scene.told(), ["-ns/a", "+ns/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_asked_ever_more_seldom() {
    let scene = scene(&[]).await;
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = asked.clone();
    scene.api.fault(move |request| {
        matches!(request.verb, Verb::List | Verb::Watch).then(|| {
            *count.lock().unwrap() += 1;
            Error::Connection("down".to_owned())
        })
    });
    scene.api.drop_watches(false);
    scene.settle(600).await;
    let times = *asked.lock().unwrap();
    assert!((10..60).contains(&times), "{times} requests in ten minutes");
    scene.api.clear_faults();
    scene.api.put(&PODS, pod("a", "n1"));
    scene.settle(60).await;
    assert_eq!(scene.told(), ["+ns/a"]);
}

#[tokio::test(start_paused = true)]
async fn an_endless_410_is_no_hot_loop() {
    let scene = scene(&[]).await;
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = asked.clone();
    scene.api.fault(move |request| {
        (request.verb == Verb::Watch).then(|| {
            *count.lock().unwrap() += 1;
            Status::expired("too old").into()
        })
    });
    scene.api.drop_watches(false);
    scene.settle(600).await;
    assert!(*asked.lock().unwrap() < 60);
}

#[tokio::test(start_paused = true)]
async fn one_selection_is_watched_once_and_ends_with_its_last_handle() {
    let env = Env::simulated(3, Timestamp::UNIX_EPOCH);
    let caches = Caches::new(Arc::new(FakeApi::new()), &env);
    let first = caches.watch::<()>(Selection::all(PODS));
    let second = caches.watch::<()>(Selection::all(PODS));
    let other = caches.watch::<()>(Selection::all(PODS).namespace("ns"));
    assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
    first.synced().await;
    let shared = Arc::downgrade(&first.shared);
    drop((first, second));
    env.clock.sleep(Duration::from_secs(1)).await;
    assert!(shared.upgrade().is_none(), "the reflector must have ended");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_deletion_ends_when_the_object_goes() {
    let scene = scene(&[pod("a", "n1")]).await;
    let item = scene.cache.get("ns", "a").unwrap();
    let waiting = Observed::wait_gone(&*scene.cache, &item.key, &item.meta.uid);
    assert!(scene.env.clock.timeout(Duration::from_secs(5), waiting).await.is_err());
    scene.api.remove(&PODS, "ns", "a");
    Observed::wait_gone(&*scene.cache, &item.key, &item.meta.uid).await;
}
