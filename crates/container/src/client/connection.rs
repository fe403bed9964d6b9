//! A packet socket in an async program.

use crate::protocol;
use crate::runtime::RuntimeError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::socket;
use tokio::io::unix::AsyncFd;

pub struct Connection(AsyncFd<OwnedFd>);

impl Connection {
    /// Connects to the socket called `name` in a directory, owned by this user.
    pub fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let directory = crate::state::open_directory(directory)?;
        let connected = socket::connect(directory.as_fd(), name)?;
        let (uid, _) = socket::peer(connected.as_fd())?;
        if uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the socket belongs to user {uid}")));
        }
        socket::set_nonblocking(&connected)?;
        // SAFETY: the OwnedFd stays open, and the same, as long as the AsyncFd has it.
        Ok(Connection(unsafe { AsyncFd::register(connected)? }))
    }

    /// The process that listens.
    pub fn peer(&self) -> io::Result<i32> {
        Ok(socket::peer(self.0.get_ref().as_fd())?.1)
    }

    pub async fn send<T: Serialize>(&self, message: &T, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = protocol::encode(message)?;
        loop {
            let mut guard = self.0.writable().await?;
            match guard.try_io(|file| socket::send(file.as_fd(), &bytes, files)) {
                Ok(done) => return done,
                Err(_would_block) => {}
            }
        }
    }

    /// The next message; `UnexpectedEof` when the peer has closed.
    pub async fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        loop {
            let mut guard = self.0.readable().await?;
            match guard.try_io(|file| protocol::receive(file.as_fd())) {
                Ok(Ok(Some(message))) => return Ok(message),
                Ok(Ok(None)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }

    pub async fn call<Q, A>(&self, request: &Q, files: &[BorrowedFd<'_>]) -> io::Result<(A, Vec<OwnedFd>)>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        self.send(request, files).await?;
        self.receive().await
    }
}

/// Says which operation an I/O error ended.
pub fn failed(operation: &'static str) -> impl Fn(io::Error) -> RuntimeError {
    move |error| RuntimeError::Failed { operation, why: error.to_string() }
}
