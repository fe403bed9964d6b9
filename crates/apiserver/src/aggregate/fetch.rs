//! One small request of our own to another server: an aggregated one, or a node.

use base::Env;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

/// For all of it: upstream gives a server five seconds to show that it lives.
const TIME: Duration = Duration::from_secs(5);
const MAX_DOCUMENT: usize = 8 << 20;

/// Where to, and what.
pub(crate) struct Errand<'a> {
    pub tls: Arc<ClientConfig>,
    pub host: &'a str,
    pub port: u16,
    /// What the certificate must be for.
    pub server_name: &'a str,
    pub method: Method,
    pub path: &'a str,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Answers with the status and body, or with why there is none.
pub(crate) async fn fetch(env: &Env, errand: Errand<'_>) -> Result<(StatusCode, Bytes), String> {
    match env.clock.timeout(TIME, exchange(env, errand)).await {
        Ok(outcome) => outcome,
        Err(_) => Err("context deadline exceeded".to_owned()),
    }
}

async fn exchange(env: &Env, errand: Errand<'_>) -> Result<(StatusCode, Bytes), String> {
    let Errand { tls, host, port, server_name, method, path, headers, body } = errand;
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let refused = |why: String| format!("dial tcp {address}: {why}");
    let stream = TcpStream::connect(&address).await.map_err(|error| refused(error.to_string()))?;
    let name = ServerName::try_from(server_name.to_owned()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    env.tasks.spawn("small request to another server", async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection to another server ended");
        }
    });
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    *request.headers_mut() = headers;
    let host = HeaderValue::from_str(server_name).map_err(|error| error.to_string())?;
    request.headers_mut().insert(header::HOST, host);
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}
