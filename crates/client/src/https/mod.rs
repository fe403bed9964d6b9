//! [`Https`]: the API over the network, HTTP/2 where the server speaks it.
//!
//! One connection carries everything; pings find a dead one. Every wait and every body has a limit.
//! What a request means is the server's business: this module writes URLs and reads answers.

mod answer;
mod believed;
mod connect;
#[cfg(test)]
mod tests;
mod tls;
mod url;

pub use answer::Body;
pub use connect::{BoxIo, Io};
pub use tls::{ClientCertificate, Roots, believing_all, client_config};
pub use url::path_and_query;

use crate::{Api, BoxFuture, Error, Request, Response, Verb};
use base::Env;
use bytes::Bytes;
use connect::{Connector, Runs};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a server may take to begin an answer (watches begin at once, too).
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A connection without traffic is asked for a sign of life this often, and given up as late.
const PING: Duration = Duration::from_secs(15);
/// What the server may send ahead on one answer, and on all of a connection together, as Go's client
/// has it: a watch that nobody reads just now must not hold up the other answers of its connection.
const ANSWER_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;
/// How often a request is repeated because the server asked to come back later.
const LATER_LIMIT: u32 = 10;

/// Where bearer tokens come from.
pub trait TokenSource: Send + Sync {
    /// The token to send now. `refused` is the one the server has just refused: get another.
    fn token<'a>(&'a self, refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>>;
}

/// A token that never changes.
impl TokenSource for String {
    fn token<'a>(&'a self, _refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

/// Who to talk to, and as whom.
#[derive(Clone)]
pub struct HttpsOptions {
    /// `https://host:port`, perhaps with a path in front of all others.
    pub server: String,
    pub roots: Roots,
    /// The name the server's certificate must carry, where it is not the host of the URL.
    pub server_name: Option<String>,
    pub certificate: Option<Arc<ClientCertificate>>,
    pub token: Option<Arc<dyn TokenSource>>,
    /// User name and password.
    pub basic: Option<(String, String)>,
    pub user_agent: String,
    /// Sent with every request: impersonation.
    pub headers: HeaderMap,
}

impl HttpsOptions {
    pub fn new(server: impl Into<String>, roots: Roots) -> Self {
        HttpsOptions {
            server: server.into(),
            roots,
            server_name: None,
            certificate: None,
            token: None,
            basic: None,
            user_agent: format!("kutter/{}", env!("CARGO_PKG_VERSION")),
            headers: HeaderMap::new(),
        }
    }

    pub fn certificate(mut self, certificate: Arc<ClientCertificate>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    pub fn token(mut self, token: impl TokenSource + 'static) -> Self {
        self.token = Some(Arc::new(token));
        self
    }
}

/// The options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("invalid server URL {url:?}: {why}")]
    Server { url: String, why: String },
    #[error("cannot read the certificate authority: {0}")]
    Roots(String),
    #[error("cannot read the client certificate: {0}")]
    Certificate(String),
    #[error("invalid header: {0}")]
    Header(String),
}

type Hyper = HyperClient<Connector, Full<Bytes>>;

/// A client of one API server.
pub struct Https {
    env: Env,
    base: url::Base,
    connector: Connector,
    hyper: RwLock<Hyper>,
    token: Option<Arc<dyn TokenSource>>,
    headers: HeaderMap,
}

impl Https {
    pub fn new(options: HttpsOptions, env: &Env) -> Result<Self, OptionsError> {
        let base = url::Base::parse(&options.server)?;
        let connector = Connector::new(&base, &options, env)?;
        let headers = fixed_headers(&options)?;
        Ok(Https {
            hyper: RwLock::new(hyper_client(&connector, env)),
            env: env.clone(),
            base,
            connector,
            token: options.token,
            headers,
        })
    }

    /// Lets the next request open a new connection, as after a change of the client certificate.
    pub fn reconnect(&self) {
        *self.hyper.write().unwrap_or_else(PoisonError::into_inner) = hyper_client(&self.connector, &self.env);
    }

    /// Sends any request: discovery, OpenAPI, logs, tables. `path` begins with a slash and carries
    /// its query. The answer comes back whatever its status.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Body>, Error> {
        let response = self.send(method, path, &headers, body).await?;
        Ok(response.map(|incoming| Body::new(incoming, self.env.clock.clone())))
    }

