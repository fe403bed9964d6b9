//! A store that shows everything it writes to the [`Ledger`] before anybody else sees it.

use crate::ledger::Ledger;
use base::Timestamp;
use std::sync::Arc;
use store::{BoxFuture, Entry, Event, MemoryStore, Revision, Sink, Started, Store, StoreError, Write};

pub struct Witness {
    pub inner: MemoryStore,
    pub ledger: Arc<Ledger>,
}

impl Witness {
    /// Writes that became durable in the moment of a crash were never published: they are read
    /// from the store's history.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let missed = self.inner.history(self.ledger.seen(), usize::MAX).await?;
        self.ledger.observe(&missed);
        Ok(())
    }
}

struct Tee {
    ledger: Arc<Ledger>,
    sink: Box<dyn Sink>,
}

impl Sink for Tee {
    fn publish(&mut self, events: &[Event]) {
        self.ledger.observe(events);
        self.sink.publish(events);
    }
}

impl Store for Witness {
    fn start(&self, sink: Box<dyn Sink>) -> Result<Started, StoreError> {
        self.inner.start(Box::new(Tee { ledger: self.ledger.clone(), sink }))
    }

    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, StoreError>> {
        self.inner.commit(write)
    }

    fn history(&self, after: Revision, limit: usize) -> BoxFuture<'static, Result<Vec<Event>, StoreError>> {
        self.inner.history(after, limit)
    }

    fn entries_at(&self, prefix: Arc<str>, at: Revision) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.inner.entries_at(prefix, at)
    }

    fn compact(&self, before: Revision) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.compact(before)
    }

    fn written_at(&self, revision: Revision) -> BoxFuture<'static, Result<Option<Timestamp>, StoreError>> {
        self.inner.written_at(revision)
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.inner.close()
    }

    fn closed(&self) -> BoxFuture<'static, String> {
        self.inner.closed()
    }
}
