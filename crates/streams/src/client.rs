//! The asking side: takes a connection and a request, and hands out the streams.
//!
//! The caller connects, adds what authenticates it, and chooses the transport: upstream's clients
//! try WebSocket first, and SPDY on a new connection where that was refused.

use crate::handshake;
use crate::resize::Size;
use crate::server::{FORWARD_PROTOCOL, FORWARD_TUNNEL_PROTOCOL};
use crate::spdy::{self, CloseOnDrop, Role, Session, SpdyStream};
use crate::websocket::channels::{self, ERROR, Encoding, Ends, RESIZE, STDERR, STDIN, STDOUT, pipe};
use crate::websocket::{self, Tunnel};
use crate::{BoxFuture, Input, Outcome, Output, StreamError, Streams, Transport};
use base::Env;
use http::Request;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::Role as WebSocketRole;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The result is a small Status; more than this of it is not read.
const RESULT_LIMIT: u64 = 64 << 10;

/// A command that runs elsewhere.
pub struct Command {
    /// Shut it down to end the command's input.
    pub stdin: Option<Output>,
    pub stdout: Option<Input>,
    pub stderr: Option<Input>,
    /// With a terminal only.
    pub resize: Option<ResizeSender>,
    /// Waits for the command's end; its output must be read meanwhile.
    pub result: BoxFuture<'static, Result<Outcome, StreamError>>,
}

/// Tells the command's terminal its size.
pub struct ResizeSender(Output);

impl ResizeSender {
    /// # Errors
    /// The connection is lost.
    pub async fn send(&mut self, size: Size) -> std::io::Result<()> {
        self.0.write_all(size.to_line().as_bytes()).await
    }
}

/// Asks over `io` for an exec or attach; `request` holds the path, the query and all headers but
/// those of the upgrade.
///
/// # Errors
/// The connection failed, or the server refused: [`StreamError::Refused`].
pub async fn command<T>(
    io: T,
    request: Request<()>,
    streams: Streams,
    transport: Transport,
    env: &Env,
) -> Result<Command, StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let streams = Streams { stderr: streams.stderr && !streams.tty, ..streams };
    match transport {
        Transport::WebSocket => {
            let protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
            let (io, chosen) = handshake::request(io, request, transport, &protocols, env).await?;
            let socket = websocket::on(io, WebSocketRole::Client).await;
            Ok(websocket_command(socket, Encoding { base64: false, half_close: chosen == 0 }, streams, env))
        }
        Transport::Spdy => {
            let (io, _) = handshake::request(io, request, transport, &["v4.channel.k8s.io"], env).await?;
            spdy_command(start(io, env), streams).await
        }
    }
}

fn websocket_command<T>(
    socket: tokio_tungstenite::WebSocketStream<T>,
    encoding: Encoding,
    streams: Streams,
    env: &Env,
) -> Command
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut ends = Ends { incoming: Vec::new(), outgoing: Vec::new(), serves: None };
    let mut incoming = |channel| {
        let (ours, theirs) = pipe();
        ends.incoming.push((channel, ours));
        theirs
    };
    let stdout = streams.stdout.then(|| Box::new(incoming(STDOUT)) as Input);
    let stderr = streams.stderr.then(|| Box::new(incoming(STDERR)) as Input);
    let error = incoming(ERROR);
    let mut outgoing = |channel| {
        let (ours, theirs) = pipe();
        ends.outgoing.push((channel, ours));
        theirs
    };
    let stdin = streams.stdin.then(|| Box::new(outgoing(STDIN)) as Output);
    let resize = streams.tty.then(|| ResizeSender(Box::new(outgoing(RESIZE))));
    let life = channels::run(socket, encoding, ends, env.clock.clone());
    let unwanted = CancellationToken::new();
    let end = unwanted.clone().drop_guard();
    env.tasks.spawn("command connection", async move {
        tokio::select! {
            () = unwanted.cancelled() => {}
            outcome = life => if let Err(error) = outcome {
                debug!(%error, "a command's connection was lost");
            }
        }
    });
    Command { stdin, stdout, stderr, resize, result: Box::pin(result(error, end)) }
}

