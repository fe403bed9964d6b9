//! Waiting for somebody else's server in the middle of a decision.
//!
//! Decisions are answered by a plain call, because all but the rarest come from memory. The few that
//! ask a webhook or fetch keys hand their worker's other tasks to another thread meanwhile. How many
//! may wait at once is bounded by each asker.

use std::future::Future;
use tokio::runtime::{Handle, RuntimeFlavor};

/// There is no runtime with threads to spare, as in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody can be asked from here")]
pub struct CannotWait;

/// # Errors
/// [`CannotWait`].
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Result<T, CannotWait> {
    let handle = Handle::try_current().map_err(|_| CannotWait)?;
    if handle.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Err(CannotWait);
    }
    Ok(tokio::task::block_in_place(|| handle.block_on(future)))
}
