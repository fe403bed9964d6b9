//! What every [`Store`] keeps to, tried on each.

use super::*;
use base::Env;
use std::sync::Mutex;

/// Keeps what was published.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Event>>>);

impl Sink for Published {
    fn publish(&mut self, events: &[Event]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

impl Published {
    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

fn put(key: &str, expect: Expect, value: &str) -> Write {
    Write { key: key.into(), expect, value: Some(Bytes::copy_from_slice(value.as_bytes())), last: None }
}

fn create(key: &str, value: &str) -> Write {
    put(key, Expect::Absent, value)
}

fn delete(key: &str, revision: Revision, last: &str) -> Write {
    let last = Some(Bytes::copy_from_slice(last.as_bytes()));
    Write { key: key.into(), expect: Expect::Revision(revision), value: None, last }
}

fn entry(key: &str, revision: Revision, value: &str) -> Entry {
    Entry { key: key.into(), revision, value: Bytes::copy_from_slice(value.as_bytes()) }
}

/// Runs `check` on a fresh store of each sort.
async fn on_each<F: AsyncFn(&dyn Store)>(check: F) {
    let env = Env::real();
    check(&MemoryStore::new(&env)).await;
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), &env, None).unwrap();
    check(&store).await;
    store.close().await;
}

/// a: created 1, changed 3, deleted 5, created 7. b: created 2, deleted 6. c/d: created 4.
async fn fill(store: &dyn Store) {
    let writes = [
        create("/a", "a1"),
        create("/b", "b2"),
        put("/a", Expect::Revision(1), "a3"),
        create("/c/d", "d4"),
        delete("/a", 3, "a-last"),
        delete("/b", 2, "b-last"),
        create("/a", "a7"),
    ];
    for (index, write) in writes.into_iter().enumerate() {
        assert_eq!(store.commit(write).await.unwrap(), index as Revision + 1);
    }
}

#[tokio::test]
async fn a_write_whose_expectation_fails_changes_nothing_and_says_what_is() {
    on_each(async |store| {
        fill(store).await;
        let cases = [
            (create("/a", "x"), Some(entry("/a", 7, "a7"))),
            (put("/a", Expect::Revision(3), "x"), Some(entry("/a", 7, "a7"))),
            (delete("/c/d", 3, "x"), Some(entry("/c/d", 4, "d4"))),
            (put("/b", Expect::Revision(2), "x"), None),
            (delete("/nothing", 1, "x"), None),
        ];
        for (write, expected) in cases {
            match store.commit(write).await {
                Err(StoreError::Conflict { current }) => assert_eq!(current, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(store.history(7, 10).await.unwrap(), []);
        assert_eq!(store.commit(create("/e", "8")).await.unwrap(), 8, "a refused write takes no revision");
    })
    .await;
}

#[tokio::test]
async fn start_hands_over_what_is_and_every_event_after_it_before_the_answer() {
    on_each(async |store| {
        fill(store).await;
        let published = Published::default();
        let started = store.start(Box::new(published.clone())).unwrap();
        assert_eq!((started.revision, started.oldest), (7, 0));
        assert_eq!(started.entries, [entry("/a", 7, "a7"), entry("/c/d", 4, "d4")]);
        let revision = store.commit(put("/a", Expect::Revision(7), "a8")).await.unwrap();
        let events = published.all();
        assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [revision]);
        assert_eq!(events[0].previous, Some((7, Bytes::from("a7"))));
    })
    .await;
}

#[tokio::test]
async fn concurrent_writes_are_published_in_order_and_each_before_its_answer() {
    on_each(async |store| {
        let published = Published::default();
        store.start(Box::new(published.clone())).unwrap();
        let writes = (0..200).map(|index| {
            let commit = store.commit(create(&format!("/k{}", index % 150), "v"));
            let published = published.clone();
            async move {
                let outcome = commit.await;
                if let Ok(revision) = outcome {
                    assert!(published.all().iter().any(|event| event.revision == revision));
                }
                outcome.is_ok()
            }
        });
        let outcomes = futures_util::future::join_all(writes).await;
        assert_eq!(outcomes.iter().filter(|ok| **ok).count(), 150);
        let revisions: Vec<_> = published.all().iter().map(|event| event.revision).collect();
        assert_eq!(revisions, (1..=150).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn history_resumes_with_what_was_before() {
    on_each(async |store| {
        let published = Published::default();
        store.start(Box::new(published.clone())).unwrap();
        fill(store).await;
        let all = store.history(0, 100).await.unwrap();
        assert_eq!(all, published.all(), "stored and published events are the same");
        assert_eq!(store.history(2, 2).await.unwrap(), all[2..4]);
        let deleted = &all[4];
        assert_eq!((deleted.value.clone(), deleted.last.clone()), (None, Some(Bytes::from("a-last"))));
        assert_eq!(deleted.previous, Some((3, Bytes::from("a3"))));
        assert_eq!(all[6].previous, None, "a create after a delete");
    })
    .await;
}

#[tokio::test]
async fn entries_are_found_as_they_were() {
    on_each(async |store| {
        fill(store).await;
        let cases: [(&str, Revision, &[Entry]); 6] = [
            ("/", 2, &[entry("/a", 1, "a1"), entry("/b", 2, "b2")]),
            ("/", 4, &[entry("/a", 3, "a3"), entry("/b", 2, "b2"), entry("/c/d", 4, "d4")]),
            ("/", 6, &[entry("/c/d", 4, "d4")]),
            ("/", 7, &[entry("/a", 7, "a7"), entry("/c/d", 4, "d4")]),
            ("/c/", 7, &[entry("/c/d", 4, "d4")]),
            ("/c/d/", 7, &[]),
        ];
        for (prefix, at, expected) in cases {
            assert_eq!(store.entries_at(prefix.into(), at).await.unwrap(), expected, "{prefix} at {at}");
        }
    })
    .await;
}

#[tokio::test]
async fn compaction_forgets_only_what_was_replaced() {
    on_each(async |store| {
        fill(store).await;
        let after = store.history(5, 100).await.unwrap();
        store.compact(5).await.unwrap();
        assert_eq!(store.history(5, 100).await.unwrap(), after, "what is left still knows what was before");
        assert_eq!(store.entries_at("/".into(), 5).await.unwrap(), [entry("/b", 2, "b2"), entry("/c/d", 4, "d4")]);
        for asked in [0, 4] {
            let refused = store.history(asked, 1).await.unwrap_err();
            assert!(matches!(refused, StoreError::Compacted { oldest: 5, .. }), "{refused:?}");
            let refused = store.entries_at("/".into(), asked).await.unwrap_err();
            assert!(matches!(refused, StoreError::Compacted { oldest: 5, .. }), "{refused:?}");
        }
        // Beyond the newest write it stops there, and revisions go on from where they were.
        store.compact(1000).await.unwrap();
        let started = store.start(Box::new(Published::default())).unwrap();
        assert_eq!((started.revision, started.oldest, started.entries.len()), (7, 7, 2));
        assert_eq!(store.commit(delete("/c/d", 4, "")).await.unwrap(), 8);
        assert_eq!(store.entries_at("/".into(), 7).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_write_knows_its_time() {
    on_each(async |store| {
        let before = Timestamp::from_millisecond(Env::real().clock.now().as_millisecond()).unwrap();
        store.commit(create("/a", "1")).await.unwrap();
        assert!(store.written_at(1).await.unwrap().unwrap() >= before);
        assert_eq!(store.written_at(2).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_refuses_everything_and_says_so() {
    on_each(async |store| {
        let last = store.commit(create("/a", "1"));
        store.close().await;
        assert!(!store.closed().await.is_empty());
        // Queued before the close, where the store has a queue.
        assert!(matches!(last.await, Ok(1) | Err(StoreError::Closed(_))));
        assert!(matches!(store.commit(create("/b", "1")).await, Err(StoreError::Closed(_))));
        assert!(matches!(store.history(0, 1).await, Err(StoreError::Closed(_))));
        assert!(matches!(store.compact(1).await, Err(StoreError::Closed(_))));
        assert!(matches!(store.start(Box::new(Published::default())), Err(StoreError::Closed(_))));
    })
    .await;
}

struct Script(Mutex<Vec<Fault>>);

impl Faults for Script {
    fn before_commit(&self, _: &Write) -> Fault {
        self.0.lock().unwrap().pop().unwrap_or(Fault::None)
    }
}

#[tokio::test]
async fn faults_crash_the_memory_store_as_a_disk_would() {
    let env = Env::real();
    // Taken from the end.
    let faults = vec![Fault::CrashAfter, Fault::CrashBefore, Fault::Busy, Fault::None];
    let store = MemoryStore::with_faults(&env, Arc::new(Script(Mutex::new(faults))));
    assert_eq!(store.commit(create("/a", "1")).await.unwrap(), 1);
    assert!(matches!(store.commit(create("/b", "1")).await, Err(StoreError::Busy)));
    assert!(matches!(store.commit(create("/c", "1")).await, Err(StoreError::Closed(_))));
    assert!(matches!(store.commit(create("/c", "1")).await, Err(StoreError::Closed(_))));
    let store = store.reopen();
    let published = Published::default();
    assert_eq!(store.start(Box::new(published.clone())).unwrap().revision, 1);
    assert!(matches!(store.commit(create("/d", "1")).await, Err(StoreError::Unknown(_))));
    assert!(published.all().is_empty());
    let store = store.reopen();
    let started = store.start(Box::new(Published::default())).unwrap();
    assert_eq!(started.entries, [entry("/a", 1, "1"), entry("/d", 2, "1")]);
}
