//! The writer thread: all waiting writes become one transaction, one fsync, one publication.
//!
//! The order is what the rest of the system stands on: commit (with fsync), then publish, then
//! answer. Any error of the database ends the thread for good: after a failed fsync nobody can say
//! what is on the disk, so nothing more is accepted until a restart has read it.

use super::checkpoint::Checkpoints;
use super::open::Directory;
use super::queries::{self, ReadError, signed};
use super::{Readers, closed_error};
use crate::{Entry, Event, Expect, Revision, Sink, Started, StoreError, Transformer, Write};
use base::{Clock, tasks};
use rusqlite::{Connection, params};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::error;

/// One transaction takes at most this many writes and bytes, so that the first of them does not
/// wait for too many others.
const BATCH_WRITES: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// What a row takes in the log beyond its value: keys, index pages, page headers.
const ROW_OVERHEAD: usize = 4096;
/// Compaction removes at most this many revisions per transaction, between the batches of writes.
const COMPACT_SLICE: Revision = 256;

pub(super) enum Command {
    Commit(Queued),
    Start(Box<dyn Sink>, SyncSender<Result<Started, StoreError>>),
    Compact(Revision, oneshot::Sender<()>),
    /// The checkpoint thread met an error.
    Failed(String),
    Close,
}

/// A write that waits, with what goes to disk in place of its values where they are sealed.
pub(super) struct Queued {
    pub(super) write: Write,
    pub(super) size: usize,
    pub(super) sealed_value: Option<Vec<u8>>,
    pub(super) sealed_last: Option<Vec<u8>>,
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What [`start`] needs.
pub(super) struct Setup {
    pub(super) connection: Connection,
    pub(super) next: Revision,
    pub(super) transformer: Option<Arc<dyn Transformer>>,
    pub(super) clock: Clock,
    pub(super) checkpoints: Checkpoints,
    pub(super) readers: Arc<Readers>,
    pub(super) directory: Directory,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) end: watch::Sender<Option<String>>,
}

struct Writer {
    connection: Connection,
    next: Revision,
    transformer: Option<Arc<dyn Transformer>>,
    clock: Clock,
    checkpoints: Checkpoints,
    sink: Option<Box<dyn Sink>>,
    compaction: Option<Compaction>,
}

/// A compaction under way: done up to `done`, to go on to `target`.
struct Compaction {
    done: Revision,
    target: Revision,
    waiting: Vec<(Revision, oneshot::Sender<()>)>,
}

/// What a transaction did.
struct Applied {
    /// Of each write.
    outcomes: Vec<Result<Event, StoreError>>,
    /// How far compaction got.
    compacted: Option<Revision>,
}

/// Why the writer stops.
enum Stop {
    Closed,
    Failed(String),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Failed(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => format!("the disk is full: {error}"),
            _ => error.to_string(),
        })
    }
}

pub(super) fn start(setup: Setup) -> std::io::Result<()> {
    let Setup { connection, next, transformer, clock, checkpoints, readers, directory, mut commands, end } = setup;
    let mut writer = Writer { connection, next, transformer, clock, checkpoints, sink: None, compaction: None };
    tasks::thread("store-writer", move || {
        let why = match writer.run(&mut commands) {
            Stop::Closed => "it was shut down".to_owned(),
            Stop::Failed(cause) => {
                error!(%cause, "the store has failed and accepts no more writes");
                cause
            }
        };
        // The database and the lock go before the news, so that who waited can open it anew.
        commands.close();
        writer.checkpoints.stop();
        readers.close();
        drop((writer.sink, writer.connection));
        drop(directory);
        let ended = end.subscribe();
        end.send_replace(Some(why));
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Commit(queued) => drop(queued.answer.send(Err(closed_error(&ended)))),
                Command::Start(_, answer) => drop(answer.send(Err(closed_error(&ended)))),
                // Its waiter learns it from the dropped sender.
                Command::Compact(..) | Command::Failed(_) | Command::Close => {}
            }
        }
    })?;
    Ok(())
}

