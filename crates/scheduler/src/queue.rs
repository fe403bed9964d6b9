//! Which pod is next: by priority, then by the longer wait. Pods that fit nowhere wait for news
//! that may let them in, and back off in between.

#[cfg(test)]
mod tests;

use crate::plugins::{ALL, bit};
use crate::pod::PodItem;
use base::Clock;
use client::cache::Key;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A pod is tried again after this long even where nothing seems to have changed.
const FLUSH_AFTER: Duration = Duration::from_secs(300);

/// Why a pod was not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// These plugins (a mask) said no; with none, any news may help.
    Unschedulable { by: u32 },
    /// It could not be tried, or its binding failed.
    Error,
}

struct Entry {
    pod: PodItem,
    /// Moves on whenever the entry is put back: the longest wait is the smallest.
    turn: u64,
    attempts: u32,
    first_queued: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    /// Being scheduled, or bound, since this piece of news. `woken`: to be tried again at once.
    InFlight {
        since: u64,
        woken: bool,
    },
    /// Waits for news, and at most [`FLUSH_AFTER`].
    Unschedulable {
        by: u32,
        since: Instant,
        backoff_until: Instant,
    },
    Backoff {
        until: Instant,
    },
}

type Order = (Reverse<i32>, u64, Key);

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Key, Entry>,
    active: BTreeSet<Order>,
    /// Waiting pods by when they become due.
    timers: BTreeSet<(Instant, Key)>,
    /// Pods that wait for news, by the plugins that keep them out.
    kept_out: BTreeMap<u32, BTreeSet<Key>>,
    backing_off: usize,
    turns: u64,
    /// Pieces of news so far, and the last that concerned each plugin.
    news: u64,
    last_news: [u64; ALL.len()],
}

/// The pod to try now.
pub struct Next {
    pub pod: PodItem,
    /// How often it was tried, this time included.
    pub attempts: u32,
    pub first_queued: Instant,
}

/// How many pods are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
}

pub struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
    clock: Clock,
    first_backoff: Duration,
    max_backoff: Duration,
}

