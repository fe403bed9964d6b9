//! Server-side apply: who owns which field of an object, and what follows from it.
//!
//! Every write keeps `metadata.managedFields`: [`track_update`] after a create, update or patch,
//! [`apply`] for an apply patch, which also merges, finds conflicts, and takes away what its
//! manager no longer applies. The rules are upstream's structured-merge-diff. Field sets
//! ([`FieldSet`]) borrow their names from the objects, and those that a write leaves as they are go
//! back as they came. Called by the API server, and by kubectl's way of taking over ownership.
//!
//! What managers own stands in the version that they wrote through, so changes are looked at in each
//! of these versions ([`Versions`]).

mod compare;
mod conflict;
mod elements;
mod fieldset;
mod managers;
mod merge;
mod operation;
mod same;

pub use conflict::Conflict;
pub use fieldset::FieldSet;
pub use operation::{apply, merge_applied, track_update};

use crate::schema::Cursor;
use base::Timestamp;
use meta::{Cause, Reason, Status, StatusDetails};
use serde_json::Value;

/// The versions of a kind beside that of a request.
pub trait Versions: Sync {
    /// An object of the request's version in another, and that version's shape; None: it is not
    /// served any more, and who wrote through it is forgotten.
    fn convert<'s>(&'s self, object: &Value, api_version: &str) -> Option<(Value, Cursor<'s>)>;
}

/// Who writes, and how.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    pub manager: &'a str,
    /// The version of the request.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// Fields that this endpoint does not let its clients set (`status`,
    /// `metadata.deletionTimestamp`): nobody comes to own them through it.
    pub reset: &'a [&'a str],
    /// None: all managers are taken to have written through this version.
    pub versions: Option<&'a dyn Versions>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("{}", conflict::message(.0))]
    Conflicts(Vec<Conflict>),
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The object does not fit its schema; the caller says which object it was.
    #[error("{0}")]
    Mistyped(String),
}

impl ApplyError {
    /// The answer to the client. `what` is upstream's `namespace/name; apps/v1, Kind=Deployment`.
    pub fn status(&self, what: &str) -> Status {
        match self {
            ApplyError::Conflicts(conflicts) => {
                let causes = conflicts.iter().map(|conflict| Cause {
                    reason: "FieldManagerConflict".to_owned(),
                    message: format!("conflict with {}", conflict.manager),
                    field: conflict.path.clone(),
                });
                let details = StatusDetails { causes: causes.collect(), ..StatusDetails::default() };
                Status::failure(Reason::Conflict, self.to_string()).with_details(details)
            }
            ApplyError::ManagedFieldsGiven => Status::bad_request(self.to_string()),
            ApplyError::Mistyped(why) => {
                let message = format!("failed to create typed patch object ({what}): {why}");
                Status::failure(Reason::Unknown, message).with_code(500)
            }
        }
    }
}

#[cfg(test)]
mod tests;