impl Writer {
    fn run(&mut self, commands: &mut mpsc::Receiver<Command>) -> Stop {
        loop {
            // While there is something to compact the writer does not wait for more to write.
            let mut next = if self.compaction.is_some() { commands.try_recv().ok() } else { commands.blocking_recv() };
            if next.is_none() && self.compaction.is_none() {
                return Stop::Closed;
            }
            let (mut batch, mut bytes, mut other) = (Vec::new(), 0, None);
            while let Some(command) = next {
                match command {
                    Command::Commit(queued) => {
                        bytes += queued.size + ROW_OVERHEAD;
                        batch.push(queued);
                    }
                    command => {
                        other = Some(command);
                        break;
                    }
                }
                let room = batch.len() < BATCH_WRITES && bytes < BATCH_BYTES;
                next = if room { commands.try_recv().ok() } else { None };
            }
            let mut outcome = self.commit(batch, bytes);
            if let (Ok(()), Some(command)) = (&outcome, other) {
                outcome = self.obey(command);
            }
            if let Err(stop) = outcome {
                return stop;
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Start(sink, answer) => {
                let started = queries::started(&self.connection, self.transformer.as_deref(), self.next - 1);
                self.sink = started.is_ok().then_some(sink);
                let _ = answer.send(started.map_err(StoreError::from));
                Ok(())
            }
            Command::Compact(before, answer) => self.plan_compaction(before, answer),
            Command::Failed(cause) => Err(Stop::Failed(cause)),
            Command::Close => Err(Stop::Closed),
            Command::Commit(queued) => self.commit(vec![queued], 0),
        }
    }

    /// Writes `batch` and a slice of the compaction, if one is under way, as one transaction.
    fn commit(&mut self, batch: Vec<Queued>, bytes: usize) -> Result<(), Stop> {
        if batch.is_empty() && self.compaction.is_none() {
            return Ok(());
        }
        let applied = match self.apply(&batch) {
            Ok(applied) => applied,
            Err(cause) => {
                // Nothing was committed; and if the roll-back fails too, closing does it.
                let _ = self.connection.execute_batch("ROLLBACK");
                answer_all(batch, StoreError::Closed, &cause);
                return Err(cause);
            }
        };
        if let Err(error) = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            let cause = Stop::from(error);
            answer_all(batch, StoreError::Unknown, &cause);
            return Err(cause);
        }
        self.publish_and_answer(batch, applied.outcomes);
        if let (Some(done), Some(compaction)) = (applied.compacted, &mut self.compaction) {
            compaction.done = done;
            compaction.answer();
            self.compaction.take_if(|compaction| compaction.done >= compaction.target);
        }
        self.checkpoints.wrote(bytes, &self.connection).map_err(Stop::from)
    }

