//! The plain limits that hold where priority and fairness is off: so many requests that read, so
//! many that write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts requests under way; 0 as a limit is none.
pub struct Inflight {
    reading: Arc<AtomicU32>,
    writing: Arc<AtomicU32>,
    most_reading: u32,
    most_writing: u32,
}

/// One request's place; it is free again when this is dropped.
pub struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inflight {
    pub fn new(most_reading: u32, most_writing: u32) -> Self {
        Inflight { reading: Arc::default(), writing: Arc::default(), most_reading, most_writing }
    }

    /// None: there are too many already. Nobody limits `privileged`.
    pub fn enter(&self, reads: bool, privileged: bool) -> Option<Slot> {
        let (count, most) = if reads { (&self.reading, self.most_reading) } else { (&self.writing, self.most_writing) };
        let before = count.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(count.clone());
        (privileged || most == 0 || before < most).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_and_writers_are_counted_apart_and_masters_not_held() {
        let inflight = Inflight::new(1, 1);
        let held = inflight.enter(true, false);
        assert!(held.is_some());
        assert!(inflight.enter(true, false).is_none());
        assert!(inflight.enter(true, true).is_some());
        assert!(inflight.enter(false, false).is_some());
        drop(held);
        assert!(inflight.enter(true, false).is_some());
    }
}
