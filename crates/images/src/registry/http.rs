//! One HTTP request at a time, each on a connection of its own, over TLS or not; redirects followed.
//!
//! Says why a request failed in the words Go's client has, which users know from their events.

use base::{Clock, Env, Tasks};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Until the answer's head is here.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Between two pieces of a body.
pub const IDLE_LIMIT: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 10;
/// Where systems keep their trusted authorities; the first that is there counts.
const AUTHORITIES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Connect,
    /// A connection, but no TLS on it.
    Tls,
    /// The connection ended too early.
    Broken,
    /// The server or its redirects ask for what is not done.
    Refused,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to do request: {method} \"{url}\": {why}")]
pub struct HttpError {
    method: &'static str,
    url: String,
    why: String,
    pub trouble: Trouble,
}

#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub url: Uri,
    pub headers: HeaderMap,
    pub authorization: Option<HeaderValue>,
    pub body: Bytes,
}

pub struct Http {
    clock: Clock,
    tasks: Tasks,
    extra_authorities: Vec<PathBuf>,
    /// Made at the first need: reading the system's authorities takes a while.
    tls: OnceLock<Result<TlsConnector, String>>,
}

type Failure = (Trouble, String);

impl Http {
    pub fn new(env: &Env, extra_authorities: Vec<PathBuf>) -> Self {
        Http { clock: env.clock.clone(), tasks: env.tasks.clone(), extra_authorities, tls: OnceLock::new() }
    }

    /// The answer, after redirects; what its status means is for the caller.
    pub async fn send(&self, mut request: Request) -> Result<Response<Incoming>, HttpError> {
        for _ in 0..=MAX_REDIRECTS {
            let failed = |(trouble, why)| error(&request, trouble, why);
            let answer = self.send_once(&request).await.map_err(failed)?;
            let Some(target) = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection()) else {
                return Ok(answer);
            };
            let target = redirected(&request.url, target).map_err(|why| failed((Trouble::Refused, why)))?;
            if origin(&target) != origin(&request.url) {
                request.authorization = None;
            }
            request.url = target;
        }
        Err(error(&request, Trouble::Refused, format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    async fn send_once(&self, request: &Request) -> Result<Response<Incoming>, Failure> {
        let io = self.clock.timeout(CONNECT_LIMIT, self.connect(&request.url)).await;
        let io = io.map_err(|_| (Trouble::Connect, "dial tcp: i/o timeout".to_owned()))??;
        let broken = |why: hyper::Error| (Trouble::Broken, why.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
        self.tasks.spawn("registry connection", async move {
            // The answer says what went wrong.
            let _ = connection.await;
        });
        let late = |_| (Trouble::Broken, "timeout awaiting response headers".to_owned());
        let sent = self.clock.timeout(ANSWER_LIMIT, sender.send_request(message(request)?)).await;
        sent.map_err(late)?.map_err(broken)
    }

    async fn connect(&self, url: &Uri) -> Result<Box<dyn Io>, Failure> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = url.scheme_str() != Some("http");
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses = addresses.map_err(|_| (Trouble::Connect, format!("dial tcp: lookup {host}: no such host")))?;
        let mut last = (Trouble::Connect, format!("dial tcp: lookup {host}: no such host"));
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) if tls => return self.secure(&host, stream).await,
                Ok(stream) => return Ok(Box::new(stream)),
                Err(why) => last = (Trouble::Connect, format!("dial tcp {address}: {}", dial_words(&why))),
            }
        }
        Err(last)
    }

    async fn secure(&self, host: &str, stream: TcpStream) -> Result<Box<dyn Io>, Failure> {
        let connector = self.tls.get_or_init(|| connector(&self.extra_authorities));
        let connector = connector.as_ref().map_err(|why| (Trouble::Refused, why.clone()))?;
        let failed = |why: String| (Trouble::Tls, format!("tls: {why}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|why| failed(why.to_string()))?;
        let stream = connector.connect(name, stream).await.map_err(|why| failed(why.to_string()))?;
        Ok(Box::new(stream))
    }

    /// A whole body of at most `limit` bytes.
    pub async fn read(&self, body: Incoming, limit: u64) -> Result<Bytes, String> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let body = http_body_util::Limited::new(body, limit).collect();
        let read = self.clock.timeout(ANSWER_LIMIT, body).await.map_err(|_| "i/o timeout".to_owned())?;
        Ok(read.map_err(|why| why.to_string())?.to_bytes())
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

fn error(request: &Request, trouble: Trouble, why: String) -> HttpError {
    let method = match request.method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        _ => "Get",
    };
    HttpError { method, url: request.url.to_string(), why, trouble }
}

fn message(request: &Request) -> Result<http::Request<Full<Bytes>>, Failure> {
    let authority = request.url.authority().map_or("", http::uri::Authority::as_str);
    let path = request.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut message = http::Request::builder().method(request.method.clone()).uri(path).header(HOST, authority);
    message = message.header(USER_AGENT, concat!("kutter/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    if let Some(authorization) = &request.authorization {
        message = message.header(AUTHORIZATION, authorization);
    }
    message.body(Full::new(request.body.clone())).map_err(|why| (Trouble::Refused, why.to_string()))
}

/// Where a redirect leads: elsewhere, or to another path of the same server. Never from TLS to none.
fn redirected(from: &Uri, target: &HeaderValue) -> Result<Uri, String> {
    let target = target.to_str().map_err(|why| why.to_string())?;
    let (scheme, authority) = (from.scheme_str().unwrap_or("https"), from.authority().map_or("", |name| name.as_str()));
    let target = match target {
        path if path.starts_with("//") => format!("{scheme}:{path}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        whole => whole.to_owned(),
    };
    let uri: Uri = target.parse().map_err(|_| format!("failed to parse Location header {target:?}"))?;
    match (scheme, uri.scheme_str()) {
        ("https", Some("http")) => Err(format!("refused to be redirected from TLS to {uri}")),
        (_, Some("http" | "https")) => Ok(uri),
        _ => Err(format!("failed to parse Location header {target:?}")),
    }
}

fn origin(url: &Uri) -> (Option<&str>, Option<&str>) {
    (url.scheme_str(), url.authority().map(http::uri::Authority::as_str))
}

fn dial_words(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => format!("connect: {why}"),
    }
}

fn connector(extra: &[PathBuf]) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let system = AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    // A bundle may hold old certificates that are of no use: the others count.
    for certificate in system.and_then(|path| CertificateDer::pem_file_iter(path).ok()).into_iter().flatten().flatten()
    {
        let _ = roots.add(certificate);
    }
    for path in extra {
        let bad = |why: &dyn std::fmt::Display| format!("certificate authority {}: {why}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|why| bad(&why))? {
            roots.add(certificate.map_err(|why| bad(&why))?).map_err(|why| bad(&why))?;
        }
    }
    let config = ClientConfig::builder_with_provider(keys::tls_provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|why| why.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
