//! Moves the write-ahead log into the database, beside the writer.
//!
//! Done by the writer it would hold up a commit every so often; here it costs a commit nothing but
//! a share of the disk. Only where writes never pause does the log grow all the same, since it
//! can be begun anew only when all of it has been moved: then the writer is asked to wait.

use super::writer::Command;
use base::tasks;
use rusqlite::{Connection, ErrorCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::WeakSender;
use tracing::warn;

/// How many times the interval the log may hold before the writer waits for a complete move.
const LOG_LIMIT: usize = 16;
const PAGE_BYTES: usize = 4096;

/// The writer's side.
pub(super) struct Checkpoints {
    poke: SyncSender<()>,
    overdue: Arc<AtomicBool>,
    /// The log is moved each time it has grown by about this many bytes.
    interval: usize,
    grown: usize,
    thread: JoinHandle<()>,
}

pub(super) fn start(
    connection: Connection,
    interval: usize,
    writer: WeakSender<Command>,
) -> std::io::Result<Checkpoints> {
    // Room for one: a second poke while one waits would say nothing new.
    let (poke, poked) = sync_channel(1);
    let overdue = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&overdue);
    let limit = i64::try_from(interval * LOG_LIMIT / PAGE_BYTES).unwrap_or(i64::MAX);
    let thread = tasks::thread("store-checkpoint", move || run(&connection, &poked, &shared, limit, &writer))?;
    Ok(Checkpoints { poke, overdue, interval, grown: 0, thread })
}

fn run(connection: &Connection, poked: &Receiver<()>, overdue: &AtomicBool, limit: i64, writer: &WeakSender<Command>) {
    while poked.recv().is_ok() {
        match passive(connection) {
            Ok(pages) => overdue.store(pages > limit, Ordering::Relaxed),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) => {
                warn!(%error, "cannot move the store's log into its database");
                // An fsync that failed once may succeed the next time with the data lost: stop.
                let failed = Command::Failed(format!("checkpoint: {error}"));
                if let Some(writer) = writer.upgrade() {
                    let _ = writer.blocking_send(failed);
                }
                return;
            }
        }
    }
}

/// Moves what no reader still needs, waiting for nobody; returns the log's length in pages.
fn passive(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}

impl Checkpoints {
    /// Counts what a commit wrote; called between transactions.
    pub(super) fn wrote(&mut self, bytes: usize, connection: &Connection) -> rusqlite::Result<()> {
        self.grown += bytes;
        if self.grown < self.interval {
            return Ok(());
        }
        self.grown = 0;
        if self.overdue.swap(false, Ordering::Relaxed) {
            // With no write going on this reaches the log's end, and the next write begins it anew.
            passive(connection)?;
        } else {
            let _ = self.poke.try_send(());
        }
        Ok(())
    }

    /// Ends the thread and waits for it. The writer must take no more commands by then, or the
    /// thread could wait for it in turn.
    pub(super) fn stop(self) {
        drop(self.poke);
        // It has no result, and a panic of its own was printed.
        let _ = self.thread.join();
    }
}
