//! One connection to a server: TCP, TLS with the client's certificate, HTTP/1.1 or HTTP/2 by hyper;
//! and one request on it, whose body is checked as it arrives.

use super::found::Marks;
use super::shot::{Expect, Shot};
use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server as clients see it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
    pub tls_h2: Arc<ClientConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// What keeps a connection going; to be polled beside the requests.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

pub enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// As Go's client: the peers that users have.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

pub async fn connect(target: &Target, protocol: Protocol) -> anyhow::Result<(Sender, Driver)> {
    let stream = TcpStream::connect(target.address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let config = if protocol == Protocol::Http1 { &target.tls } else { &target.tls_h2 };
    let name = ServerName::IpAddress(target.address.ip().into());
    let stream = TlsConnector::from(config.clone()).connect(name, stream).await.context("TLS failed")?;
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let (sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            Ok((Sender::Http1(sender), Box::pin(async move { drop(connection.await) })))
        }
        Protocol::Http2 => {
            let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
            let (sender, connection) = builder.handshake(io).await?;
            Ok((Sender::Http2(sender), Box::pin(async move { drop(connection.await) })))
        }
    }
}

impl Sender {
    /// Another user of the same connection; only HTTP/2 has any.
    pub fn share(&self) -> Option<Sender> {
        match self {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Sender::Http2(sender.clone())),
        }
    }

    /// Sends and answers with the head; the status has been checked.
    pub async fn start(&mut self, target: &Target, shot: &Shot) -> anyhow::Result<http::Response<Incoming>> {
        let mut request = Request::builder().method(shot.method.clone()).header("accept", "application/json");
        if !shot.body.is_empty() {
            request = request.header("content-type", shot.content_type);
        }
        let response = match self {
            Sender::Http1(sender) => {
                let request = request.uri(&shot.path).header("host", target.address.to_string());
                sender.ready().await?;
                sender.send_request(request.body(Full::new(shot.body.clone()))?).await
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("https://{}{}", target.address, shot.path));
                sender.ready().await?;
                sender.send_request(request.body(Full::new(shot.body.clone()))?).await
            }
        };
        let response = response.with_context(|| format!("{} {}: no answer", shot.method, shot.path))?;
        let status = response.status();
        if !status.is_success() {
            let body =
                response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let body = String::from_utf8_lossy(&body);
            anyhow::bail!("{} {}: {status}: {}", shot.method, shot.path, &body[..body.len().min(600)]);
        }
        Ok(response)
    }

    /// Sends, reads the whole answer and checks it; answers with its length.
    pub async fn fire(&mut self, target: &Target, shot: &Shot) -> anyhow::Result<u64> {
        let response = self.start(target, shot).await?;
        let (mut marks, wanted) = match &shot.expect {
            Expect::Mark(mark) => (Marks::new(mark.as_bytes()), None),
            Expect::Marks(mark, count) => (Marks::new(mark.as_bytes()), Some(*count)),
        };
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("{} {}: the body broke off", shot.method, shot.path))?;
            if let Some(data) = frame.data_ref() {
                length += data.len() as u64;
                marks.feed(data);
            }
        }
        let right = wanted.map_or(marks.count > 0, |wanted| marks.count == wanted);
        anyhow::ensure!(
            right,
            "{} {}: the body is wrong: {} of {:?} in {length} bytes",
            shot.method,
            shot.path,
            marks.count,
            shot.expect
        );
        Ok(length)
    }

    /// Sends and answers with the whole body.
    pub async fn fetch(&mut self, target: &Target, shot: &Shot) -> anyhow::Result<Bytes> {
        Ok(self.start(target, shot).await?.into_body().collect().await?.to_bytes())
    }
}
