//! Local sockets that keep message boundaries and carry open files (`AF_UNIX`, `SOCK_SEQPACKET`).
//!
//! Messages are bounded; what they say is the caller's. Names are resolved below a directory file
//! descriptor, so that long state paths do not meet the kernel's limit of 108 bytes.

use nix::cmsg_space;
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Longest message that is sent or received.
pub const MAX_MESSAGE: usize = 160 * 1024;
/// Most files carried by one message.
pub const MAX_FILES: usize = 64;

/// One message and the files it carried. No bytes: the peer has closed.
#[derive(Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    pub files: Vec<OwnedFd>,
}

fn address(directory: BorrowedFd<'_>, name: &str) -> io::Result<UnixAddr> {
    Ok(UnixAddr::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()).as_str())?)
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(socket::socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Listens at `name` in `directory`; an old socket there is replaced.
pub fn listen(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let listener = new_socket()?;
    socket::bind(listener.as_raw_fd(), &address(directory, name)?)?;
    rustix::fs::chmodat(directory, name, rustix::fs::Mode::from_raw_mode(0o600), rustix::fs::AtFlags::empty())?;
    socket::listen(&listener, Backlog::new(1024)?)?;
    Ok(listener)
}

/// Says to future peers that this process, not the one it was forked from, answers here.
pub fn claim(listener: BorrowedFd<'_>) -> io::Result<()> {
    Ok(socket::listen(&listener, Backlog::new(1024)?)?)
}

/// Connects to the socket called `name` in `directory`.
pub fn connect(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let connection = new_socket()?;
    socket::connect(connection.as_raw_fd(), &address(directory, name)?)?;
    Ok(connection)
}

/// The next connection; the listener's owner has polled it.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let raw = socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: accept4 has just made this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// User id and process id of whoever connected (or listens) at the other end.
pub fn peer(connection: BorrowedFd<'_>) -> io::Result<(u32, i32)> {
    let credentials = socket::getsockopt(&connection, sockopt::PeerCredentials)?;
    Ok((credentials.uid(), credentials.pid()))
}

/// Sends one message with files. `WouldBlock` on a non-blocking socket whose peer reads too slowly.
pub fn send(connection: BorrowedFd<'_>, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || bytes.len() > MAX_MESSAGE || files.len() > MAX_FILES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long"));
    }
    let raw: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    loop {
        match socket::sendmsg::<UnixAddr>(connection.as_raw_fd(), &parts, control, flags, None) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message. Closed peers give a packet without bytes.
pub fn receive(connection: BorrowedFd<'_>) -> io::Result<Packet> {
    let size = next_size(connection)?;
    let mut bytes = vec![0; size];
    let mut space = cmsg_space!([RawFd; MAX_FILES]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = socket::recvmsg::<UnixAddr>(connection.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut files = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            for raw in received {
                // SAFETY: the kernel has just installed this descriptor for us.
                files.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
    }
    let read = message.bytes;
    bytes.truncate(read);
    Ok(Packet { bytes, files })
}

fn next_size(connection: BorrowedFd<'_>) -> io::Result<usize> {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let size = loop {
        match socket::recv(connection.as_raw_fd(), &mut [], flags) {
            Ok(size) => break size,
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if size > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
    }
    Ok(size)
}

/// A connected pair, for a parent and the child it is about to fork.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Makes reads and writes answer `WouldBlock` instead of waiting.
pub fn set_nonblocking(file: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    Ok(rustix::fs::fcntl_setfl(&file, flags | rustix::fs::OFlags::NONBLOCK)?)
}
