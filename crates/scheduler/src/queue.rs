//! Which pod is next: by priority, then by age; pods that failed wait until something changes, and
//! back off in between.

use base::Clock;
use client::cache::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Upstream's bounds on the back-off of a pod that fits nowhere.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// A pod is tried again after this long even where nothing seems to have changed.
const FLUSH_AFTER: Duration = Duration::from_secs(300);

/// What the order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    pub priority: i32,
    /// RFC 3339 in UTC sorts as text.
    pub created: String,
}

struct Entry {
    rank: Rank,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    /// Being scheduled; a move meanwhile means: try again at once if it fails.
    InFlight {
        moved: bool,
    },
    /// Waits for a change, and at most until then.
    Unschedulable {
        since: Instant,
        backoff_until: Instant,
    },
    Backoff {
        until: Instant,
    },
}

type Order = (std::cmp::Reverse<i32>, String, Key);

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Key, Entry>,
    active: BTreeSet<Order>,
    /// Waiting pods by when they become due.
    timers: BTreeSet<(Instant, Key)>,
}

pub struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
    clock: Clock,
}

impl Queue {
    pub fn new(clock: Clock) -> Self {
        Queue { inner: Mutex::default(), wake: Notify::new(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new or changed pod that wants a node.
    pub fn add(&self, key: Key, rank: Rank) {
        let mut inner = self.lock();
        let known = inner.entries.get(&key).map(|entry| (entry.state, entry.attempts));
        match known {
            Some((State::InFlight { .. }, _)) => {
                if let Some(entry) = inner.entries.get_mut(&key) {
                    entry.rank = rank;
                    entry.state = State::InFlight { moved: true };
                }
            }
            other => {
                let attempts = other.map_or(0, |(_, attempts)| attempts);
                inner.drop_entry(&key);
                inner.insert(key, Entry { rank, attempts, state: State::Active });
            }
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// A pod that is gone or has a node.
    pub fn remove(&self, key: &Key) {
        self.lock().drop_entry(key);
    }

    /// Something changed that may let waiting pods in.
    pub fn move_all(&self) {
        let mut inner = self.lock();
        let now = self.clock.instant();
        let waiting: Vec<Key> = inner.entries.keys().cloned().collect();
        for key in waiting {
            inner.move_one(&key, now);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// The next pod; it is in flight until [`Queue::failed`] or [`Queue::remove`].
    pub async fn next(&self) -> Key {
        loop {
            let woken = self.wake.notified();
            let due = {
                let mut inner = self.lock();
                inner.activate_due(self.clock.instant());
                if let Some(key) = inner.pop() {
                    return key;
                }
                inner.timers.first().map(|(at, _)| *at)
            };
            match due {
                None => woken.await,
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = woken => {}
                        () = self.clock.sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// The pod fits nowhere (or, with `is_error`, could not be tried).
    pub fn failed(&self, key: &Key, is_error: bool) {
        let now = self.clock.instant();
        let mut inner = self.lock();
        let Some(mut entry) = inner.entries.remove(key) else { return };
        entry.attempts = entry.attempts.saturating_add(1);
        let factor = 2u32.saturating_pow(entry.attempts.saturating_sub(1));
        let until = now + FIRST_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF);
        entry.state = match entry.state {
            State::InFlight { moved: false } if !is_error => State::Unschedulable { since: now, backoff_until: until },
            _ => State::Backoff { until },
        };
        inner.insert(key.clone(), entry);
        drop(inner);
        self.wake.notify_one();
    }
}

impl Inner {
    fn insert(&mut self, key: Key, entry: Entry) {
        match entry.state {
            State::Active => {
                self.active.insert(order(&key, &entry.rank));
            }
            State::Backoff { until } => {
                self.timers.insert((until, key.clone()));
            }
            State::Unschedulable { since, .. } => {
                self.timers.insert((since + FLUSH_AFTER, key.clone()));
            }
            State::InFlight { .. } => {}
        }
        self.entries.insert(key, entry);
    }

    fn drop_entry(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        match entry.state {
            State::Active => {
                self.active.remove(&order(key, &entry.rank));
            }
            State::Backoff { until } => {
                self.timers.remove(&(until, key.clone()));
            }
            State::Unschedulable { since, .. } => {
                self.timers.remove(&(since + FLUSH_AFTER, key.clone()));
            }
            State::InFlight { .. } => {}
        }
        Some(entry)
    }

    fn move_one(&mut self, key: &Key, now: Instant) {
        let next = match self.entries.get(key).map(|entry| entry.state) {
            Some(State::Unschedulable { backoff_until, .. }) if backoff_until > now => {
                State::Backoff { until: backoff_until }
            }
            Some(State::Unschedulable { .. }) => State::Active,
            Some(State::InFlight { .. }) => State::InFlight { moved: true },
            _ => return,
        };
        if let Some(mut entry) = self.drop_entry(key) {
            entry.state = next;
            self.insert(key.clone(), entry);
        }
    }

    fn activate_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            match self.drop_entry(&key) {
                Some(mut entry) => {
                    entry.state = State::Active;
                    self.insert(key, entry);
                }
                None => {
                    self.timers.remove(&(at, key));
                }
            }
        }
    }

    fn pop(&mut self) -> Option<Key> {
        let (_, _, key) = self.active.pop_first()?;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::InFlight { moved: false };
        }
        Some(key)
    }
}

fn order(key: &Key, rank: &Rank) -> Order {
    (std::cmp::Reverse(rank.priority), rank.created.clone(), key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: i32, created: &str) -> Rank {
        Rank { priority, created: created.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn priority_goes_before_age() {
        let queue = Queue::new(Clock::real());
        queue.add(Key::new("a", "old"), rank(0, "1"));
        queue.add(Key::new("a", "urgent"), rank(9, "3"));
        queue.add(Key::new("a", "young"), rank(0, "2"));
        for name in ["urgent", "old", "young"] {
            assert_eq!(queue.next().await, Key::new("a", name));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_fits_nowhere_waits_for_a_change_and_backs_off() {
        let clock = Clock::real();
        let queue = Queue::new(clock.clone());
        let key = Key::new("a", "b");
        queue.add(key.clone(), rank(0, "1"));
        assert_eq!(queue.next().await, key);
        queue.failed(&key, false);
        let began = clock.instant();
        assert!(clock.timeout(Duration::from_secs(100), queue.next()).await.is_err());
        queue.move_all();
        assert_eq!(queue.next().await, key);
        assert!(began.elapsed() < Duration::from_secs(101));
        queue.failed(&key, false);
        queue.move_all();
        let began = clock.instant();
        assert_eq!(queue.next().await, key);
        assert_eq!(began.elapsed().as_secs(), 2);
        queue.failed(&key, false);
        let began = clock.instant();
        assert_eq!(queue.next().await, key);
        assert_eq!(began.elapsed(), FLUSH_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_try_is_not_missed() {
        let queue = Queue::new(Clock::real());
        let key = Key::new("a", "b");
        queue.add(key.clone(), rank(0, "1"));
        queue.next().await;
        queue.move_all();
        queue.failed(&key, false);
        assert_eq!(queue.next().await, key);
    }
}
