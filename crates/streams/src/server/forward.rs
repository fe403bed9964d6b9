//! The serving side of port-forward: SPDY, SPDY inside a WebSocket's messages, and plain WebSocket
//! with two channels per port, which Python's and JavaScript's clients speak.

use super::{protocol, start, upgraded};
use crate::handshake::{self, Accepted};
use crate::spdy::{CloseOnDrop, Session, SpdyStream};
use crate::websocket::channels::{self, Ends, Serves, pipe};
use crate::websocket::{self, Tunnel};
use crate::{Input, Output, Refused, Transport, Upgrade};
use base::Env;
use http::{Request, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::Role as WebSocketRole;
use tracing::debug;

pub(crate) const FORWARD_PROTOCOL: &str = "portforward.k8s.io";
pub(crate) const FORWARD_TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

const TUNNEL: usize = 0;
const WEBSOCKET_PROTOCOLS: [super::Protocol; 4] = [
    protocol(FORWARD_TUNNEL_PROTOCOL, false, false, false, false),
    protocol("v4.channel.k8s.io", false, false, false, false),
    protocol("v4.base64.channel.k8s.io", false, false, true, false),
    protocol("", false, false, false, false),
];

/// Forwarded connections of which only one of the two streams is there yet.
const MAX_HALF_OPEN: usize = 64;
/// As many ports have channels with a number of their own: two each, and a message's first byte for it.
const MAX_PORTS: usize = 127;

/// Accepts a port-forward. The request must have come over HTTP/1.1. `ports` are those that its query
/// names; only where a plain WebSocket is spoken do they matter.
///
/// # Errors
/// It asks for no upgrade, or for protocols that are not spoken.
pub fn forward<B>(
    request: &mut Request<B>,
    ports: Result<Vec<u16>, String>,
    env: &Env,
) -> Result<Upgrade<Forwards>, Refused> {
    let names = WEBSOCKET_PROTOCOLS.each_ref().map(|protocol| protocol.name);
    let Accepted { transport, protocol, response, upgrade } =
        handshake::accept(request, &names, &[FORWARD_PROTOCOL, ""])?;
    let is_plain = transport == Transport::WebSocket && protocol != TUNNEL;
    let ports = if is_plain { ports.and_then(few).map_err(bad)? } else { Vec::new() };
    let env = env.clone();
    let session = async move {
        let io = upgraded(upgrade).await?;
        if is_plain {
            return Ok(Forwards(Kind::Channels(on_channels(io, &WEBSOCKET_PROTOCOLS[protocol], &ports, &env).await)));
        }
        let session = match transport {
            Transport::Spdy => start(io, &env),
            Transport::WebSocket => start(Tunnel::new(websocket::on(io, WebSocketRole::Server).await), &env),
        };
        let end = CloseOnDrop(session.closer());
        Ok(Forwards(Kind::Spdy(Pairs { _end: end, session, half_open: Vec::new() })))
    };
    Ok(Upgrade { response, session: Box::pin(session) })
}

fn few(ports: Vec<u16>) -> Result<Vec<u16>, String> {
    if ports.len() > MAX_PORTS { Err(format!("at most {MAX_PORTS} ports can be forwarded")) } else { Ok(ports) }
}

fn bad(message: String) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, message, headers: Vec::new() }
}

/// Every port has two channels from the start, and says on each first which port it is.
async fn on_channels(
    io: TokioIo<Upgraded>,
    protocol: &super::Protocol,
    ports: &[u16],
    env: &Env,
) -> std::vec::IntoIter<Forward> {
    let socket = websocket::on(io, WebSocketRole::Server).await;
    let mut ends = Ends { incoming: Vec::new(), outgoing: Vec::new(), serves: None };
    let mut serves = Serves::default();
    let mut forwards = Vec::new();
    for (number, port) in (0_u8..).step_by(2).zip(ports) {
        let ((ours, input), (out, output), (error, report)) = (pipe(), pipe(), pipe());
        ends.incoming.push((number, ours));
        ends.outgoing.extend([(number, out), (number + 1, error)]);
        serves.first.extend([number, number + 1].map(|channel| (channel, port.to_le_bytes().to_vec())));
        let error = ForwardError(Box::new(report));
        forwards.push(Forward { port: *port, input: Box::new(input), output: Box::new(output), error });
    }
    ends.serves = Some(serves);
    let life = channels::run(socket, protocol.encoding, ends, env.clock.clone());
    env.tasks.spawn("forwarding connection", async move {
        if let Err(error) = life.await {
            debug!(%error, "a forwarding connection was lost");
        }
    });
    forwards.into_iter()
}

/// The connections that a client asks to be forwarded. Over SPDY dropping it ends them all.
pub struct Forwards(Kind);

enum Kind {
    Spdy(Pairs),
    Channels(std::vec::IntoIter<Forward>),
}

/// A client over SPDY may ask for another connection at any time.
struct Pairs {
    session: Session,
    half_open: Vec<(Half, SpdyStream)>,
    _end: CloseOnDrop,
}

/// Which connection a stream belongs to, and which of its two it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Half {
    id: String,
    port: u16,
    is_data: bool,
}

/// One connection to `port` of the pod.
pub struct Forward {
    pub port: u16,
    pub input: Input,
    pub output: Output,
    pub error: ForwardError,
}

/// Where the client is told that the connection failed; dropped, it says that nothing did.
pub struct ForwardError(Output);

impl ForwardError {
    pub async fn report(mut self, message: &str) {
        // Where the client is gone there is nobody to tell.
        let _ = self.0.write_all(message.as_bytes()).await;
    }
}

impl Forwards {
    /// The next connection to forward. None: there are no more, as the client has gone or can ask for no other.
    pub async fn next(&mut self) -> Option<Forward> {
        match &mut self.0 {
            Kind::Spdy(pairs) => pairs.next().await,
            Kind::Channels(forwards) => forwards.next(),
        }
    }
}

impl Pairs {
    async fn next(&mut self) -> Option<Forward> {
        loop {
            let stream = self.session.accept().await?;
            // A stream that says no port is dropped, which the client sees as a reset.
            let Some(request) = request_of(&stream) else { continue };
            let other = Half { is_data: !request.is_data, ..request.clone() };
            let Some(index) = self.half_open.iter().position(|(known, _)| *known == other) else {
                if self.half_open.len() == MAX_HALF_OPEN {
                    self.half_open.remove(0);
                }
                self.half_open.push((request, stream));
                continue;
            };
            let (_, first) = self.half_open.remove(index);
            let (data, error) = if request.is_data { (stream, first) } else { (first, stream) };
            let (input, output) = tokio::io::split(data);
            let error = ForwardError(Box::new(error));
            return Some(Forward { port: request.port, input: Box::new(input), output: Box::new(output), error });
        }
    }
}

fn request_of(stream: &SpdyStream) -> Option<Half> {
    let is_data = match stream.header("streamtype")? {
        "data" => true,
        "error" => false,
        _ => return None,
    };
    let port = stream.header("port")?.parse().ok().filter(|port| *port > 0)?;
    Some(Half { id: stream.header("requestid").unwrap_or_default().to_owned(), port, is_data })
}