    /// Everything of a transaction but its COMMIT.
    fn apply(&mut self, batch: &[Queued]) -> Result<Applied, Stop> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let written = self.clock.now().as_millisecond();
        let mut outcomes = Vec::with_capacity(batch.len());
        for queued in batch {
            outcomes.push(match self.apply_one(queued, written) {
                Ok(event) => Ok(event),
                Err(ReadError::Refused(refused)) => Err(refused),
                Err(ReadError::Database(error)) => return Err(error.into()),
            });
        }
        let compacted = match &self.compaction {
            Some(compaction) => Some(compaction.slice(&self.connection)?),
            None => None,
        };
        Ok(Applied { outcomes, compacted })
    }

    /// Checks one write against the tables, which show the batch's earlier ones, and enters it.
    fn apply_one(&mut self, queued: &Queued, written: i64) -> Result<Event, ReadError> {
        let (connection, transformer) = (&self.connection, self.transformer.as_deref());
        let write = &queued.write;
        let key = &write.key;
        let current = queries::current_revision(connection, key)?;
        let previous = match current {
            Some(revision) => Some((revision, queries::value_at(connection, transformer, key, revision)?)),
            None => None,
        };
        let holds = match write.expect {
            Expect::Absent => current.is_none(),
            Expect::Revision(expected) => current == Some(expected),
        };
        if !holds {
            let current = previous.map(|(revision, value)| Entry { key: Arc::clone(key), revision, value });
            return Err(ReadError::Refused(StoreError::Conflict { current }));
        }
        let revision = self.next;
        connection
            .prepare_cached(
                "INSERT INTO history (revision, key, written, previous, value, last) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                signed(revision),
                &**key,
                written,
                current.map(signed),
                queued.sealed_value.as_deref().or(write.value.as_deref()),
                queued.sealed_last.as_deref().or(write.last.as_deref()),
            ])?;
        if write.value.is_some() {
            connection
                .prepare_cached("INSERT INTO current VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET revision = ?2")?
                .execute(params![&**key, signed(revision)])?;
        } else {
            connection.prepare_cached("DELETE FROM current WHERE key = ?1")?.execute([&**key])?;
        }
        self.next += 1;
        let (value, last) = (write.value.clone(), write.last.clone());
        Ok(Event { revision, key: Arc::clone(key), value, previous, last })
    }

    fn publish_and_answer(&mut self, batch: Vec<Queued>, outcomes: Vec<Result<Event, StoreError>>) {
        let mut events = Vec::with_capacity(outcomes.len());
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            answers.push(outcome.map(|event| {
                let revision = event.revision;
                events.push(event);
                revision
            }));
        }
        if let Some(sink) = &mut self.sink
            && !events.is_empty()
        {
            sink.publish(&events);
        }
        for (queued, answer) in batch.into_iter().zip(answers) {
            // Nobody waits any more: fine, the write stands.
            let _ = queued.answer.send(answer);
        }
    }

    fn plan_compaction(&mut self, before: Revision, answer: oneshot::Sender<()>) -> Result<(), Stop> {
        // Never beyond the newest write: the mark must not run ahead of the revisions given out.
        let target = before.min(self.next - 1);
        let compaction = match self.compaction.take() {
            Some(compaction) => compaction,
            None => Compaction { done: queries::compacted(&self.connection)?, target: 0, waiting: Vec::new() },
        };
        let mut compaction = Compaction { target: compaction.target.max(target), ..compaction };
        compaction.waiting.push((target, answer));
        compaction.answer();
        self.compaction = (compaction.done < compaction.target).then_some(compaction);
        Ok(())
    }
}

fn answer_all(batch: Vec<Queued>, error: impl Fn(String) -> StoreError, cause: &Stop) {
    let why = match cause {
        Stop::Failed(why) => why.as_str(),
        Stop::Closed => "it was shut down",
    };
    for queued in batch {
        let _ = queued.answer.send(Err(error(why.to_owned())));
    }
}

impl Compaction {
    /// Removes what the next revisions replaced, and those of them that are deletes: each is
    /// reached once, so the whole costs what was written, not what is stored.
    fn slice(&self, connection: &Connection) -> rusqlite::Result<Revision> {
        let end = self.target.min(self.done + COMPACT_SLICE);
        let range = [signed(self.done), signed(end)];
        connection
            .prepare_cached(
                "DELETE FROM history WHERE revision IN
                 (SELECT previous FROM history WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)",
            )?
            .execute(range)?;
        connection
            .prepare_cached("DELETE FROM history WHERE revision > ?1 AND revision <= ?2 AND value IS NULL")?
            .execute(range)?;
        connection.prepare_cached("UPDATE marks SET revision = ?1 WHERE name = 'compacted'")?.execute([signed(end)])?;
        Ok(end)
    }

    /// Tells those who waited for what is done.
    fn answer(&mut self) {
        let done = self.done;
        for (_, answer) in self.waiting.extract_if(.., |(target, _)| *target <= done) {
            let _ = answer.send(());
        }
    }
}
