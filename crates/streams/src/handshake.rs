//! The HTTP/1.1 exchange before the streams: which transport and which protocol both sides speak.

use crate::{BoxFuture, StreamError};
use base::Env;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// Kubernetes' negotiation over SPDY; repeated, or a list.
pub(crate) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What a server that knows none of them would have accepted.
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SPDY: &str = "SPDY/3.1";
/// A refusal's body is read up to this length.
const REFUSAL_LIMIT: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Spdy,
}

/// A request that cannot become a stream.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    pub message: String,
    /// To go with the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The answer to send, and what becomes of the connection then.
pub struct Upgrade<S> {
    /// The 101 response; its body is empty.
    pub response: Response<()>,
    /// Waits for the upgrade; must be awaited by a task that outlives the response.
    pub session: BoxFuture<'static, Result<S, StreamError>>,
}

/// A request that was accepted.
pub(crate) struct Accepted {
    pub(crate) transport: Transport,
    /// The index of the protocol among those offered.
    pub(crate) protocol: usize,
    pub(crate) response: Response<()>,
    pub(crate) upgrade: OnUpgrade,
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

pub(crate) fn transport(headers: &HeaderMap) -> Option<Transport> {
    if !values(headers, &CONNECTION).any(|value| value.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    values(headers, &UPGRADE).find_map(|value| match value {
        value if value.eq_ignore_ascii_case("websocket") => Some(Transport::WebSocket),
        value if value.eq_ignore_ascii_case(SPDY) => Some(Transport::Spdy),
        _ => None,
    })
}

pub(crate) fn upgrade_required() -> Refused {
    let message = "Upgrade request required".to_owned();
    Refused { status: StatusCode::BAD_REQUEST, message, headers: Vec::new() }
}

/// Accepts `request` with the first of its protocols that stands in `websocket` or `spdy`. A
/// client that names none gets the protocol "" where there is one.
pub(crate) fn accept<B>(request: &mut Request<B>, websocket: &[&str], spdy: &[&str]) -> Result<Accepted, Refused> {
    let refused = |status, message: &str| Refused { status, message: message.to_owned(), headers: Vec::new() };
    let transport = transport(request.headers());
    let transport = transport.ok_or_else(upgrade_required)?;
    let (name, known) = match transport {
        Transport::WebSocket => (SEC_WEBSOCKET_PROTOCOL, websocket),
        Transport::Spdy => (STREAM_PROTOCOL, spdy),
    };
    let mut asked: Vec<_> = values(request.headers(), &name).collect();
    if asked.is_empty() {
        asked.push("");
    }
    let Some(protocol) = asked.iter().find_map(|asked| known.iter().position(|known| known == asked)) else {
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {asked:?}, server accepts {known:?}"
        );
        let mut refused = refused(StatusCode::FORBIDDEN, &message);
        for known in known.iter().filter_map(|known| HeaderValue::from_str(known).ok()) {
            refused.headers.push((ACCEPTED_PROTOCOLS, known));
        }
        return Err(refused);
    };
    let mut response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(CONNECTION, "Upgrade");
    response = match transport {
        Transport::Spdy => response.header(UPGRADE, SPDY),
        Transport::WebSocket => {
            let key = request.headers().get(SEC_WEBSOCKET_KEY);
            let key = key.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "missing Sec-WebSocket-Key"))?;
            response.header(UPGRADE, "websocket").header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        }
    };
    if !known[protocol].is_empty() {
        response = response.header(name, known[protocol]);
    }
    let response = response.body(()).map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))?;
    Ok(Accepted { transport, protocol, response, upgrade: hyper::upgrade::on(request) })
}

/// Sends `request` over `io` as an upgrade to `transport`, offering `protocols`; returns the
/// connection and the index of the protocol that the server chose.
pub(crate) async fn request<T>(
    io: T,
    request: Request<()>,
    transport: Transport,
    protocols: &[&str],
    env: &Env,
) -> Result<(TokioIo<Upgraded>, usize), StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut request = request.map(|()| Empty::<Bytes>::new());
    let name = ask(&mut request, transport, protocols);
    let response = send(io, request, env).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), REFUSAL_LIMIT).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        return Err(StreamError::Refused { status, body });
    }
    let chosen = response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chosen =
        protocols.iter().position(|known| *known == chosen).ok_or_else(|| StreamError::Protocol(chosen.into()))?;
    let upgraded = hyper::upgrade::on(response).await.map_err(StreamError::Upgrade)?;
    Ok((TokioIo::new(upgraded), chosen))
}

/// Sends `request` as the only one on `io`.
pub(crate) async fn send<T>(io: T, request: Request<Empty<Bytes>>, env: &Env) -> Result<Response<Incoming>, StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(StreamError::Request)?;
    let connection = connection.with_upgrades();
    env.tasks.spawn("stream handshake", async move {
        // Its error reaches the request that waits for it.
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(StreamError::Request)
}

/// Adds what asks for the upgrade; returns the header that names protocols.
fn ask(request: &mut Request<Empty<Bytes>>, transport: Transport, protocols: &[&str]) -> HeaderName {
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let protocols = protocols.iter().filter_map(|protocol| HeaderValue::from_str(protocol).ok());
    match transport {
        Transport::Spdy => {
            headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
            headers.extend(protocols.map(|protocol| (STREAM_PROTOCOL, protocol)));
            *request.method_mut() = Method::POST;
            STREAM_PROTOCOL
        }
        Transport::WebSocket => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            if let Ok(key) = HeaderValue::from_str(&generate_key()) {
                headers.insert(SEC_WEBSOCKET_KEY, key);
            }
            headers.extend(protocols.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, protocol)));
            *request.method_mut() = Method::GET;
            SEC_WEBSOCKET_PROTOCOL
        }
    }
}
