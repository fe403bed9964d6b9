//! The rtnetlink connection, and the list of changes that is sent over it in one system call.

use super::netlink::{Error, Messages, Socket};
use nix::sys::socket::SockProtocol;
use std::path::Path;

/// A connection to one network namespace's links, addresses and routes.
pub struct Rtnetlink(pub(super) Socket);

/// Changes to links, addresses, routes and neighbours, in order.
#[derive(Default)]
pub struct Changes(pub(super) Messages);

impl Rtnetlink {
    /// To the calling thread's namespace.
    pub fn open() -> Result<Self, Error> {
        Socket::open(SockProtocol::NetlinkRoute).map(Rtnetlink)
    }

    /// To the namespace at `path`.
    pub fn open_in(path: &Path) -> Result<Self, Error> {
        super::namespace::run_in(path, Self::open)?
    }

    /// Does all changes in order. Not atomic: the first refusal is the error, but the ones after
    /// it have been tried.
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Error> {
        if changes.0.is_empty() { Ok(()) } else { self.0.request(&changes.0) }
    }
}

impl Changes {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
