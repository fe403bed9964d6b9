//! One run of kubectl against one server: configuration, connection, namespace, discovery.
//!
//! Nothing is read or connected before a command asks for it, so that commands which need no
//! server work without one.

use crate::discovery::{Discovery, Resource};
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::output::{error_line, warning};
use base::Env;
use bytes::Bytes;
use client::kubeconfig::{Cluster, Overrides, PluginPolicy, Target, User};
use client::{Body, Https, Kubeconfig};
use http::header::{ACCEPT, CONTENT_TYPE, WARNING};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// An object or list may be this long: far above what a server hands out at once.
const BODY_LIMIT: usize = 256 << 20;

const IMPERSONATION: [(&str, &str); 3] =
    [("as", "impersonate-user"), ("as-group", "impersonate-group"), ("as-uid", "impersonate-uid")];

pub const JSON: &str = "application/json";

pub struct Session {
    pub env: Env,
    /// As messages name the command: `kubectl create deployment`.
    pub path: String,
    globals: Args,
    /// Which programs of the kubeconfig may fetch credentials.
    plugins: PluginPolicy,
    target: OnceCell<(Arc<Https>, String)>,
    discovery: OnceCell<Discovery>,
    warned: Cell<bool>,
}

/// One request. Paths come from [`Resource::path`].
pub struct Call<'a> {
    pub method: Method,
    pub path: String,
    pub query: Vec<(&'a str, String)>,
    pub accept: &'a str,
    /// Media type and bytes.
    pub body: Option<(&'a str, Bytes)>,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Call { method, path: path.into(), query: Vec::new(), accept: JSON, body: None }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Call::new(Method::GET, path)
    }

    /// Adds a parameter, unless it is empty.
    #[must_use]
    pub fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.query.push((name, value));
        }
        self
    }

    #[must_use]
    pub fn accept(mut self, media_type: &'a str) -> Self {
        self.accept = media_type;
        self
    }

    #[must_use]
    pub fn body(mut self, media_type: &'a str, body: impl Into<Bytes>) -> Self {
        self.body = Some((media_type, body.into()));
        self
    }

    fn path_and_query(&self) -> String {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, QUERY).to_string();
        let pairs: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let joint = if self.path.contains('?') { "&" } else { "?" };
        if pairs.is_empty() { self.path.clone() } else { format!("{}{joint}{}", self.path, pairs.join("&")) }
    }
}

