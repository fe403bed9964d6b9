//! The serving side: takes an HTTP request, answers 101, and hands out the streams.

mod forward;

pub(crate) use forward::{FORWARD_PROTOCOL, FORWARD_TUNNEL_PROTOCOL};
pub use forward::{Forward, ForwardError, Forwards, forward};

use crate::handshake::{self, Accepted};
use crate::resize::Parser;
use crate::spdy::{self, CloseOnDrop, Role, Session, SpdyStream};
use crate::websocket::channels::{self, ERROR, Encoding, Ends, RESIZE, STDERR, STDIN, STDOUT, Serves, pipe};
use crate::websocket::{self, Tunnel};
use crate::{Input, Outcome, Output, Refused, Resizes, StreamError, Streams, Transport, Upgrade};
use base::Env;
use http::Request;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::protocol::Role as WebSocketRole;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// A client gets so long to create the streams it asked for.
const STREAM_CREATION: Duration = Duration::from_secs(30);

/// What a command's protocol can do.
struct Protocol {
    name: &'static str,
    /// The result is a Status; else it is text, and none means success.
    status: bool,
    resize: bool,
    encoding: Encoding,
}

const fn protocol(name: &'static str, status: bool, resize: bool, base64: bool, half_close: bool) -> Protocol {
    Protocol { name, status, resize, encoding: Encoding { base64, half_close } }
}

const SPDY_PROTOCOLS: [Protocol; 5] = [
    protocol("v4.channel.k8s.io", true, true, false, false),
    protocol("v3.channel.k8s.io", false, true, false, false),
    protocol("v2.channel.k8s.io", false, false, false, false),
    protocol("channel.k8s.io", false, false, false, false),
    protocol("", false, false, false, false),
];

const WEBSOCKET_PROTOCOLS: [Protocol; 6] = [
    protocol("v5.channel.k8s.io", true, true, false, true),
    protocol("v4.channel.k8s.io", true, true, false, false),
    protocol("v4.base64.channel.k8s.io", true, true, true, false),
    protocol("channel.k8s.io", false, true, false, false),
    protocol("base64.channel.k8s.io", false, true, true, false),
    protocol("", false, true, false, false),
];

/// For output alone: one message per piece.
const OUTPUT_PROTOCOLS: [&str; 2] = ["binary.k8s.io", ""];

/// Accepts a WebSocket on which only the server speaks, as that of a log.
///
/// # Errors
/// The answer for a request that cannot become one.
pub fn output<B>(request: &mut Request<B>) -> Result<Upgrade<Output>, Refused> {
    let accepted = handshake::accept(request, &OUTPUT_PROTOCOLS, &[])?;
    let session = async move {
        let io = TokioIo::new(accepted.upgrade.await.map_err(StreamError::Upgrade)?);
        let socket = websocket::on(io, WebSocketRole::Server).await;
        Ok(Box::new(Tunnel::new(socket)) as Output)
    };
    Ok(Upgrade { response: accepted.response, session: Box::pin(session) })
}

/// A command's streams, as far as they were asked for.
pub struct RemoteCommand {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    /// With a terminal only.
    pub resizes: Option<Resizes>,
    pub finish: Finish,
}

/// Ends a command's connection. Dropping it ends the connection without a result.
pub struct Finish {
    error: ErrorStream,
    status: bool,
    gone: Gone,
}

enum ErrorStream {
    Spdy(SpdyStream),
    WebSocket(DuplexStream),
}

/// Tells when the client has gone.
#[derive(Clone)]
pub struct Gone(GoneSource);

#[derive(Clone)]
enum GoneSource {
    /// The connection ends with the last handle.
    Spdy(Arc<CloseOnDrop>),
    WebSocket(CancellationToken),
}

impl Gone {
    /// Waits until the connection is gone.
    pub async fn wait(&self) {
        match &self.0 {
            GoneSource::Spdy(guard) => guard.0.gone().await,
            GoneSource::WebSocket(token) => token.cancelled().await,
        }
    }
}

impl Finish {
    /// Reports `outcome` and ends the connection. Output must have been shut down or dropped.
    pub async fn report(self, outcome: &Outcome) {
        let result = if self.status { outcome.to_status() } else { outcome.message() };
        // Where the client is gone there is nobody to tell.
        let _ = match self.error {
            ErrorStream::Spdy(mut stream) => stream.write_all(result.as_bytes()).await,
            ErrorStream::WebSocket(mut pipe) => pipe.write_all(result.as_bytes()).await,
        };
    }

    /// Tells when the client has gone, while the command runs. A clone keeps a SPDY connection
    /// open, so drop it with the command.
    pub fn gone(&self) -> Gone {
        self.gone.clone()
    }
}

