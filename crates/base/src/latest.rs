//! A value that tasks wait on until it is as they want it. Like tokio's `watch`, but tasks wake in
//! the order in which they began to wait: `watch` draws it by lot, which would make a simulation
//! differ from its replay.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A shared value; clones are the same one.
pub struct Latest<T>(Arc<Inner<T>>);

struct Inner<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Latest(self.0.clone())
    }
}

impl<T> Latest<T> {
    pub fn new(value: T) -> Self {
        Latest(Arc::new(Inner { value: Mutex::new(value), changed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.lock())
    }

    /// Changes the value; wakes those who wait if `change` says that there is news.
    pub fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        let news = change(&mut self.lock());
        if news {
            self.0.changed.notify_waiters();
        }
    }

    /// Waits until `done` holds; at once if it does.
    pub async fn wait(&self, mut done: impl FnMut(&T) -> bool) {
        loop {
            // Made before looking: it is woken by every change from here on.
            let changed = self.0.changed.notified();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tasks;

    #[tokio::test]
    async fn tasks_wake_in_the_order_they_came_and_only_when_it_is_so() {
        let latest = Latest::new(0);
        let tasks = Tasks::new();
        let order: Arc<Mutex<Vec<u32>>> = Arc::default();
        for number in 0..50 {
            let (latest, order) = (latest.clone(), order.clone());
            tasks.spawn("waiter", async move {
                latest.wait(|value| *value >= 2).await;
                order.lock().unwrap().push(number);
            });
        }
        for value in 1..=2 {
            tokio::task::yield_now().await;
            assert!(order.lock().unwrap().is_empty());
            latest.change(|latest| {
                *latest = value;
                true
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
        latest.wait(|value| *value == 2).await;
    }
}