const QUERY: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Session {
    pub fn new(globals: Args, path: String, plugins: PluginPolicy) -> Self {
        Session {
            env: Env::real(),
            path,
            globals,
            plugins,
            target: OnceCell::new(),
            discovery: OnceCell::new(),
            warned: Cell::new(false),
        }
    }

    /// The files that make up the configuration.
    pub fn config_paths(&self) -> Vec<PathBuf> {
        let explicit = Some(self.globals.text("kubeconfig")).filter(|path| !path.is_empty());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let variable = std::env::var("KUBECONFIG").ok();
        Kubeconfig::paths(explicit.map(Path::new), variable.as_deref(), home.as_deref())
    }

    pub fn config(&self) -> Outcome<Kubeconfig> {
        let must_exist = !self.globals.text("kubeconfig").is_empty();
        Kubeconfig::load(&self.config_paths(), must_exist).map_err(|why| match why {
            client::kubeconfig::ConfigError::Read { path, why } => {
                Failure::message(format!("stat {}: {}", path.display(), io_text(&why)))
            }
            other => Failure::message(other.to_string()),
        })
    }

    fn overrides(&self) -> Overrides {
        let given = |name: &str| Some(self.globals.text(name).to_owned()).filter(|value| !value.is_empty());
        Overrides {
            context: given("context"),
            cluster: given("cluster"),
            user: given("user"),
            cluster_fields: Cluster {
                server: self.globals.text("server").to_owned(),
                certificate_authority: given("certificate-authority"),
                insecure_skip_tls_verify: self.globals.bool("insecure-skip-tls-verify"),
                tls_server_name: given("tls-server-name"),
                ..Cluster::default()
            },
            user_fields: User {
                token: given("token"),
                username: given("username"),
                password: given("password"),
                client_certificate: given("client-certificate"),
                client_key: given("client-key"),
                ..User::default()
            },
            plugins: self.plugins.clone(),
        }
    }

    async fn resolve(&self) -> Outcome<Target> {
        let config = self.config()?;
        let overrides = self.overrides();
        let nothing_set = config.clusters.is_empty() && config.contexts.is_empty();
        if nothing_set && overrides.cluster_fields.server.is_empty() {
            let variable = |name: &str| std::env::var(name).ok();
            if let Ok(target) = client::kubeconfig::in_cluster(&variable, &self.env) {
                return Ok(target);
            }
            // kubectl's own guess.
            let https = client::HttpsOptions::new("http://localhost:8080", client::Roots::System);
            return Ok(Target { https, namespace: "default".to_owned() });
        }
        config.target(&overrides, &self.env).await.map_err(|why| Failure::message(why.to_string()))
    }

    async fn connected(&self) -> Outcome<&(Arc<Https>, String)> {
        self.target
            .get_or_try_init(|| async {
                let mut target = self.resolve().await?;
                target.https.user_agent = format!("kubectl/{}", env!("CARGO_PKG_VERSION"));
                for (flag, header) in IMPERSONATION {
                    for value in self.globals.list(flag) {
                        let value = HeaderValue::from_str(&value)
                            .map_err(|_| Failure::message(format!("invalid value for --{flag}")))?;
                        target.https.headers.append(header, value);
                    }
                }
                let https = Https::new(target.https, &self.env).map_err(|why| Failure::message(why.to_string()))?;
                Ok((Arc::new(https), target.namespace))
            })
            .await
    }

    pub async fn https(&self) -> Outcome<&Https> {
        Ok(&self.connected().await?.0)
    }

    /// The same for work that goes on beside this command.
    pub async fn shared_https(&self) -> Outcome<Arc<Https>> {
        Ok(self.connected().await?.0.clone())
    }

    /// The namespace that names are looked up in.
    pub async fn namespace(&self) -> Outcome<String> {
        match self.given_namespace() {
            Some(namespace) => Ok(namespace.to_owned()),
            None => Ok(self.connected().await?.1.clone()),
        }
    }

    pub fn given_namespace(&self) -> Option<&str> {
        Some(self.globals.text("namespace")).filter(|namespace| !namespace.is_empty())
    }

    pub async fn discovery(&self) -> Outcome<&Discovery> {
        self.discovery.get_or_try_init(|| Discovery::fetch(self)).await
    }

    /// The resource a word of the command line means.
    pub async fn resource(&self, word: &str) -> Outcome<Resource> {
        self.discovery().await?.find(word).cloned()
    }

    /// Sends a request and hands the answer over once it has begun well.
    pub async fn stream(&self, call: Call<'_>) -> Outcome<Body> {
        let https = self.https().await?;
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::message("invalid header"));
        headers.insert(ACCEPT, value(call.accept)?);
        let path = call.path_and_query();
        let mut body = Bytes::new();
        if let Some((media_type, bytes)) = call.body {
            headers.insert(CONTENT_TYPE, value(media_type)?);
            body = bytes;
        }
        let reply = https.raw(call.method, &path, headers, body).await;
        let reply = reply.map_err(|why| self.unreachable(https, why))?;
        for warned in reply.headers().get_all(WARNING) {
            self.warn(warned);
        }
        let status = reply.status();
        let body = reply.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let text = body.collect(BODY_LIMIT).await.map_err(|why| self.unreachable(https, why))?;
        Err(refusal(status.as_u16(), &text))
    }

    pub async fn send(&self, call: Call<'_>) -> Outcome<Bytes> {
        let body = self.stream(call).await?;
        let https = self.https().await?;
        body.collect(BODY_LIMIT).await.map_err(|why| self.unreachable(https, why))
    }

    pub async fn json(&self, call: Call<'_>) -> Outcome<Value> {
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|why| Failure::message(format!("cannot read the server's answer: {why}")))
    }

    /// A connection of its own to the server and the request to upgrade it with.
    pub async fn dial(&self, call: Call<'_>) -> Outcome<(client::BoxIo, http::Request<()>)> {
        let https = self.https().await?;
        let server = https.server().to_owned();
        let rest = server.split_once("://").map_or(server.as_str(), |(_, rest)| rest);
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{prefix}{}", call.path_and_query()))
            .header(http::header::HOST, authority);
        if let Some(value) = https.authorization().await.map_err(|why| self.unreachable(https, why))? {
            request = request.header(http::header::AUTHORIZATION, value);
        }
        for (flag, header) in IMPERSONATION {
            for value in self.globals.list(flag) {
                request = request.header(header, value);
            }
        }
        let request = request.body(()).map_err(|why| Failure::message(why.to_string()))?;
        let io = https.connect_http1().await.map_err(|why| self.unreachable(https, why))?;
        Ok((io, request))
    }

    fn unreachable(&self, https: &Https, why: client::Error) -> Failure {
        match why {
            client::Error::Status(status) => Failure::Status(status),
            client::Error::Connection(why) => Failure::Connection { server: https.server().to_owned(), why },
            client::Error::Decode(why) => Failure::message(why),
        }
    }

    /// `299 - "text"`, with quotes escaped.
    fn warn(&self, header: &HeaderValue) {
        let text = header.to_str().unwrap_or_default();
        let quoted = text.splitn(3, ' ').nth(2).unwrap_or(text);
        warning(
            &quoted
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .unwrap_or(quoted)
                .replace("\\\"", "\"")
                .replace("\\\\", "\\"),
        );
        self.warned.set(true);
    }

    /// Turns warnings into a failure where that was asked for.
    pub fn check_warnings(&self) -> Outcome {
        if self.warned.get() && self.globals.bool("warnings-as-errors") {
            error_line("error: 1 warning received");
            return Err(Failure::Code(1));
        }
        Ok(())
    }
}

/// Go's text of an error of the system.
pub fn io_text(why: &std::io::Error) -> String {
    match why.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => why.to_string(),
    }
}

fn refusal(code: u16, body: &[u8]) -> Failure {
    if let Ok(status) = serde_json::from_slice::<meta::Status>(body)
        && status.status == "Failure"
    {
        return status.into();
    }
    let text = String::from_utf8_lossy(body).trim().to_owned();
    let reason = match code {
        401 => meta::Reason::Unauthorized,
        403 => meta::Reason::Forbidden,
        404 => meta::Reason::NotFound,
        _ => meta::Reason::InternalError,
    };
    let message = if code == 404 { "the server could not find the requested resource".to_owned() } else { text };
    meta::Status::failure(reason, message).with_code(code).into()
}
