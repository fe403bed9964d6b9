//! A revisioned key-value store: bytes by key, one revision per write, history to resume from.
//!
//! Knows no kinds and no JSON. Only `apiserver` (and wiring and tests) uses it. A write is
//! answered after it is durable and after it was published, never before; an fsync error is fatal.

mod memory;
mod reseal;
mod sqlite;

#[cfg(test)]
mod tests;

pub use memory::{Fault, Faults, MemoryStore};
pub use reseal::reseal;
pub use sqlite::{OpenError, Options, SqliteStore};

use base::Timestamp;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A position in the store's history: grows by one with every write, never repeats.
pub type Revision = u64;

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value: a create.
    Absent,
    /// The key's last write was at this revision.
    Revision(Revision),
}

/// One key's change: a put, or with no value a delete.
#[derive(Debug, Clone)]
pub struct Write {
    pub key: Arc<str>,
    pub expect: Expect,
    pub value: Option<Bytes>,
    /// Deletes only: the last state of the object, kept in history and published for watchers.
    pub last: Option<Bytes>,
}

/// A key's value and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Arc<str>,
    pub revision: Revision,
    pub value: Bytes,
}

/// A durable write, as published and as kept in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub revision: Revision,
    pub key: Arc<str>,
    /// None: deleted.
    pub value: Option<Bytes>,
    /// What the key held before, with its revision; None: it was created.
    pub previous: Option<(Revision, Bytes)>,
    /// Of a delete: the `last` given with the write.
    pub last: Option<Bytes>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The expectation did not hold; here is what does. None: the key has no value.
    #[error("the key was changed meanwhile")]
    Conflict { current: Option<Entry> },
    #[error("revision {asked} is compacted; the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("cannot seal the value: {0}")]
    Seal(String),
    #[error("too many writes are waiting")]
    Busy,
    /// The disk failed or is full, or the store is shut down: nothing was written.
    #[error("the store is closed: {0}")]
    Closed(String),
    /// The disk failed while the write was on its way: it may or may not be there after a
    /// restart. It was not published.
    #[error("the store failed, and the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// A stored value could not be opened, as with a wrong key.
    #[error("the value stored under {key} cannot be read: {cause}")]
    Unreadable { key: Arc<str>, cause: String },
}

/// Is told of every durable write, in revision order, before the write is answered. Runs on the
/// store's writer: must be quick and must not call the store.
pub trait Sink: Send {
    fn publish(&mut self, events: &[Event]);
}

/// Seals values on their way to disk and opens them on the way back; what is published and
/// returned is always plain. Errors are texts for the log.
pub trait Transformer: Send + Sync {
    /// None: this key's values are stored as they are. An error refuses the write.
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// Values that were stored before sealing was switched on come back as they are.
    fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, String>;
}

/// The store as the API server uses it.
pub trait Store: Send + Sync {
    /// Hands over the state as of now and every event after it, without a gap: `sink` gets the
    /// first event after the returned revision. May be called once. Entries come in key order.
    fn start(&self, sink: Box<dyn Sink>) -> Result<Started, StoreError>;

    /// Writes one key, and answers once the write is durable and published. Dropping the future
    /// does not take the write back.
    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, StoreError>>;

    /// The events after `after`, oldest first, at most `limit` of them.
    fn history(&self, after: Revision, limit: usize) -> BoxFuture<'static, Result<Vec<Event>, StoreError>>;

    /// All entries under `prefix` as they were at `at`, in key order: for continue tokens and
    /// exact reads that outlive the API server's memory.
    fn entries_at(&self, prefix: Arc<str>, at: Revision) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>>;

    /// Forgets what was overwritten or deleted up to `before`: `history` can then resume after it
    /// and `entries_at` show it, but nothing older. Answers once that is done.
    fn compact(&self, before: Revision) -> BoxFuture<'static, Result<(), StoreError>>;

    /// When `revision` was written, as far as the store knows; for compaction by age.
    fn written_at(&self, revision: Revision) -> BoxFuture<'static, Result<Option<Timestamp>, StoreError>>;

    /// Ends the writer after what is queued; later writes fail with Closed.
    fn close(&self) -> BoxFuture<'static, ()>;

    /// Waits until the store has closed or failed, and says why.
    fn closed(&self) -> BoxFuture<'static, String>;
}

/// The state a [`Store`] starts with.
#[derive(Debug)]
pub struct Started {
    pub revision: Revision,
    /// The oldest revision that `history` can resume after.
    pub oldest: Revision,
    pub entries: Vec<Entry>,
}
