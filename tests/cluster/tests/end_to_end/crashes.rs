//! kutter killed in the middle of writes, again and again: what it acknowledged is there, watches
//! go on where they were, containers notice nothing.

use client::{Client, Error, EventType, Options, Request, Response, Verb};
use cluster_tests::admin::{self, run};
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use k8s_openapi::api::core::v1::ConfigMap;
use meta::GroupVersionResource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;
use testkit::net::{Shape, World};

/// With five hundred objects each: ten thousand in all.
const ROUNDS: usize = 20;
/// So many writes are under way at once.
const WRITERS: usize = 8;
const NAMESPACE: &str = "default";

/// What the outside saw, over all rounds.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<BTreeSet<String>>,
    /// How often the watch told of each object.
    told: Mutex<BTreeMap<String, usize>>,
    /// Where the watch goes on.
    revision: Mutex<String>,
    /// Anything but success or a broken connection.
    wrong: Mutex<Vec<String>>,
}

#[test]
fn killed_while_writing() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::up(&world, 1);
    kutter.kubectl().apply_file("client.yaml");
    kutter.kubectl().ready_pods("app=client", 1);
    let workloads = kutter.workloads();
    let seen = Seen::default();
    *seen.revision.lock().unwrap() = run(&kutter, revision_now(&kutter));
    for round in 0..ROUNDS {
        write_and_kill(&kutter, round, &seen);
        assert_eq!(kutter.workloads(), workloads, "round {round}: containers go on");
        kutter.start();
        assert_eq!(kutter.workloads(), workloads, "round {round}: containers go on");
        let there = run(&kutter, names(&kutter));
        let lost: Vec<_> = seen.acknowledged.lock().unwrap().difference(&there).cloned().collect();
        assert_eq!(lost, Vec::<String>::new(), "round {round}: acknowledged and lost");
        assert_eq!(*seen.wrong.lock().unwrap(), Vec::<String>::new(), "round {round}");
    }
    run(&kutter, the_watch_misses_nothing(&kutter, &seen));
    kutter.down();
}

/// Writers and a watch at work; then the end, at a moment that differs from round to round.
fn write_and_kill(kutter: &Kutter, round: usize, seen: &Seen) {
    let enough = seen.acknowledged.lock().unwrap().len() + 400 + 22 * (round % 10);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run(kutter, async {
                let client = admin::client(kutter).await;
                let writers = (0..WRITERS).map(|writer| write(&client, format!("c{round}-{writer}"), seen));
                join(join_all(writers), watch(&client, seen)).await;
            });
        });
        until("enough is written", 30, || {
            let count = seen.acknowledged.lock().unwrap().len();
            holds(count >= enough, count)
        });
        kutter.kill();
    });
}

/// Creates objects until the connection breaks.
async fn write(client: &Client, prefix: String, seen: &Seen) {
    for number in 0.. {
        let mut object = ConfigMap::default();
        let name = format!("{prefix}-{number}");
        object.metadata.name = Some(name.clone());
        object.data = Some([("fill".to_owned(), "x".repeat(2000))].into());
        match client.create(NAMESPACE, &object).await {
            Ok(_) => _ = seen.acknowledged.lock().unwrap().insert(name),
            Err(Error::Status(status)) => return seen.wrong.lock().unwrap().push(format!("{name}: {status:?}")),
            Err(_) => return,
        }
    }
}

/// Follows from where it was until the connection breaks.
async fn watch(client: &Client, seen: &Seen) {
    let from = seen.revision.lock().unwrap().clone();
    let options = Options { resource_version: Some(from), allow_watch_bookmarks: true, ..Options::default() };
    let resource = GroupVersionResource::of("", "v1", "configmaps");
    let request = Request::new(Verb::Watch, resource).namespace(NAMESPACE).options(options);
    let mut events = match client.api().call(request).await {
        Ok(Response::Watch(events)) => events,
        Ok(_) => panic!("a watch was not answered with one"),
        Err(error) => return seen.wrong.lock().unwrap().push(format!("watch: {error}")),
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let object: ConfigMap = serde_json::from_slice(&event.object).unwrap();
                *seen.revision.lock().unwrap() = object.metadata.resource_version.unwrap_or_default();
                if event.kind != EventType::Bookmark {
                    *seen.told.lock().unwrap().entry(object.metadata.name.unwrap_or_default()).or_default() += 1;
                }
            }
            Err(Error::Status(status)) => seen.wrong.lock().unwrap().push(format!("watch: {status:?}")),
            Err(_) => return,
        }
    }
}

async fn revision_now(kutter: &Kutter) -> String {
    let resource = GroupVersionResource::of("", "v1", "configmaps");
    let request = Request::new(Verb::List, resource).namespace(NAMESPACE);
    match admin::client(kutter).await.api().call(request).await.unwrap() {
        Response::List(list) => list.resource_version,
        _ => panic!("a list was not answered with one"),
    }
}

/// The objects of this test that are there.
async fn names(kutter: &Kutter) -> BTreeSet<String> {
    let list = admin::client(kutter).await.list::<ConfigMap>(NAMESPACE, Options::default()).await.unwrap();
    list.items.into_iter().filter_map(|object| object.metadata.name).filter(|name| name.starts_with('c')).collect()
}

async fn the_watch_misses_nothing(kutter: &Kutter, seen: &Seen) {
    let there = names(kutter).await;
    let all_told = || there.iter().all(|name| seen.told.lock().unwrap().contains_key(name));
    let client = admin::client(kutter).await;
    let clock = base::Clock::real();
    for _ in 0..100 {
        if all_told() {
            break;
        }
        let _ = clock.timeout(Duration::from_millis(100), watch(&client, seen)).await;
    }
    let told = seen.told.lock().unwrap().clone();
    let missed: Vec<_> = there.iter().filter(|name| !told.contains_key(*name)).collect();
    assert_eq!(missed, Vec::<&String>::new(), "never told by the watch");
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    assert_eq!(twice, Vec::<(&String, &usize)>::new(), "told more than once");
    assert_eq!(*seen.wrong.lock().unwrap(), Vec::<String>::new());
}
