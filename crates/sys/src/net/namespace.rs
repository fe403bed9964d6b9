//! Doing something in another network namespace, and namespaces held by nothing but a handle.

use super::Error;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Runs `work` on a thread that has entered the namespace at `path`, and ends with it: a thread
/// that could not find back would take the rest of the process along. What `work` opens stays
/// in that namespace, so sockets opened here can be used from anywhere.
pub fn run_in<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let fail = |source| Error::Namespace { path: path.to_owned(), source };
    let namespace = File::open(path).map_err(fail)?;
    on_thread(|| {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
    .map_err(fail)
}

/// Opens the namespace at `path`, to put a link into it.
pub fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Namespace { path: path.to_owned(), source })
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("netns".into());
        let thread = builder.spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A network namespace that lives as long as this handle, or a process or link in it. It has no
/// name anywhere, so nothing is left behind by a crash.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// A new one with nothing but a loopback link, which is down.
    pub fn create() -> io::Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net").map(Namespace)
        })
    }

    /// Where other parts of this process can open it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Runs `work` on a thread in the namespace. Threads and processes that it starts are in it too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
