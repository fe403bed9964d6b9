//! The byte streams of exec, attach and port-forward: SPDY/3.1 and WebSocket, both ends of each.
//!
//! A room that serves them (the kubelet) calls [`server`], one that asks for them (the command
//! line) [`client`], one that stands between [`proxy`]; none sees which protocol was spoken. What runs in the container, who may
//! run it and where the connection comes from is the callers' business.

pub mod client;
mod handshake;
mod outcome;
pub mod proxy;
mod resize;
pub mod server;
pub mod spdy;
mod websocket;

pub use handshake::{Refused, Transport, Upgrade};
pub use outcome::Outcome;
pub use resize::{Resizes, Size};
pub use spdy::SpdyStream;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type Input = Box<dyn AsyncRead + Send + Unpin>;
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// A peer gets so long to end a connection after all was said.
const LINGER: Duration = Duration::from_secs(5);

/// The streams that a command is run with. With a terminal there is no standard error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the connection could not be upgraded: {0}")]
    Upgrade(hyper::Error),
    #[error("the request could not be sent: {0}")]
    Request(hyper::Error),
    /// The server said no; the body is what it said.
    #[error("unable to upgrade connection: {status}: {body}")]
    Refused { status: http::StatusCode, body: String },
    #[error("the server answered with the protocol {0:?}, which was not asked for")]
    Protocol(String),
    #[error("timed out waiting for client to create streams")]
    MissingStreams,
    #[error("the connection was lost: {0}")]
    Lost(#[from] std::io::Error),
    #[error("the connection ended before the result came")]
    NoResult,
}