/// Reads the error stream to its end. The connection ends when `_end` is dropped, at the latest
/// because nobody waits for the result.
async fn result<E>(mut error: impl AsyncRead + Unpin, _end: E) -> Result<Outcome, StreamError> {
    let mut status = Vec::new();
    let read = (&mut error).take(RESULT_LIMIT).read_to_end(&mut status).await;
    if status.is_empty() {
        return Err(read.err().map_or(StreamError::NoResult, StreamError::Lost));
    }
    Ok(Outcome::from_status(&status))
}

fn start<T>(io: T, env: &Env) -> Session
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let (session, life) = spdy::start(io, Role::Client, env.clock.clone());
    env.tasks.spawn("spdy connection", async move {
        if let Err(error) = life.await {
            debug!(%error, "a stream connection was lost");
        }
    });
    session
}

async fn spdy_command(session: Session, streams: Streams) -> Result<Command, StreamError> {
    let open = async |kind: &str, wanted: bool| match wanted {
        true => session.open(&[("streamtype", kind)]).await.map(Some),
        false => Ok(None),
    };
    let mut error = session.open(&[("streamtype", "error")]).await?;
    let stdin = open("stdin", streams.stdin).await?;
    let mut stdout = open("stdout", streams.stdout).await?;
    let mut stderr = open("stderr", streams.stderr).await?;
    let resize = open("resize", streams.tty).await?;
    // Nothing of ours ever goes out on these.
    for stream in [Some(&mut error), stdout.as_mut(), stderr.as_mut()].into_iter().flatten() {
        stream.shutdown().await?;
    }
    Ok(Command {
        stdin: stdin.map(|stream| Box::new(stream) as Output),
        stdout: stdout.map(|stream| Box::new(stream) as Input),
        stderr: stderr.map(|stream| Box::new(stream) as Input),
        resize: resize.map(|stream| ResizeSender(Box::new(stream))),
        result: Box::pin(result(error, CloseOnDrop(session.closer()))),
    })
}

/// Asks over `io` for a port-forward.
///
/// # Errors
/// The connection failed, or the server refused: [`StreamError::Refused`].
pub async fn forward<T>(io: T, request: Request<()>, transport: Transport, env: &Env) -> Result<Forwarder, StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let protocol = match transport {
        Transport::WebSocket => FORWARD_TUNNEL_PROTOCOL,
        Transport::Spdy => FORWARD_PROTOCOL,
    };
    let (io, _) = handshake::request(io, request, transport, &[protocol], env).await?;
    let session = match transport {
        Transport::Spdy => start(io, env),
        Transport::WebSocket => start(Tunnel::new(websocket::on(io, WebSocketRole::Client).await), env),
    };
    Ok(Forwarder { session, next_request: AtomicU64::new(0) })
}

/// Opens connections to a pod's ports. Dropping it ends them all.
pub struct Forwarder {
    session: Session,
    next_request: AtomicU64,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.session.close();
    }
}

/// One forwarded connection.
pub struct Forwarded {
    pub data: SpdyStream,
    /// Waits for the other side's end of it, and for what went wrong there.
    pub error: BoxFuture<'static, Option<String>>,
}

impl Forwarder {
    /// # Errors
    /// The connection to the server is lost, or it takes no more streams.
    pub async fn connect(&self, port: u16) -> Result<Forwarded, StreamError> {
        let (port, id) = (port.to_string(), self.next_request.fetch_add(1, Ordering::Relaxed).to_string());
        let headers = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", id.as_str())];
        let mut error = self.session.open(&headers("error")).await?;
        error.shutdown().await?;
        let data = self.session.open(&headers("data")).await?;
        let error = async move {
            let mut message = String::new();
            // A broken stream says as little as an empty one: the data stream shows it too.
            let _ = (&mut error).take(RESULT_LIMIT).read_to_string(&mut message).await;
            (!message.is_empty()).then_some(message)
        };
        Ok(Forwarded { data, error: Box::pin(error) })
    }

    /// Waits until the connection to the server is gone.
    pub async fn gone(&self) {
        self.session.closer().gone().await;
    }
}
