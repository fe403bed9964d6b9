//! Passes one request on, and with it whatever its connection is upgraded to.

use super::links::{Page, Way};
use super::target::{Target, Tls};
use crate::http::{HttpRequest, HttpResponse, Payload};
use base::Env;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use meta::{Reason, Status};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

const CONNECT: Duration = Duration::from_secs(10);
/// Until the other side says anything; a stream may then last as long as it likes.
const ANSWER: Duration = Duration::from_secs(60);
/// As much of a kubelet's refusal is passed on.
const REFUSAL: usize = 2048;

pub async fn forward(
    env: &Env,
    tls: &Arc<rustls::ClientConfig>,
    target: Target,
    request: HttpRequest,
) -> Result<HttpResponse, Status> {
    let unreachable =
        |why: String| Status::failure(Reason::ServiceUnavailable, format!("error trying to reach service: {why}"));
    let address = match target.host.contains(':') {
        true => format!("[{}]:{}", target.host, target.port),
        false => format!("{}:{}", target.host, target.port),
    };
    let stream = env
        .clock
        .timeout(CONNECT, TcpStream::connect(&address))
        .await
        .map_err(|_| unreachable(format!("dial tcp {address}: i/o timeout")))?
        .map_err(|error| unreachable(format!("dial tcp {address}: {}", why(&error))))?;
    let _ = stream.set_nodelay(true);
    let tls = match target.tls {
        Tls::None => return exchange(env, stream, &address, &target, request).await,
        Tls::Verified => tls.clone(),
        Tls::Unverified => {
            Arc::new(client::https::believing_all(&[b"http/1.1"]).map_err(|error| Status::internal(error.to_string()))?)
        }
    };
    let name = ServerName::try_from(target.server_name.clone()).map_err(|error| unreachable(error.to_string()))?;
    let connect = TlsConnector::from(tls).connect(name, stream);
    let stream = env
        .clock
        .timeout(CONNECT, connect)
        .await
        .map_err(|_| unreachable("TLS handshake timeout".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    exchange(env, stream, &address, &target, request).await
}

/// Why there is no connection, in the words that people know.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

async fn exchange<S>(
    env: &Env,
    stream: S,
    address: &str,
    target: &Target,
    mut request: HttpRequest,
) -> Result<HttpResponse, Status>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed =
        |why: String| Status::failure(Reason::ServiceUnavailable, format!("error trying to reach service: {why}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Incoming>(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    env.tasks.spawn("passed-on connection", async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "passed-on connection ended");
        }
    });
    let client_side = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let way = way(&parts, target, address);
    parts.uri = Uri::try_from(&target.path_and_query).map_err(|error| Status::bad_request(error.to_string()))?;
    parts.version = http::Version::HTTP_11;
    clean(&mut parts.headers);
    let host = HeaderValue::from_str(address).map_err(|error| failed(error.to_string()))?;
    parts.headers.insert(header::HOST, host);
    let answer = sender.send_request(http::Request::from_parts(parts, body));
    let mut answer = env
        .clock
        .timeout(ANSWER, answer)
        .await
        .map_err(|_| failed("no answer".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    let for_logs = target.path_and_query.starts_with("/containerLogs/");
    if for_logs && (answer.status().is_client_error() || answer.status().is_server_error()) {
        return Err(refusal(answer).await);
    }
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(match way {
            Some(way) => through_proxy(answer, way),
            None => answer.map(stream_body),
        });
    }
    let node_side = hyper::upgrade::on(&mut answer);
    env.tasks.spawn("upgraded connection", async move {
        let (client, node) = match tokio::try_join!(client_side, node_side) {
            Ok(both) => both,
            Err(error) => return debug!(%error, "cannot upgrade a passed-on connection"),
        };
        let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut node).await {
            debug!(%error, "upgraded connection ended");
        }
    });
    let (parts, _) = answer.into_parts();
    Ok(Response::from_parts(parts, Payload::empty()))
}

/// Where pages come through, if this is a proxy for them: the request's path without the part that is passed on.
fn way(parts: &http::request::Parts, target: &Target, address: &str) -> Option<Way> {
    let passed_on = target.path_and_query.split('?').next().unwrap_or_default();
    let prefix = parts.uri.path().strip_suffix(passed_on)?;
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
    prefix
        .ends_with("/proxy")
        .then(|| Way { prefix: prefix.to_owned(), hosts: vec![address.to_owned(), host.to_owned()] })
}

/// The answer with redirects, and links if it is a page, as its reader has to follow them.
fn through_proxy(answer: Response<Incoming>, way: Way) -> HttpResponse {
    let (mut parts, body) = answer.into_parts();
    let redirect = parts.headers.get(header::LOCATION).and_then(|link| way.link(link.to_str().ok()?));
    if let Some(location) = redirect.and_then(|link| HeaderValue::try_from(link).ok()) {
        parts.headers.insert(header::LOCATION, location);
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    if !is_page || parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Response::from_parts(parts, stream_body(body));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let state = Some((body.into_data_stream(), Page::new(way)));
    let chunks = stream::unfold(state, |state| async move {
        let (mut body, mut page) = state?;
        match body.next().await {
            Some(Ok(piece)) => Some((Ok(Bytes::from(page.push(&piece))), Some((body, page)))),
            Some(Err(error)) => Some((Err(io::Error::other(error)), None)),
            None => Some((Ok(Bytes::from(page.end())), None)),
        }
    });
    Response::from_parts(parts, Payload::Stream(Box::pin(chunks)))
}

/// A kubelet says in plain text why there is no log; clients want a Status.
async fn refusal(answer: Response<Incoming>) -> Status {
    let code = answer.status();
    let body = Limited::new(answer.into_body(), REFUSAL).collect().await.map(|body| body.to_bytes());
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => Status::failure(Reason::NotFound, text),
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal(text),
        _ => Status::failure(Reason::Unknown, text).with_code(code.as_u16()),
    }
}

/// Credentials are for this server only; HTTP/2's pseudo headers do not exist on the way on.
fn clean(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    let doomed: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    if !headers.contains_key(header::UPGRADE) {
        headers.remove(header::CONNECTION);
    }
    // Links can be rewritten in plain pages only.
    let page = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
    if headers.get(header::ACCEPT).is_some_and(page) {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

fn stream_body(body: Incoming) -> Payload {
    let chunks = body.into_data_stream().map_ok(Bytes::from).map_err(io::Error::other);
    Payload::Stream(Box::pin(chunks))
}
