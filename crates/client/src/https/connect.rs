//! Connections: TCP with keep-alive, TLS where the URL says so, within a time limit.

use super::url::Base;
use super::{HttpsOptions, OptionsError, tls};
use crate::BoxFuture;
use base::{Clock, Env, Tasks};
use http::Uri;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection's bytes, both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub type BoxIo = Box<dyn Io>;

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Connector(Arc<Target>);

struct Target {
    host: String,
    port: u16,
    tls: Option<Tls>,
    clock: Clock,
}

struct Tls {
    name: ServerName<'static>,
    any: TlsConnector,
    http1: TlsConnector,
}

impl Connector {
    pub fn new(base: &Base, options: &HttpsOptions, env: &Env) -> Result<Self, OptionsError> {
        let tls = if base.tls { Some(Tls::new(base, options)?) } else { None };
        let target = Target { host: base.host.clone(), port: base.port, tls, clock: env.clock.clone() };
        Ok(Connector(Arc::new(target)))
    }

    /// A connection on which HTTP/2 is not offered.
    pub async fn connect_http1(&self) -> io::Result<BoxIo> {
        Ok(self.0.connect(true).await?.0)
    }
}

impl Tls {
    fn new(base: &Base, options: &HttpsOptions) -> Result<Self, OptionsError> {
        let name = options.server_name.clone().unwrap_or_else(|| base.host.clone());
        let invalid = |why: &dyn std::fmt::Display| OptionsError::Server { url: name.clone(), why: why.to_string() };
        let name = ServerName::try_from(name.clone()).map_err(|error| invalid(&error))?;
        let connector = |alpn: &[&[u8]]| tls::config(options, alpn).map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Tls { name, any: connector(&[b"h2", b"http/1.1"])?, http1: connector(&[b"http/1.1"])? })
    }
}

impl Target {
    /// The connection, and whether it is to speak HTTP/2.
    async fn connect(&self, http1: bool) -> io::Result<(BoxIo, bool)> {
        let connecting = self.clock.timeout(CONNECT_LIMIT, self.connect_unbounded(http1)).await;
        connecting.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")))
    }

    async fn connect_unbounded(&self, http1: bool) -> io::Result<(BoxIo, bool)> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok((Box::new(stream), false)) };
        let connector = if http1 { &tls.http1 } else { &tls.any };
        let stream = connector.connect(tls.name.clone(), stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), http2))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Pooled;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Pooled>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Every URI names the one server.
    fn call(&mut self, _uri: Uri) -> Self::Future {
        let target = self.0.clone();
        Box::pin(async move {
            let (io, http2) = target.connect(false).await?;
            Ok(Pooled { io: TokioIo::new(io), http2 })
        })
    }
}

/// A connection as hyper's pool keeps it.
pub(super) struct Pooled {
    io: TokioIo<BoxIo>,
    http2: bool,
}

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        if self.http2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Pooled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Pooled {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// Runs hyper's connection tasks in the room's group.
#[derive(Clone)]
pub(super) struct Runs(pub Tasks);

impl<F> Executor<F> for Runs
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.0.spawn("connection", async move {
            future.await;
        });
    }
}
