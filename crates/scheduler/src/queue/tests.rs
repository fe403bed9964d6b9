//! The order of pods, and how long they wait.

use super::*;
use crate::news;
use client::cache::Item;
use std::sync::Arc;

fn pod(name: &str, priority: i32) -> PodItem {
    let object = serde_json::json!({
        "metadata": {"name": name, "namespace": "a", "uid": name}, "spec": {"priority": priority},
    });
    Arc::new(Item::read(object.to_string().into()).unwrap())
}

fn queue(clock: &Clock) -> Queue {
    Queue::new(clock.clone(), Duration::from_secs(1), Duration::from_secs(10))
}

/// The bit of NodeResourcesFit.
fn fit() -> u32 {
    bit(ALL.iter().position(|plugin| plugin.name == "NodeResourcesFit").unwrap())
}

async fn next(queue: &Queue) -> String {
    queue.next().await.pod.meta.name.clone()
}

#[tokio::test(start_paused = true)]
async fn priority_goes_before_age() {
    let queue = queue(&Clock::real());
    for (name, priority) in [("old", 0), ("young", 0), ("urgent", 9)] {
        queue.add(pod(name, priority));
    }
    for name in ["urgent", "old", "young"] {
        assert_eq!(next(&queue).await, name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_waits_for_news_that_helps_and_backs_off() {
    let clock = Clock::real();
    let queue = queue(&clock);
    let key = Key::new("a", "b");
    let kept_out = Failure::Unschedulable { by: fit() };
    queue.add(pod("b", 0));
    next(&queue).await;
    queue.failed(&key, kept_out);
    assert_eq!(queue.depth(), Depth { unschedulable: 1, ..Depth::default() });
    queue.tell(news::NODE_TAINT, |_, _| true);
    queue.tell(news::POD_DELETE, |_, _| false);
    assert!(clock.timeout(Duration::from_secs(100), queue.next()).await.is_err());
    queue.tell(news::POD_DELETE, |_, _| true);
    let began = clock.instant();
    next(&queue).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    queue.failed(&key, kept_out);
    queue.tell(news::POD_DELETE, |_, _| true);
    assert_eq!(queue.depth(), Depth { backoff: 1, ..Depth::default() });
    next(&queue).await;
    assert_eq!(began.elapsed().as_secs(), 2);
    queue.failed(&key, kept_out);
    let began = clock.instant();
    next(&queue).await;
    assert_eq!(began.elapsed(), FLUSH_AFTER);
}

#[tokio::test(start_paused = true)]
async fn back_off_grows_to_ten_seconds() {
    let clock = Clock::real();
    let queue = queue(&clock);
    queue.add(pod("b", 0));
    next(&queue).await;
    for seconds in [1, 2, 4, 8, 10, 10] {
        let began = clock.instant();
        queue.failed(&Key::new("a", "b"), Failure::Error);
        // Changes of the pod itself do not shorten it.
        queue.add(pod("b", 0));
        next(&queue).await;
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn news_during_the_try_is_not_missed() {
    let clock = Clock::real();
    let queue = queue(&clock);
    queue.add(pod("b", 0));
    next(&queue).await;
    queue.tell(news::POD_DELETE, |_, _| true);
    queue.failed(&Key::new("a", "b"), Failure::Unschedulable { by: fit() });
    assert_eq!(queue.depth().backoff, 1);
    assert_eq!(next(&queue).await, "b");
}
