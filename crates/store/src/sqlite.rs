//! The embedded store: one SQLite database in write-ahead mode, one writer thread, group commit.
//!
//! Writes go through a bounded queue to the writer (`writer`), which commits all that wait
//! as one transaction: the fsync, not the insert, is what costs. Reads of history run beside it on
//! connections of their own (`queries`). A second thread moves the log into the database
//! (`checkpoint`). `open` guards the data directory.

mod checkpoint;
mod open;
mod queries;
mod writer;

#[cfg(test)]
mod tests;

pub use open::{OpenError, Options};

use crate::{BoxFuture, Entry, Event, Revision, Sink, Started, Store, StoreError, Transformer, Write};
use base::{Env, Tasks, Timestamp};
use bytes::Bytes;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use writer::{Command, Queued};

/// History is read over this many connections at a time; further readers wait.
const READERS: usize = 2;
/// Values waiting to be written may hold this many KiB in all.
const QUEUE_KIB: u32 = 64 * 1024;

/// The store in a data directory. Dropping it ends the writer after what is queued; call
/// [`Store::close`] to wait for that.
pub struct SqliteStore {
    queue: mpsc::Sender<Command>,
    queue_room: Arc<Semaphore>,
    ended: watch::Receiver<Option<String>>,
    readers: Arc<Readers>,
    transformer: Option<Arc<dyn Transformer>>,
}

impl SqliteStore {
    /// Opens the store in `dir`, creating both if need be. `transformer` seals values on disk.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the path and what is wrong with it.
    pub fn open(dir: &Path, env: &Env, transformer: Option<Arc<dyn Transformer>>) -> Result<SqliteStore, OpenError> {
        Self::open_with(dir, env, Options { transformer, ..Options::default() })
    }

    /// As [`SqliteStore::open`], with the knobs that tests turn.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(dir: &Path, env: &Env, options: Options) -> Result<SqliteStore, OpenError> {
        let directory = open::Directory::open(dir, &options)?;
        let writer = directory.connect()?;
        let next = open::prepare(&writer, &directory)?;
        let readers = (0..READERS).map(|_| directory.connect_reader()).collect::<Result<Vec<_>, _>>()?;
        let (queue, commands) = mpsc::channel(options.queue);
        let (end, ended) = watch::channel(None);
        let checkpoints = checkpoint::start(directory.connect()?, options.checkpoint_bytes, queue.downgrade())
            .map_err(OpenError::Thread)?;
        let readers = Arc::new(Readers {
            idle: Mutex::new(readers),
            free: Semaphore::new(READERS),
            transformer: options.transformer.clone(),
            tasks: env.tasks.clone(),
        });
        writer::start(writer::Setup {
            connection: writer,
            next,
            transformer: options.transformer.clone(),
            clock: env.clock.clone(),
            checkpoints,
            readers: Arc::clone(&readers),
            directory,
            commands,
            end,
        })
        .map_err(OpenError::Thread)?;
        let queue_room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        Ok(SqliteStore { queue, queue_room, ended, readers, transformer: options.transformer })
    }

    fn closed_error(&self) -> StoreError {
        closed_error(&self.ended)
    }

    fn enqueue(&self, write: Write) -> Result<oneshot::Receiver<Result<Revision, StoreError>>, StoreError> {
        let size = write.value.as_ref().map_or(0, Bytes::len) + write.last.as_ref().map_or(0, Bytes::len);
        let kib = u32::try_from(size / 1024 + 1).unwrap_or(QUEUE_KIB).min(QUEUE_KIB);
        let room = Arc::clone(&self.queue_room).try_acquire_many_owned(kib).map_err(|_| StoreError::Busy)?;
        // Sealed here, on the caller's thread: the writer is the one thing all writes share.
        let seal = |value: &Option<Bytes>| match (&self.transformer, value) {
            (Some(transformer), Some(value)) => transformer.seal(&write.key, value).map_err(StoreError::Seal),
            _ => Ok(None),
        };
        let (sealed_value, sealed_last) = (seal(&write.value)?, seal(&write.last)?);
        let (answer, answered) = oneshot::channel();
        let queued = Queued { write, size, sealed_value, sealed_last, answer, _room: room };
        match self.queue.try_send(Command::Commit(queued)) {
            Ok(()) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Closed(_)) => Err(self.closed_error()),
        }
    }

    fn read<T, R>(&self, read: R) -> BoxFuture<'static, Result<T, StoreError>>
    where
        T: Send + 'static,
        R: FnOnce(&mut Connection, Option<&dyn Transformer>) -> Result<T, queries::ReadError> + Send + 'static,
    {
        let (readers, ended) = (Arc::clone(&self.readers), self.ended.clone());
        Box::pin(async move {
            match readers.read(read).await {
                Some(outcome) => outcome.map_err(StoreError::from),
                None => Err(closed_error(&ended)),
            }
        })
    }
}