    /// Asks the server to switch protocols (`headers` say to what) on an HTTP/1.1 connection of its
    /// own, and hands that connection over once the server has agreed.
    pub async fn upgrade(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<(http::Response<()>, BoxIo), Error> {
        let io = self.connect_http1().await?;
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(io));
        let (mut sender, connection) = handshake.await.map_err(connection_error)?;
        self.env.tasks.spawn("upgraded connection", async move {
            // Its failure shows in the answer or in the upgraded stream.
            let _ = connection.with_upgrades().await;
        });
        let token = self.bearer(None).await?;
        let mut request = self.request(method, &self.base.path(path), &headers, token.as_deref(), Bytes::new())?;
        request.headers_mut().insert(HOST, self.base.host_header()?);
        let sending = self.env.clock.timeout(ANSWER_LIMIT, sender.send_request(request)).await;
        let response = sending.map_err(|_| too_slow())?.map_err(connection_error)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let body = Body::new(response, self.env.clock.clone());
            return Err(answer::failure(body).await);
        }
        let (parts, _) = http::Response::new(()).into_parts();
        let mut told = http::Response::from_parts(parts, ());
        *told.status_mut() = response.status();
        *told.headers_mut() = response.headers().clone();
        let upgraded = hyper::upgrade::on(response).await.map_err(connection_error)?;
        Ok((told, Box::new(TokioIo::new(upgraded))))
    }

    /// A connection of its own to the server, for a caller that speaks HTTP/1.1 by itself.
    pub async fn connect_http1(&self) -> Result<BoxIo, Error> {
        self.connector.connect_http1().await.map_err(|error| Error::Connection(error.to_string()))
    }

    /// The value of the Authorization header, where one is sent.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        match self.bearer(None).await? {
            Some(token) => Ok(Some(bearer_header(&token)?)),
            None => Ok(self.headers.get(AUTHORIZATION).cloned()),
        }
    }

    /// Scheme, host and port of the server, and the path in front of all others.
    pub fn server(&self) -> &str {
        self.base.as_str()
    }

    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let method = match request.verb {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Patch(_) => Method::PATCH,
            Verb::Delete | Verb::DeleteCollection => Method::DELETE,
        };
        let media_type = match request.verb {
            Verb::Patch(kind) => kind.media_type(),
            _ => "application/json",
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !request.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let path = url::path_and_query(&request);
        let response = self.send(method, &path, &headers, request.body).await?;
        let created = response.status() == StatusCode::CREATED;
        let good = response.status().is_success();
        let body = Body::new(response, self.env.clock.clone());
        match request.verb {
            _ if !good => Err(answer::failure(body).await),
            Verb::Watch => Ok(Response::Watch(answer::watch(body))),
            Verb::List => Ok(Response::List(answer::list(body).await?)),
            _ => Ok(Response::Object { body: body.collect(answer::OBJECT_LIMIT).await?, created }),
        }
    }

    /// Sends a request, again with a new token if the first was refused, and again later if the
    /// server says so.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Error> {
        let path = self.base.path(path);
        let mut refused: Option<String> = None;
        let mut postponed = 0;
        loop {
            let token = self.bearer(refused.as_deref()).await?;
            let request = self.request(method.clone(), &path, headers, token.as_deref(), body.clone())?;
            let hyper = self.hyper.read().unwrap_or_else(PoisonError::into_inner).clone();
            let sending = self.env.clock.timeout(ANSWER_LIMIT, hyper.request(request)).await;
            let response = sending.map_err(|_| too_slow())?.map_err(connection_error)?;
            if response.status() == StatusCode::UNAUTHORIZED && token.is_some() && refused.is_none() {
                refused = token;
                continue;
            }
            match retry_after(&response) {
                Some(delay) if postponed < LATER_LIMIT => {
                    postponed += 1;
                    self.env.clock.sleep(delay).await;
                }
                _ => return Ok(response),
            }
        }
    }

    async fn bearer(&self, refused: Option<&str>) -> Result<Option<String>, Error> {
        match &self.token {
            Some(source) => source.token(refused).await.map(Some).map_err(Error::Connection),
            None => Ok(None),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<http::Request<Full<Bytes>>, Error> {
        let uri = self.base.uri(path)?;
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().extend(headers.clone());
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, bearer_header(token)?);
        }
        Ok(request)
    }
}

impl Api for Https {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        Box::pin(self.exchange(request))
    }
}

fn hyper_client(connector: &Connector, env: &Env) -> Hyper {
    HyperClient::builder(Runs(env.tasks.clone()))
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .http2_initial_stream_window_size(ANSWER_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(connector.clone())
}

fn fixed_headers(options: &HttpsOptions) -> Result<HeaderMap, OptionsError> {
    let mut headers = options.headers.clone();
    let invalid = |error: http::header::InvalidHeaderValue| OptionsError::Header(error.to_string());
    headers.insert(USER_AGENT, HeaderValue::from_str(&options.user_agent).map_err(invalid)?);
    if let Some((user, password)) = &options.basic {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).map_err(invalid)?);
    }
    Ok(headers)
}

fn bearer_header(token: &str) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| Error::Connection("the bearer token has unprintable characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// How long the server asks to wait; only refusals that did nothing are ever repeated.
fn retry_after(response: &http::Response<Incoming>) -> Option<Duration> {
    let postponed = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    postponed.then(|| Duration::from_secs(seconds.clamp(1, 60)))
}

fn too_slow() -> Error {
    Error::Connection(format!("no answer within {} seconds", ANSWER_LIMIT.as_secs()))
}

/// The whole chain of causes: hyper's first line alone says little.
fn connection_error(error: impl std::error::Error) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    Error::Connection(text)
}
