//! Passes an upgrade on: for a server that stands between the client and the one that serves the
//! streams, as the API server does before a kubelet. Looks at no byte of what is spoken.

use crate::{Refused, StreamError, handshake};
use base::Env;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS};
use http::header::{
    CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

/// An answer that is no upgrade is passed on up to this length.
const ANSWER_LIMIT: usize = 1 << 20;

/// What the negotiation consists of. Nothing else of the client's goes on, least of all what
/// authenticates it: the caller adds its own to `onward`.
const PASSED: [HeaderName; 9] = [
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    handshake::STREAM_PROTOCOL,
    USER_AGENT,
];

/// Whether `request` asks for an upgrade that this crate can pass on or serve.
///
/// # Errors
/// The answer for one that does not.
pub fn check<B>(request: &Request<B>) -> Result<(), Refused> {
    handshake::transport(request.headers()).map(drop).ok_or_else(handshake::upgrade_required)
}

/// Sends `request`'s upgrade over `io` as `onward` (path, `Host` and credentials of the caller),
/// and joins the two connections once both are upgraded. Returns the answer for the client.
///
/// # Errors
/// The connection behind failed.
pub async fn pass<B, T>(
    request: &mut Request<B>,
    onward: Request<()>,
    io: T,
    env: &Env,
) -> Result<Response<Bytes>, StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut onward = onward.map(|()| Empty::<Bytes>::new());
    *onward.method_mut() = request.method().clone();
    copy(request.headers(), onward.headers_mut());
    let mut answer = handshake::send(io, onward, env).await?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        *response.headers_mut() = answer.headers().clone();
        for own in [CONNECTION, CONTENT_LENGTH, HOST] {
            response.headers_mut().remove(own);
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        *response.body_mut() = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(response);
    }
    copy(answer.headers(), response.headers_mut());
    let (client, server) = (hyper::upgrade::on(request), hyper::upgrade::on(&mut answer));
    env.tasks.spawn("stream proxy", async move {
        let joined = async {
            let (client, server) = tokio::try_join!(client, server).map_err(std::io::Error::other)?;
            tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await
        };
        if let Err(error) = joined.await {
            debug!(%error, "a proxied stream connection was lost");
        }
    });
    Ok(response)
}

fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    for name in PASSED {
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}
