//! Pseudo terminals of the current mount namespace's `/dev/pts`.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::pty::OpenptFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Opens a new pair (master, terminal) from the devpts behind `/dev/ptmx`.
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(CWD, "/dev/ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let terminal =
        rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((master, terminal))
}

/// Makes `terminal` the controlling terminal of this session (the caller has led a new one).
pub fn control(terminal: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// Tells the programs on the terminal its size.
pub fn resize(master: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(master, size)?)
}

/// The name of the terminal behind a master, inside its devpts.
pub fn name(master: BorrowedFd<'_>) -> io::Result<String> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int through the pointer, which is valid for that.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
    if result == 0 { Ok(format!("/dev/pts/{number}")) } else { Err(io::Error::last_os_error()) }
}
