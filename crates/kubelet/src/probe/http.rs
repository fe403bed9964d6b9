//! HTTP and HTTPS questions of probes and hooks. Certificates are not checked, redirects are
//! followed on the same host only, as upstream has it.

use super::Outcome;
use super::handler::connect;
use base::Env;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// No more of an answer is read.
const BODY_LIMIT: usize = 10 << 10;
const REDIRECTS: usize = 10;

pub(crate) struct Request {
    secure: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn new(get: &HTTPGetAction, address: IpAddr, port: u16) -> Self {
        let path = get.path.clone().unwrap_or_default();
        Request {
            secure: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| address.to_string()),
            port,
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            headers: get.http_headers.iter().flatten().map(|own| (own.name.clone(), own.value.clone())).collect(),
        }
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// The same host's other page; None where it leads elsewhere.
    fn redirected(&self, location: &str) -> Option<Request> {
        let uri: http::Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(host) = uri.host() else {
            return Some(Request { path, host: self.host.clone(), headers: self.headers.clone(), ..*self });
        };
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        (host == self.host).then(|| Request {
            secure,
            port,
            path,
            host: host.to_owned(),
            headers: self.headers.clone(),
        })
    }
}

/// Any answer below 400 is a success.
pub(crate) async fn get(env: &Env, request: &Request, limit: Duration) -> Outcome {
    match env.clock.timeout(limit, follow(env, request, limit)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(text)) => Outcome::Failure(format!("Get {:?}: {text}", request.url())),
        Err(_) => Outcome::Failure(format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            request.url()
        )),
    }
}

async fn follow(env: &Env, request: &Request, limit: Duration) -> Result<Outcome, String> {
    let mut answer = once(env, request, limit).await?;
    let mut next: Option<Request> = None;
    for _ in 0..REDIRECTS {
        let here = next.as_ref().unwrap_or(request);
        let Some(location) = answer.location.as_deref().filter(|_| (300..400).contains(&answer.status)) else { break };
        let Some(target) = here.redirected(location) else {
            return Ok(Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)));
        };
        answer = once(env, &target, limit).await?;
        next = Some(target);
    }
    if (200..400).contains(&answer.status) {
        Ok(Outcome::Success)
    } else {
        Ok(Outcome::Failure(format!("HTTP probe failed with statuscode: {}", answer.status)))
    }
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

async fn once(env: &Env, request: &Request, limit: Duration) -> Result<Answer, String> {
    let stream = connect(env, &request.host, request.port, limit).await?;
    if !request.secure {
        return exchange(env, request, stream).await;
    }
    let name = ServerName::try_from(request.host.clone()).map_err(|error| error.to_string())?;
    let stream =
        tokio_rustls::TlsConnector::from(tls()?).connect(name, stream).await.map_err(|error| error.to_string())?;
    exchange(env, request, stream).await
}

async fn exchange<S>(env: &Env, request: &Request, stream: S) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let task = env.tasks.spawn("probe connection", async move {
        // How it ended shows in the answer.
        let _ = connection.await;
    });
    let outcome = async {
        let question = question(request)?;
        let response = sender.send_request(question).await.map_err(text)?;
        let status = response.status().as_u16();
        let header = response.headers().get(http::header::LOCATION);
        let location = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // Too long an answer still has a status, which is what counts.
        let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await.map(|body| body.to_bytes());
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        Ok(Answer { status, location, body })
    }
    .await;
    task.abort();
    outcome
}

fn question(request: &Request) -> Result<http::Request<Empty<Bytes>>, String> {
    let mut builder = http::Request::get(&request.path);
    let given = |name: &str| request.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    for (name, value) in [("host", request.authority().as_str()), ("user-agent", "kube-probe/1.37"), ("accept", "*/*")]
    {
        if !given(name) {
            builder = builder.header(name, value);
        }
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    builder.header("connection", "close").body(Empty::new()).map_err(|error| error.to_string())
}

fn tls() -> Result<Arc<rustls::ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let builder = rustls::ClientConfig::builder_with_provider(keys::tls_provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(AnyCertificate);
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

/// A probe asks whether a server answers, not who it is.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        keys::tls_provider().signature_verification_algorithms.supported_schemes()
    }
}
