//! Namespaces: leaving and joining them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A set of namespace kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(i32);

impl Kinds {
    pub const NONE: Kinds = Kinds(0);
    pub const MOUNT: Kinds = Kinds(libc::CLONE_NEWNS);
    pub const PID: Kinds = Kinds(libc::CLONE_NEWPID);
    pub const NET: Kinds = Kinds(libc::CLONE_NEWNET);
    pub const IPC: Kinds = Kinds(libc::CLONE_NEWIPC);
    pub const UTS: Kinds = Kinds(libc::CLONE_NEWUTS);
    pub const CGROUP: Kinds = Kinds(libc::CLONE_NEWCGROUP);

    #[must_use]
    pub const fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    #[must_use]
    pub const fn with_if(self, condition: bool, other: Kinds) -> Kinds {
        if condition { self.with(other) } else { self }
    }

    pub(crate) const fn bits(self) -> i32 {
        self.0
    }
}

/// Moves this process into new namespaces of these kinds (of pid: its next children).
pub fn leave(kinds: Kinds) -> io::Result<()> {
    // SAFETY: unshare takes no pointers. With a shared file table nothing of Rust's is affected;
    // CLONE_FILES is not among the kinds.
    if unsafe { libc::unshare(kinds.bits()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Joins namespaces: those of `kinds` of the process behind a pidfd, or the one behind a
/// namespace file. Joining a mount namespace changes root and working directory.
pub fn join(file: BorrowedFd<'_>, kinds: Kinds) -> io::Result<()> {
    // SAFETY: setns takes no pointers and the descriptor is open.
    if unsafe { libc::setns(file.as_raw_fd(), kinds.bits()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Brings up the loopback link of this network namespace.
pub fn raise_loopback() -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an ifreq of zeroes is valid: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq through the pointer, which is valid for that.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
