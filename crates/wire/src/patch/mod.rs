//! The patches that change an object given as JSON: JSON patch (RFC 6902), merge patch (RFC 7386)
//! and Kubernetes' strategic merge patch; and the client's side of the last two, which finds the
//! patch between what was applied, what is wanted and what is there.
//!
//! Applies them and nothing more: the result is not yet checked against its schema. Server-side
//! apply is in [`crate::apply`]. Called by the API server and kubectl.

mod diff;
mod json;
mod merge;
mod order;
mod strategic;

pub use diff::{json_merge_diff, strategic_diff};
pub use json::{MAX_OPERATIONS, json_patch};
pub use merge::merge_patch;
pub use strategic::strategic_merge;

use meta::{Reason, Status, StatusDetails};

/// Why a patch cannot be applied, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("error decoding patch: {0}")]
    Decode(String),
    /// Not the form a patch of its kind has.
    #[error("{0}")]
    Malformed(String),
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {count}")]
    TooManyOperations { count: usize, limit: usize },
    /// A well-formed patch that this object does not take: a failed test, a missing path.
    #[error("{0}")]
    Unprocessable(String),
    /// What upstream answers with a plain error.
    #[error("{0}")]
    Failed(String),
}

impl PatchError {
    /// The answer to the client.
    pub fn status(&self) -> Status {
        match self {
            PatchError::Decode(_) | PatchError::Malformed(_) => Status::bad_request(self.to_string()),
            PatchError::TooManyOperations { .. } => Status::too_large(self.to_string()),
            PatchError::Unprocessable(_) => {
                Status::failure(Reason::Invalid, "the server rejected our request due to an error in our request")
                    .with_details(StatusDetails::default())
            }
            PatchError::Failed(message) => Status::failure(Reason::Unknown, message.clone()).with_code(500),
        }
    }
}

#[cfg(test)]
mod tests;
