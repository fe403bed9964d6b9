//! What is read from the tables: for the writer, and for readers of history on connections of
//! their own. Each function reads one snapshot.

use crate::{Entry, Event, Revision, Started, StoreError, Transformer};
use base::Timestamp;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("reading: {0}")]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Refused(StoreError),
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refused) => refused,
            ReadError::Database(error) => StoreError::Closed(format!("reading: {error}")),
        }
    }
}

/// SQLite's integers are signed; revisions never come near the sign.
pub(super) fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get::<_, Option<Vec<u8>>>(column)?.map(Bytes::from))
}

fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(Arc::from(row.get_ref(column)?.as_str()?))
}

fn opened(transformer: Option<&dyn Transformer>, key: &Arc<str>, stored: Bytes) -> Result<Bytes, ReadError> {
    let Some(transformer) = transformer else { return Ok(stored) };
    let unreadable = |cause| ReadError::Refused(StoreError::Unreadable { key: Arc::clone(key), cause });
    transformer.open(key, stored).map_err(unreadable)
}

/// The value of `key` that was written at `revision`.
pub(super) fn value_at(
    connection: &Connection,
    transformer: Option<&dyn Transformer>,
    key: &Arc<str>,
    revision: Revision,
) -> Result<Bytes, ReadError> {
    let mut statement = connection.prepare_cached("SELECT value FROM history WHERE revision = ?1")?;
    let stored = statement.query_row([signed(revision)], |row| bytes(row, 0))?;
    opened(transformer, key, stored.unwrap_or_default())
}

pub(super) fn current_revision(connection: &Connection, key: &str) -> rusqlite::Result<Option<Revision>> {
    let mut statement = connection.prepare_cached("SELECT revision FROM current WHERE key = ?1")?;
    statement.query_row([key], |row| number(row, 0)).optional()
}

pub(super) fn compacted(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT revision FROM marks WHERE name = 'compacted'")?;
    statement.query_row([], |row| number(row, 0))
}

/// Fails where `asked` lies before what compaction has left.
fn check_kept(connection: &Connection, asked: Revision) -> Result<(), ReadError> {
    let oldest = compacted(connection)?;
    if asked < oldest {
        return Err(ReadError::Refused(StoreError::Compacted { asked, oldest }));
    }
    Ok(())
}

/// All there is, at `revision`.
pub(super) fn started(
    connection: &Connection,
    transformer: Option<&dyn Transformer>,
    revision: Revision,
) -> Result<Started, ReadError> {
    let sql =
        "SELECT c.key, c.revision, h.value FROM current c JOIN history h ON h.revision = c.revision ORDER BY c.key";
    let entries = entries(connection, transformer, sql, [])?;
    Ok(Started { revision, oldest: compacted(connection)?, entries })
}

fn entries(
    connection: &Connection,
    transformer: Option<&dyn Transformer>,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<Entry>, ReadError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let key = key(row, 0)?;
        let value = opened(transformer, &key, bytes(row, 2)?.unwrap_or_default())?;
        entries.push(Entry { key, revision: number(row, 1)?, value });
    }
    Ok(entries)
}

pub(super) fn history(
    connection: &mut Connection,
    transformer: Option<&dyn Transformer>,
    after: Revision,
    limit: usize,
) -> Result<Vec<Event>, ReadError> {
    let snapshot = connection.transaction()?;
    check_kept(&snapshot, after)?;
    let mut statement = snapshot.prepare_cached(
        "SELECT h.revision, h.key, h.value, h.last, h.previous, p.value
         FROM history h LEFT JOIN history p ON p.revision = h.previous
         WHERE h.revision > ?1 ORDER BY h.revision LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![signed(after), limit])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let key = key(row, 1)?;
        let open = |stored: Option<Bytes>| stored.map(|stored| opened(transformer, &key, stored)).transpose();
        let (value, last) = (open(bytes(row, 2)?)?, open(bytes(row, 3)?)?);
        let previous = row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs).zip(open(bytes(row, 5)?)?);
        events.push(Event { revision: number(row, 0)?, key, value, previous, last });
    }
    Ok(events)
}

/// What has not changed since `at` is current; of what has, the first change says what was before.
pub(super) fn entries_at(
    connection: &mut Connection,
    transformer: Option<&dyn Transformer>,
    prefix: &str,
    at: Revision,
) -> Result<Vec<Entry>, ReadError> {
    let snapshot = connection.transaction()?;
    check_kept(&snapshot, at)?;
    let sql = "
        WITH then_at(key, revision) AS (
            SELECT key, revision FROM current WHERE key >= ?1 AND key < ?2 AND revision <= ?3
            UNION ALL
            SELECT key, previous FROM (
                SELECT key, min(revision), previous FROM history
                WHERE revision > ?3 AND key >= ?1 AND key < ?2 GROUP BY key
            ) WHERE previous IS NOT NULL
        )
        SELECT t.key, t.revision, h.value FROM then_at t JOIN history h ON h.revision = t.revision ORDER BY t.key";
    // Above every key that begins with the prefix: no key holds the last code point there is.
    let end = format!("{prefix}{}", char::MAX);
    entries(&snapshot, transformer, sql, params![prefix, end, signed(at)])
}

pub(super) fn written_at(connection: &Connection, revision: Revision) -> Result<Option<Timestamp>, ReadError> {
    let mut statement = connection.prepare_cached("SELECT written FROM history WHERE revision = ?1")?;
    let millis = statement.query_row([signed(revision)], |row| row.get::<_, i64>(0)).optional()?;
    Ok(millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
}
