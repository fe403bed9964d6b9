//! The netlink wire format: messages with nested attributes, requests with their acknowledgements,
//! dumps. Knows no subsystem; `rtnetlink`, `nftables`, `conntrack` and `listeners` build on it.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

pub(super) const REQUEST: u16 = 0x1;
pub(super) const ACK: u16 = 0x4;
pub(super) const DUMP: u16 = 0x300;
pub(super) const REPLACE: u16 = 0x100;
pub(super) const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;

const HEADER: usize = 16;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
const FLAG_CAPPED: u16 = 0x100;
const FLAG_TLVS: u16 = 0x200;
const ERROR_ATTR_MESSAGE: u16 = 1;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open a netlink socket: {0}")]
    Open(Errno),
    #[error("cannot enter the network namespace {path}: {source}")]
    Namespace { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot send to the kernel: {0}")]
    Send(Errno),
    #[error("cannot read the kernel's answer: {0}")]
    Receive(Errno),
    #[error("the kernel's answer ends too early")]
    Truncated,
    #[error("the kernel has not acknowledged the request")]
    Unacknowledged,
    #[error("{what}: {errno}{}{text}", if text.is_empty() { "" } else { ": " })]
    Refused { what: &'static str, errno: Errno, text: String },
    #[error("there is no link named {0}")]
    NoLink(String),
}

impl Error {
    /// What was to be deleted or changed is not there.
    pub fn is_absent(&self) -> bool {
        match self {
            Error::Refused { errno, .. } => {
                matches!(errno, Errno::ENOENT | Errno::ESRCH | Errno::ENODEV | Errno::EADDRNOTAVAIL)
            }
            Error::NoLink(_) => true,
            _ => false,
        }
    }

    /// What was to be made is there already.
    pub fn already_exists(&self) -> bool {
        matches!(self, Error::Refused { errno: Errno::EEXIST, .. })
    }
}

/// Some messages, to be sent in one go.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// What each message does, by sequence number: an error names it.
    what: Vec<&'static str>,
    acknowledged: usize,
    /// Where the last message begins.
    last: usize,
}

impl Messages {
    /// Adds a message: netlink's header, the subsystem's own, then what `fill` writes.
    pub fn push(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        header: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEADER, 0);
        self.bytes.extend_from_slice(header);
        pad(&mut self.bytes);
        fill(&mut Attributes(&mut self.bytes));
        self.last = start;
        let sequence = self.what.len() as u32;
        self.what.push(what);
        self.acknowledged += usize::from(flags & ACK != 0);
        let length = (self.bytes.len() - start) as u32;
        let head = &mut self.bytes[start..start + HEADER];
        head[0..4].copy_from_slice(&length.to_ne_bytes());
        head[4..6].copy_from_slice(&kind.to_ne_bytes());
        head[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        head[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }

    /// Asks for an acknowledgement of the last message added.
    pub fn acknowledge_last(&mut self) {
        // Flags stand after length and kind.
        if let Some(flags) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
            self.acknowledged += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.what.is_empty()
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes attributes; each is padded to four bytes.
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        pad(self.0);
    }

    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A text with its closing zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.0.extend_from_slice(&((value.len() + 5) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
        pad(self.0);
    }

    /// An attribute that holds attributes. At most 64 KB: callers of long lists split them.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(&mut Attributes(self.0));
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Bytes that are no attribute: the header inside veth's peer attribute.
    pub fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
        pad(self.0);
    }
}

fn pad(bytes: &mut Vec<u8>) {
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
}

/// Reads attributes: kind (without its flag bits) and value. Stops at a malformed one.
#[derive(Clone, Copy)]
pub(super) struct Parsed<'a>(pub &'a [u8]);

impl<'a> Iterator for Parsed<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes([*self.0.first()?, *self.0.get(1)?]));
        let kind = u16::from_ne_bytes([*self.0.get(2)?, *self.0.get(3)?]) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Parsed<'a> {
    pub fn value(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub fn nested(self, kind: u16) -> Parsed<'a> {
        Parsed(self.value(kind).unwrap_or_default())
    }

    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.value(kind)?;
        std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
    }

    pub fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.value(kind)?.try_into().ok()?))
    }

    pub fn be32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.value(kind)?.try_into().ok()?))
    }

    pub fn be64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.value(kind)?.try_into().ok()?))
    }

    pub fn ipv4(self, kind: u16) -> Option<std::net::Ipv4Addr> {
        Some(<[u8; 4]>::try_from(self.value(kind)?).ok()?.into())
    }
}

/// A netlink socket. It stays in the network namespace that its thread was in when it was opened.
pub(super) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

/// Room for a whole nftables transaction: 10,000 services take about 6 MB.
const SEND_BUFFER: usize = 64 << 20;
const RECEIVE_BUFFER: usize = 4 << 20;
/// The kernel fills dumps in pages of at most 32 KB.
const READ_SIZE: usize = 64 << 10;

