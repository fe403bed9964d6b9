//! The work queue of a controller: keys wait once however often they are added, are worked on by one
//! worker at a time, and come back later after a failure.
//!
//! Its size is bounded by the number of distinct keys, that is, of objects.

use base::Env;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The first and the longest delay after failures of one key (client-go's defaults).
pub const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1000));

/// A time, and a number that keeps keys of one instant in order of arrival.
type Due = (tokio::time::Instant, u64);

/// A queue; clones are the same queue.
pub struct WorkQueue<K> {
    inner: Arc<Inner<K>>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        WorkQueue { inner: self.inner.clone() }
    }
}

struct Inner<K> {
    env: Env,
    retry: (Duration, Duration),
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Ready, or to become ready again when their worker is done.
    dirty: BTreeSet<K>,
    working: BTreeSet<K>,
    /// When each waiting key becomes ready; the earliest time asked for counts.
    waiting: BTreeMap<K, Due>,
    /// The same by time.
    by_time: BTreeMap<Due, K>,
    arrivals: u64,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> WorkQueue<K> {
    pub fn new(env: &Env) -> Self {
        Self::with_retry(env, RETRY)
    }

    /// A queue with its own first and longest delay after failures.
    pub fn with_retry(env: &Env, retry: (Duration, Duration)) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: BTreeSet::new(),
            working: BTreeSet::new(),
            waiting: BTreeMap::new(),
            by_time: BTreeMap::new(),
            arrivals: 0,
            failures: BTreeMap::new(),
        };
        let inner = Inner { env: env.clone(), retry, state: Mutex::new(state), wake: Notify::new() };
        WorkQueue { inner: Arc::new(inner) }
    }

    /// Adds `key` unless it waits already. A key being worked on comes again afterwards.
    pub fn add(&self, key: K) {
        let mut state = self.state();
        state.add(key);
        drop(state);
        self.inner.wake.notify_one();
    }

    /// Adds `key` after `delay`, or earlier if it was to come earlier.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let due = self.inner.env.clock.instant() + delay;
        self.state().add_at(key, due);
        self.inner.wake.notify_one();
    }

    /// Adds `key` after a delay that doubles with each failure since [`WorkQueue::forget`].
    pub fn retry(&self, key: K) {
        let (first, limit) = self.inner.retry;
        let mut state = self.state();
        let failures = state.failures.entry(key.clone()).or_insert(0);
        let delay = first.saturating_mul(2u32.saturating_pow(*failures)).min(limit);
        *failures = failures.saturating_add(1);
        drop(state);
        self.add_after(key, delay);
    }

    /// How often `key` failed since it was forgotten.
    pub fn failures(&self, key: &K) -> u32 {
        self.state().failures.get(key).copied().unwrap_or(0)
    }

    /// The key is well: its next failure counts as the first.
    pub fn forget(&self, key: &K) {
        self.state().failures.remove(key);
    }

    /// Waits for the next key. The caller works on it and then calls [`WorkQueue::done`].
    pub async fn next(&self) -> K {
        loop {
            // Registered before looking, so that an addition in between is not missed.
            let woken = self.inner.wake.notified();
            let (key, due) = self.take();
            if let Some(key) = key {
                return key;
            }
            match due {
                None => woken.await,
                Some(due) => tokio::select! {
                    biased;
                    () = woken => {}
                    () = self.inner.env.clock.sleep_until(due) => {}
                },
            }
        }
    }

    pub fn done(&self, key: &K) {
        let mut state = self.state();
        state.working.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.inner.wake.notify_one();
        }
    }

    /// How many keys are ready to be worked on.
    pub fn len(&self) -> usize {
        self.state().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key that is ready, or when the first waiting one will be.
    fn take(&self) -> (Option<K>, Option<tokio::time::Instant>) {
        let mut state = self.state();
        state.promote(self.inner.env.clock.instant());
        let Some(key) = state.ready.pop_front() else {
            return (None, state.by_time.keys().next().map(|(due, _)| *due));
        };
        state.dirty.remove(&key);
        state.working.insert(key.clone());
        let more = !state.ready.is_empty() || !state.by_time.is_empty();
        drop(state);
        if more {
            // One wake-up may have stood for several keys, or this worker kept the time for others.
            self.inner.wake.notify_one();
        }
        (Some(key), None)
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    fn add(&mut self, key: K) {
        if self.dirty.insert(key.clone()) && !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, due: tokio::time::Instant) {
        if let Some(earlier) = self.waiting.get(&key).copied() {
            if earlier.0 <= due {
                return;
            }
            self.by_time.remove(&earlier);
        }
        self.arrivals += 1;
        self.waiting.insert(key.clone(), (due, self.arrivals));
        self.by_time.insert((due, self.arrivals), key);
    }

    /// Makes the keys ready whose time has come.
    fn promote(&mut self, now: tokio::time::Instant) {
        while let Some(first) = self.by_time.first_entry() {
            if first.key().0 > now {
                return;
            }
            let key = first.remove();
            self.waiting.remove(&key);
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::simulated(1, base::Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_comes_back_after_its_worker() {
        let queue = WorkQueue::new(&env());
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert_eq!(queue.next().await, "b", "a is being worked on, so it must not be handed out again");
        assert!(queue.is_empty());
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_and_the_earliest_time_counts() {
        let env = env();
        let queue = WorkQueue::new(&env);
        let start = env.clock.instant();
        let mut times = Vec::new();
        for _ in 0..4 {
            queue.retry("a");
            assert_eq!(queue.next().await, "a");
            queue.done(&"a");
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, [5, 15, 35, 75]);
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(30));
        queue.add_after("b", Duration::from_secs(20));
        assert_eq!((queue.next().await, queue.next().await), ("a", "b"));
        assert_eq!(start.elapsed().as_secs(), 20);
        assert!(queue.state().by_time.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn several_workers_share_the_keys() {
        let env = env();
        let queue = WorkQueue::new(&env);
        let done = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..3 {
            let (queue, done, clock) = (queue.clone(), done.clone(), env.clock.clone());
            env.tasks.spawn("worker", async move {
                loop {
                    let key = queue.next().await;
                    clock.sleep(Duration::from_secs(1)).await;
                    done.lock().unwrap().push(key);
                    queue.done(&key);
                }
            });
        }
        (0..9).for_each(|key| queue.add_after(key, Duration::from_millis(10)));
        env.clock.sleep(Duration::from_millis(3100)).await;
        assert_eq!(done.lock().unwrap().len(), 9, "three workers do nine one-second keys in three seconds");
        env.tasks.stop().await;
    }
}