fn closed_error(ended: &watch::Receiver<Option<String>>) -> StoreError {
    let why = ended.borrow().clone();
    StoreError::Closed(why.unwrap_or_else(|| "the writer is gone".to_owned()))
}

impl Store for SqliteStore {
    fn start(&self, sink: Box<dyn Sink>) -> Result<Started, StoreError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        match self.queue.try_send(Command::Start(sink, answer)) {
            Ok(()) => answered.recv().unwrap_or_else(|_| Err(self.closed_error())),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Closed(_)) => Err(self.closed_error()),
        }
    }

    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, StoreError>> {
        // Queued now, not at the first poll, so that writes happen in the order of the calls.
        let queued = self.enqueue(write);
        Box::pin(async move {
            // The writer answers all it took, unless it panicked, at whatever point.
            queued?.await.unwrap_or_else(|_| Err(StoreError::Unknown("the writer is gone".to_owned())))
        })
    }

    fn history(&self, after: Revision, limit: usize) -> BoxFuture<'static, Result<Vec<Event>, StoreError>> {
        self.read(move |connection, transformer| queries::history(connection, transformer, after, limit))
    }

    fn entries_at(&self, prefix: Arc<str>, at: Revision) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.read(move |connection, transformer| queries::entries_at(connection, transformer, &prefix, at))
    }

    fn compact(&self, before: Revision) -> BoxFuture<'static, Result<(), StoreError>> {
        let (queue, ended) = (self.queue.clone(), self.ended.clone());
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            // Where the writer is gone the answer's sender is dropped with the command.
            let _ = queue.send(Command::Compact(before, answer)).await;
            answered.await.map_err(|_| closed_error(&ended))
        })
    }

    fn written_at(&self, revision: Revision) -> BoxFuture<'static, Result<Option<Timestamp>, StoreError>> {
        self.read(move |connection, _| queries::written_at(connection, revision))
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let (queue, closed) = (self.queue.clone(), self.closed());
        Box::pin(async move {
            let _ = queue.send(Command::Close).await;
            // A sender kept here would keep the queue open for writes that nobody answers.
            drop(queue);
            closed.await;
        })
    }

    fn closed(&self) -> BoxFuture<'static, String> {
        let mut ended = self.ended.clone();
        Box::pin(async move {
            match ended.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "the writer is gone".to_owned(),
            }
        })
    }
}

/// A few connections for reading, lent out one reader at a time.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
    transformer: Option<Arc<dyn Transformer>>,
    tasks: Tasks,
}

impl Readers {
    /// None: the store is closed.
    async fn read<T, R>(self: Arc<Self>, read: R) -> Option<Result<T, queries::ReadError>>
    where
        T: Send + 'static,
        R: FnOnce(&mut Connection, Option<&dyn Transformer>) -> Result<T, queries::ReadError> + Send + 'static,
    {
        let readers = Arc::clone(&self);
        let permit = self.free.acquire().await.ok()?;
        let work = move || {
            let mut connection = readers.lock().pop()?;
            let outcome = read(&mut connection, readers.transformer.as_deref());
            // Closed meanwhile: the connection must not outlive the store's lock on the directory.
            if !readers.free.is_closed() {
                readers.lock().push(connection);
            }
            Some(outcome)
        };
        let outcome = self.tasks.spawn_blocking(work).await;
        drop(permit);
        outcome.ok().flatten()
    }

    fn close(&self) {
        self.free.close();
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