impl Socket {
    pub fn open(protocol: SockProtocol) -> Result<Self, Error> {
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map_err(Error::Open)?;
        // Without CAP_NET_ADMIN over the machine only the system's limits hold: small batches still go.
        if setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            let _ = setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER);
        }
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK] {
            enable(&fd, option);
        }
        Ok(Socket { fd, buffer: vec![0; READ_SIZE] })
    }

    /// Sends all and waits for the acknowledgements asked for. The first refusal is the error;
    /// the kernel still does what stands after it, unless it is a batch.
    pub fn request(&mut self, messages: &Messages) -> Result<(), Error> {
        self.send(messages)?;
        let mut left = messages.acknowledged;
        let mut refused = None;
        // Everything has been done once the send returns: an answer that is not there will not come.
        while left > 0 {
            match self.receive(MsgFlags::MSG_DONTWAIT)? {
                0 => return Err(refused.unwrap_or(Error::Unacknowledged)),
                length => {
                    for message in Received(&self.buffer[..length]) {
                        let (kind, flags, sequence, payload) = message;
                        if kind != KIND_ERROR {
                            continue;
                        }
                        left = left.saturating_sub(1);
                        if let Err(error) = outcome(messages, flags, sequence, payload) {
                            refused.get_or_insert(error);
                        }
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends a batch of which only the last change asks for an acknowledgement. Refusals come for
    /// any message; if there is one, nothing has been done.
    pub fn transaction(&mut self, messages: &Messages) -> Result<(), Error> {
        self.send(messages)?;
        let mut done = false;
        let mut refused = None;
        loop {
            let length = self.receive(MsgFlags::MSG_DONTWAIT)?;
            if length == 0 {
                break;
            }
            for (kind, flags, sequence, payload) in Received(&self.buffer[..length]) {
                if kind != KIND_ERROR {
                    continue;
                }
                match outcome(messages, flags, sequence, payload) {
                    Ok(()) => done = true,
                    Err(error) => _ = refused.get_or_insert(error),
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if done => Ok(()),
            None => Err(Error::Unacknowledged),
        }
    }

    /// Sends one request and gives each answer's payload (after netlink's header) to `visit`. For
    /// dumps, and for single gets, whose acknowledgement ends the answer.
    pub fn query(&mut self, messages: &Messages, mut visit: impl FnMut(&[u8])) -> Result<(), Error> {
        self.send(messages)?;
        loop {
            let length = self.receive(MsgFlags::empty())?;
            for (kind, flags, sequence, payload) in Received(&self.buffer[..length]) {
                match kind {
                    // Where a dump fails on its way, its end says so.
                    KIND_DONE if payload.len() >= size_of::<i32>() => return outcome(messages, 0, sequence, payload),
                    KIND_DONE => return Ok(()),
                    KIND_ERROR => return outcome(messages, flags, sequence, payload),
                    _ => visit(payload),
                }
            }
        }
    }

    fn send(&mut self, messages: &Messages) -> Result<(), Error> {
        // Answers to a request that was given up must not be taken for this one's.
        while self.receive(MsgFlags::MSG_DONTWAIT).is_ok_and(|length| length > 0) {}
        loop {
            match sendto(self.fd.as_raw_fd(), &messages.bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::Send(errno)),
            }
        }
    }

    /// The length read; 0 when nothing waits and `flags` say not to.
    fn receive(&mut self, flags: MsgFlags) -> Result<usize, Error> {
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, flags) {
                Ok(length) => return Ok(length),
                Err(Errno::EAGAIN) => return Ok(0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::Receive(errno)),
            }
        }
    }
}

fn enable(fd: &OwnedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a live c_int of the size given. A refusal costs only the error texts.
    unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size) };
}

/// Splits what was received into messages: kind, flags, sequence number, payload.
struct Received<'a>(&'a [u8]);

impl<'a> Iterator for Received<'a> {
    type Item = (u16, u16, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.0.get(..HEADER)?;
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let short = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let length = word(0) as usize;
        let payload = self.0.get(HEADER..length)?;
        let item = (short(4), short(6), word(8), payload);
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(item)
    }
}

/// What an acknowledgement says.
fn outcome(messages: &Messages, flags: u16, sequence: u32, payload: &[u8]) -> Result<(), Error> {
    let code = payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Error::Truncated)?;
    if code == 0 {
        return Ok(());
    }
    let mut text = String::new();
    if flags & FLAG_TLVS != 0 {
        // After the code stands the request's header, and with an uncapped answer its body.
        let echoed = match payload.get(4..8) {
            Some(length) if flags & FLAG_CAPPED == 0 => {
                u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize
            }
            _ => HEADER,
        };
        let extra = Parsed(payload.get(4 + echoed.next_multiple_of(4)..).unwrap_or_default());
        text = extra.text(ERROR_ATTR_MESSAGE).unwrap_or_default().to_owned();
    }
    let what = messages.what.get(sequence as usize).copied().unwrap_or("netlink request");
    Err(Error::Refused { what, errno: Errno::from_raw(-code), text })
}
