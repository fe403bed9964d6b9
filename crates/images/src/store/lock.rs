//! Locks between processes that share the store.

use super::{StoreError, failed};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// A held lock. It is let go in so many words: a forked child shares the file, so that closing it
/// here would not be enough.
pub(super) struct Lock(File);

impl Lock {
    pub fn shared(path: &Path) -> Result<Self, StoreError> {
        Self::wait(path, FlockOperation::LockShared)
    }

    pub fn exclusive(path: &Path) -> Result<Self, StoreError> {
        Self::wait(path, FlockOperation::LockExclusive)
    }

    /// None when somebody holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = Self::open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed("lock", path)(errno.into())),
        }
    }

    fn wait(path: &Path, operation: FlockOperation) -> Result<Self, StoreError> {
        let file = Self::open(path)?;
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("lock", path)(errno.into())),
            }
        }
    }

    fn open(path: &Path) -> Result<File, StoreError> {
        File::options().write(true).create(true).truncate(false).open(path).map_err(failed("open", path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Fails only for a file that is no longer open, which this one is.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}
