//! The data directory: its lock, its format and the connections to its database.
//!
//! Refuses what it cannot serve safely: a directory that another process serves, a database of a
//! newer format or of another program.

use super::queries::number;
use crate::{Revision, Transformer};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The format this version writes. Raise it with every change to the tables that an older
/// version would not understand, and upgrade the older ones here, after a copy.
const FORMAT: i64 = 1;
/// Says in the database's header whose it is: "Kutt".
const APPLICATION: i64 = 0x4b75_7474;
const DATABASE: &str = "store.db";
const LOCK: &str = "lock";

/// One row per write. The newest of each key is its value; older ones are history until compacted.
const SCHEMA: &str = "
    CREATE TABLE history (
        revision INTEGER PRIMARY KEY,
        key TEXT NOT NULL,
        written INTEGER NOT NULL, -- milliseconds since 1970
        previous INTEGER,         -- the revision that this one replaced
        value BLOB,               -- NULL: a delete
        last BLOB                 -- of a delete: the object's last state
    );
    CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE marks (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO marks VALUES ('compacted', 0);
";

/// How to open a store; the default is what production uses.
#[derive(Clone)]
pub struct Options {
    pub transformer: Option<Arc<dyn Transformer>>,
    /// The SQLite file layer to use, by its registered name; None: the system's.
    pub vfs: Option<String>,
    /// How many writes may wait before further ones are refused as Busy.
    pub queue: usize,
    /// The write-ahead log is moved into the database each time it has grown by about this much.
    pub checkpoint_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { transformer: None, vfs: None, queue: 4096, checkpoint_bytes: 4 << 20 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use the data directory: {}: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("{} is in use by another process ({holder}); stop that one, or choose another data directory", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("{} has data format {found}, this version knows up to {FORMAT}; use a newer version", path.display())]
    Newer { path: PathBuf, found: i64 },
    #[error("{} is not one of this program's databases", path.display())]
    Foreign { path: PathBuf },
    #[error("no space left on the disk of {}; free some and start again", path.display())]
    Full { path: PathBuf },
    #[error("cannot open the database {}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("cannot start the store's thread: {0}")]
    Thread(std::io::Error),
}

/// A data directory, locked for this process as long as the value lives.
pub(super) struct Directory {
    database: PathBuf,
    vfs: Option<String>,
    lock: File,
}

impl Directory {
    pub(super) fn open(dir: &Path, options: &Options) -> Result<Directory, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Directory { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
        let lock = lock(&dir.join(LOCK))?;
        let database = dir.join(DATABASE);
        // Made here only for its mode; SQLite gives its log the same.
        let private = |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        private(&database).map_err(at(&database))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
        Ok(Directory { database, vfs: options.vfs.clone(), lock })
    }

    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        let connect = || {
            let flags =
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = match &self.vfs {
                Some(vfs) => Connection::open_with_flags_and_vfs(&self.database, flags, vfs.as_str())?,
                None => Connection::open_with_flags(&self.database, flags)?,
            };
            connection.busy_timeout(Duration::from_secs(5))?;
            // With a write-ahead log the same as FULL. Before there is one, it also makes the removal
            // of the rollback journal durable: were that to come back, it would undo everything.
            connection.pragma_update(None, "synchronous", "EXTRA")?;
            connection.pragma_update(None, "cache_size", -4096)?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            Ok(connection)
        };
        connect().map_err(|source| self.error(source))
    }

    pub(super) fn connect_reader(&self) -> Result<Connection, OpenError> {
        let connection = self.connect()?;
        connection.pragma_update(None, "query_only", true).map_err(|source| self.error(source))?;
        Ok(connection)
    }

    fn error(&self, source: rusqlite::Error) -> OpenError {
        let path = self.database.clone();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => OpenError::Full { path },
            // The log's index, the first thing to need room, has an error of its own.
            _ if extended(&source) == Some(ffi::SQLITE_IOERR_SHMSIZE) => OpenError::Full { path },
            Some(ErrorCode::NotADatabase) => OpenError::Foreign { path },
            _ => OpenError::Database { path, source },
        }
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing the file would not do while a child that was just forked still shares it. Should
        // this fail, the process's end releases the lock.
        let _ = self.lock.unlock();
    }
}

/// Takes the lock, or says who has it.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory { path: path.to_owned(), source };
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message: without it the holder is simply not named.
            let _ = file.read_to_string(&mut pid);
            let holder = if pid.is_empty() { "unknown pid".to_owned() } else { format!("pid {}", pid.trim()) };
            return Err(OpenError::Locked { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// Checks or creates the format, and returns the next revision.
pub(super) fn prepare(connection: &Connection, directory: &Directory) -> Result<Revision, OpenError> {
    let failed = |source| directory.error(source);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let path = || directory.database.clone();
    let (application, format, tables) = (pragma("application_id")?, pragma("user_version")?, pragma("schema_version")?);
    match (application, format) {
        (APPLICATION, FORMAT) => {}
        (APPLICATION, found) if found > FORMAT => return Err(OpenError::Newer { path: path(), found }),
        (0, 0) if tables == 0 => create(connection).map_err(failed)?,
        _ => return Err(OpenError::Foreign { path: path() }),
    }
    next_revision(connection).map_err(failed)
}

/// All in one transaction: a crash in the middle leaves an empty database, which is created again.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let sql = format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    );
    connection.execute_batch(&sql)
}

/// One above every revision ever given out: compaction may have removed the newest row, but then
/// its mark stands at least there.
fn next_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let sql = "SELECT max((SELECT coalesce(max(revision), 0) FROM history), (SELECT max(revision) FROM marks))";
    Ok(connection.query_row(sql, [], |row| number(row, 0))? + 1)
}