/// Accepts an exec or attach with `streams`. The request must have come over HTTP/1.1.
///
/// # Errors
/// It asks for no upgrade, or for protocols that are not spoken.
pub fn command<B>(request: &mut Request<B>, streams: Streams, env: &Env) -> Result<Upgrade<RemoteCommand>, Refused> {
    let names = |protocols: &'static [Protocol]| protocols.iter().map(|protocol| protocol.name).collect::<Vec<_>>();
    let Accepted { transport, protocol, response, upgrade } =
        handshake::accept(request, &names(&WEBSOCKET_PROTOCOLS), &names(&SPDY_PROTOCOLS))?;
    let streams = Streams { stderr: streams.stderr && !streams.tty, ..streams };
    let env = env.clone();
    let session = async move {
        let io = upgraded(upgrade).await?;
        match transport {
            Transport::Spdy => spdy_command(io, &SPDY_PROTOCOLS[protocol], streams, &env).await,
            Transport::WebSocket => Ok(websocket_command(io, &WEBSOCKET_PROTOCOLS[protocol], streams, &env).await),
        }
    };
    Ok(Upgrade { response, session: Box::pin(session) })
}

async fn upgraded(upgrade: OnUpgrade) -> Result<TokioIo<Upgraded>, StreamError> {
    upgrade.await.map(TokioIo::new).map_err(StreamError::Upgrade)
}

async fn spdy_command(
    io: TokioIo<Upgraded>,
    protocol: &Protocol,
    streams: Streams,
    env: &Env,
) -> Result<RemoteCommand, StreamError> {
    let mut session = start(io, env);
    let closer = Arc::new(CloseOnDrop(session.closer()));
    let wanted = [
        ("error", true),
        ("stdin", streams.stdin),
        ("stdout", streams.stdout),
        ("stderr", streams.stderr),
        ("resize", streams.tty && protocol.resize),
    ];
    let mut found: BTreeMap<&str, SpdyStream> = BTreeMap::new();
    let collect = async {
        while found.len() < wanted.iter().filter(|(_, wanted)| *wanted).count() {
            let stream = session.accept().await?;
            let kind = stream.header("streamtype").unwrap_or_default();
            // What was not asked for is dropped, which the client sees as a reset.
            if let Some((kind, true)) = wanted.iter().find(|(known, _)| *known == kind) {
                found.insert(kind, stream);
            }
        }
        Some(())
    };
    match env.clock.timeout(STREAM_CREATION, collect).await {
        Ok(Some(())) => {}
        Ok(None) => return Err(StreamError::NoResult),
        Err(_) => return Err(StreamError::MissingStreams),
    }
    let error = found.remove("error").ok_or(StreamError::MissingStreams)?;
    let resizes = found.remove("resize").map(|stream| {
        let (parser, resizes) = Parser::new();
        env.tasks.spawn("terminal sizes", parser.run(stream));
        resizes
    });
    let mut input = |kind| found.remove(kind);
    Ok(RemoteCommand {
        stdin: input("stdin").map(|stream| Box::new(stream) as Input),
        stdout: input("stdout").map(|stream| Box::new(stream) as Output),
        stderr: input("stderr").map(|stream| Box::new(stream) as Output),
        resizes,
        finish: Finish {
            error: ErrorStream::Spdy(error),
            status: protocol.status,
            gone: Gone(GoneSource::Spdy(closer)),
        },
    })
}

/// Runs a session as a task of its own.
fn start<T>(io: T, env: &Env) -> Session
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let (session, life) = spdy::start(io, Role::Server, env.clock.clone());
    env.tasks.spawn("spdy connection", async move {
        if let Err(error) = life.await {
            debug!(%error, "a stream connection was lost");
        }
    });
    session
}

async fn websocket_command(io: TokioIo<Upgraded>, protocol: &Protocol, streams: Streams, env: &Env) -> RemoteCommand {
    let socket = websocket::on(io, WebSocketRole::Server).await;
    let mut ends = Ends { incoming: Vec::new(), outgoing: Vec::new(), serves: None };
    let mut incoming = |channel| {
        let (ours, theirs) = pipe();
        ends.incoming.push((channel, ours));
        theirs
    };
    let stdin = streams.stdin.then(|| Box::new(incoming(STDIN)) as Input);
    let resizes = (streams.tty && protocol.resize).then(|| {
        let (parser, resizes) = Parser::new();
        env.tasks.spawn("terminal sizes", parser.run(incoming(RESIZE)));
        resizes
    });
    let mut outgoing = |channel| {
        let (ours, theirs) = pipe();
        ends.outgoing.push((channel, ours));
        theirs
    };
    let stdout = streams.stdout.then(|| Box::new(outgoing(STDOUT)) as Output);
    let stderr = streams.stderr.then(|| Box::new(outgoing(STDERR)) as Output);
    let error = outgoing(ERROR);
    // An empty message tells the client that the connection stands; the result goes last, for a client may
    // leave as soon as it has it.
    let first = ends.outgoing.iter().map(|(channel, _)| (*channel, Vec::new())).take(1).collect();
    ends.serves = Some(Serves { first, last: Some(ERROR) });
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    let life = channels::run(socket, protocol.encoding, ends, env.clock.clone());
    env.tasks.spawn("command connection", async move {
        let _guard = guard;
        if let Err(error) = life.await {
            debug!(%error, "a command's connection was lost");
        }
    });
    let gone = Gone(GoneSource::WebSocket(gone));
    let finish = Finish { error: ErrorStream::WebSocket(error), status: protocol.status, gone };
    RemoteCommand { stdin, stdout, stderr, resizes, finish }
}