impl Queue {
    pub fn new(clock: Clock, first_backoff: Duration, max_backoff: Duration) -> Self {
        Queue { inner: Mutex::default(), wake: Notify::new(), clock, first_backoff, max_backoff }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new or changed pod that wants a node. One that backs off goes on doing so.
    pub fn add(&self, pod: PodItem) {
        let now = self.clock.instant();
        let mut inner = self.lock();
        let Some(mut entry) = inner.take(&pod.key) else {
            let key = pod.key.clone();
            let entry = Entry { pod, turn: 0, attempts: 0, first_queued: now, state: State::Active };
            inner.insert(key, entry);
            drop(inner);
            return self.wake.notify_one();
        };
        if entry.pod.meta.uid != pod.meta.uid {
            entry.attempts = 0;
            entry.first_queued = now;
        }
        entry.state = match entry.state {
            State::InFlight { since, .. } => State::InFlight { since, woken: true },
            State::Unschedulable { backoff_until, .. } if backoff_until > now => {
                State::Backoff { until: backoff_until }
            }
            State::Backoff { until } => State::Backoff { until },
            _ => State::Active,
        };
        let key = pod.key.clone();
        entry.pod = pod;
        inner.insert(key, entry);
        drop(inner);
        self.wake.notify_one();
    }

    /// A change of a pod that does not bear on where it fits.
    pub fn refresh(&self, pod: &PodItem) {
        if let Some(entry) = self.lock().entries.get_mut(&pod.key) {
            entry.pod = pod.clone();
        }
    }

    /// Whether the pod is here, waiting or being scheduled.
    pub fn has(&self, key: &Key) -> bool {
        self.lock().entries.contains_key(key)
    }

    /// A pod that is gone or has a node.
    pub fn remove(&self, key: &Key) {
        self.lock().take(key);
    }

    /// Tries a pod again at once, whatever it waits for.
    pub fn activate(&self, key: &Key) {
        let mut inner = self.lock();
        if let Some(mut entry) = inner.take(key) {
            entry.state = match entry.state {
                State::InFlight { since, .. } => State::InFlight { since, woken: true },
                _ => State::Active,
            };
            inner.insert(key.clone(), entry);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// News of these kinds came. `helps` says of a pod and a plugin that keeps it out whether it may
    /// be let in now.
    pub fn tell(&self, kinds: u32, mut helps: impl FnMut(&PodItem, usize) -> bool) {
        let listening = |(place, plugin): (usize, &crate::framework::Plugin)| {
            if plugin.wakes_on & kinds != 0 { bit(place) } else { 0 }
        };
        let listening: u32 = ALL.iter().enumerate().map(listening).sum();
        let now = self.clock.instant();
        let mut inner = self.lock();
        inner.note(listening);
        let concerned = |by: u32| by == 0 || by & listening != 0;
        let keys = inner.kept_out.iter().filter(|(by, _)| concerned(**by)).flat_map(|(by, keys)| {
            let by = *by;
            keys.iter().map(move |key| (by, key.clone()))
        });
        let moved: Vec<Key> = keys
            .filter(|(by, key)| {
                let Some(entry) = inner.entries.get(key) else { return false };
                let mut plugins = (0..ALL.len()).filter(|place| by & listening & bit(*place) != 0);
                *by == 0 || plugins.any(|place| helps(&entry.pod, place))
            })
            .map(|(_, key)| key)
            .collect();
        let is_any = !moved.is_empty();
        for key in moved {
            inner.release(&key, now);
        }
        drop(inner);
        if is_any {
            self.wake.notify_one();
        }
    }

    /// The next pod; it is in flight until [`Queue::failed`] or [`Queue::remove`].
    pub async fn next(&self) -> Next {
        loop {
            let woken = self.wake.notified();
            let due = {
                let mut inner = self.lock();
                inner.activate_due(self.clock.instant());
                if let Some(next) = inner.pop() {
                    return next;
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

    pub fn failed(&self, key: &Key, failure: Failure) {
        let now = self.clock.instant();
        let mut inner = self.lock();
        let Some(mut entry) = inner.take(key) else { return };
        let factor = 2u32.saturating_pow(entry.attempts.saturating_sub(1));
        let until = now + self.first_backoff.saturating_mul(factor).min(self.max_backoff);
        entry.state = match (failure, entry.state) {
            (Failure::Unschedulable { by }, State::InFlight { since, woken: false }) if !inner.has_news(by, since) => {
                State::Unschedulable { by, since: now, backoff_until: until }
            }
            _ => State::Backoff { until },
        };
        inner.insert(key.clone(), entry);
        drop(inner);
        self.wake.notify_one();
    }

    pub fn depth(&self) -> Depth {
        let inner = self.lock();
        Depth {
            active: inner.active.len(),
            backoff: inner.backing_off,
            unschedulable: inner.kept_out.values().map(BTreeSet::len).sum(),
        }
    }
}

impl Inner {
    fn note(&mut self, listening: u32) {
        self.news += 1;
        for (place, last) in self.last_news.iter_mut().enumerate() {
            if listening & bit(place) != 0 {
                *last = self.news;
            }
        }
    }

    /// Whether news came for these plugins after that piece of it; for none: any news.
    fn has_news(&self, by: u32, since: u64) -> bool {
        if by == 0 {
            return self.news > since;
        }
        self.last_news.iter().enumerate().any(|(place, last)| by & bit(place) != 0 && *last > since)
    }

    /// Puts an entry where its state says, behind those that are there already.
    fn insert(&mut self, key: Key, mut entry: Entry) {
        self.turns += 1;
        entry.turn = self.turns;
        match entry.state {
            State::Active => drop(self.active.insert(order(&key, &entry))),
            State::Backoff { until } => {
                self.timers.insert((until, key.clone()));
                self.backing_off += 1;
            }
            State::Unschedulable { by, since, .. } => {
                self.timers.insert((since + FLUSH_AFTER, key.clone()));
                self.kept_out.entry(by).or_default().insert(key.clone());
            }
            State::InFlight { .. } => {}
        }
        self.entries.insert(key, entry);
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        match entry.state {
            State::Active => drop(self.active.remove(&order(key, &entry))),
            State::Backoff { until } => {
                self.timers.remove(&(until, key.clone()));
                self.backing_off -= 1;
            }
            State::Unschedulable { by, since, .. } => {
                self.timers.remove(&(since + FLUSH_AFTER, key.clone()));
                if let Some(keys) = self.kept_out.get_mut(&by) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.kept_out.remove(&by);
                    }
                }
            }
            State::InFlight { .. } => {}
        }
        Some(entry)
    }

    /// Lets a pod go that waited for news; it may still have to back off.
    fn release(&mut self, key: &Key, now: Instant) {
        let Some(mut entry) = self.take(key) else { return };
        if let State::Unschedulable { backoff_until, .. } = entry.state {
            let backs_off = backoff_until > now;
            entry.state = if backs_off { State::Backoff { until: backoff_until } } else { State::Active };
        }
        self.insert(key.clone(), entry);
    }

    fn activate_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            match self.take(&key) {
                Some(mut entry) => {
                    entry.state = State::Active;
                    self.insert(key, entry);
                }
                None => drop(self.timers.remove(&(at, key))),
            }
        }
    }

    fn pop(&mut self) -> Option<Next> {
        let (_, _, key) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::InFlight { since: self.news, woken: false };
        entry.attempts = entry.attempts.saturating_add(1);
        Some(Next { pod: entry.pod.clone(), attempts: entry.attempts, first_queued: entry.first_queued })
    }
}

fn order(key: &Key, entry: &Entry) -> Order {
    (Reverse(entry.pod.view.spec.priority), entry.turn, key.clone())
}
