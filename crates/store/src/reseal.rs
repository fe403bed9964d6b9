//! Writing everything again as it is, so that it is sealed with the key of today: for the rotation of
//! keys. Knows nothing of keys itself; whoever calls has made the transformer seal with the new one.

use crate::{Entry, Expect, Revision, Store, StoreError, Write};
use base::Clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Time for a write that was sealed with the key of before to get into the store's queue.
const UNDER_WAY: Duration = Duration::from_millis(200);
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Writes all values under `prefix` again and forgets all history: afterwards none of them is sealed as
/// it was before. May be broken off at any point and begun anew. `revision` tells the newest one.
/// Answers how many values were written.
///
/// # Errors
/// The store failed; what was written is good, and the rest is as it was.
pub async fn reseal(
    store: &dyn Store,
    clock: &Clock,
    prefix: &str,
    revision: &(dyn Fn() -> Revision + Sync),
) -> Result<usize, StoreError> {
    let mut own = BTreeSet::new();
    let mut until = Revision::MAX;
    // What was on its way at first is in the store before anything of the first pass, so the second
    // one sees it.
    for _ in 0..2 {
        clock.sleep(UNDER_WAY).await;
        let entries = store.entries_at(prefix.into(), revision()).await?;
        let old = |entry: &Entry| entry.revision <= until && !own.contains(&entry.revision);
        let old: Vec<Entry> = entries.into_iter().filter(old).collect();
        for entry in old {
            own.extend(rewrite(store, clock, &entry).await?);
        }
        until = until.min(revision());
    }
    store.compact(revision()).await?;
    Ok(own.len())
}

/// None where somebody else has written it meanwhile, with the new key.
async fn rewrite(store: &dyn Store, clock: &Clock, entry: &Entry) -> Result<Option<Revision>, StoreError> {
    loop {
        let write = Write {
            key: Arc::clone(&entry.key),
            expect: Expect::Revision(entry.revision),
            value: Some(entry.value.clone()),
            last: None,
        };
        match store.commit(write).await {
            Ok(revision) => return Ok(Some(revision)),
            Err(StoreError::Conflict { .. }) => return Ok(None),
            Err(StoreError::Busy) => clock.sleep(BUSY_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
