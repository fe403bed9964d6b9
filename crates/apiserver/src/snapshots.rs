//! Snapshots kept for lists that are read page by page: a continue token names a revision, and
//! the next page must come from exactly that state.

use crate::collection::Objects;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use store::Revision;

/// A snapshot shares its objects with the live map, so it costs what has changed since.
const KEPT: usize = 64;

#[derive(Default)]
pub struct Snapshots(Mutex<VecDeque<(String, Revision, Objects)>>);

impl Snapshots {
    pub fn keep(&self, prefix: &str, revision: Revision, objects: Objects) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(of, at, _)| of == prefix && *at == revision) {
            return;
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((prefix.to_owned(), revision, objects));
    }

    /// Lets go of what is older than the history that the store keeps.
    pub fn forget(&self, before: Revision) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, at, _)| *at >= before);
    }

    pub fn find(&self, prefix: &str, revision: Revision) -> Option<Objects> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, at, _)| of == prefix && *at == revision).map(|(_, _, objects)| objects.clone())
    }
}
