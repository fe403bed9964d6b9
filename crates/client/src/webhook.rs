//! Calls to webhooks: one POST of JSON to somebody else's HTTPS server, answered in a bounded time.
//!
//! Connections are kept and shared by destination. Destinations, calls under way and answers are
//! bounded, and a call's time limit counts its wait for a turn: a slow server holds up nobody but
//! those who call it. What is sent and what an answer means is the caller's business.

use crate::https::{Https, HttpsOptions, Roots};
use base::Env;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Servers whose connections are kept.
const DESTINATIONS: usize = 64;
/// Calls under way to one server.
const AT_ONCE: usize = 128;
const ANSWER_LIMIT: usize = 16 << 20;

/// Where to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// As the caller knows it: `https://name.namespace.svc:443/path`, with any query.
    pub url: String,
    /// Where that is, if the URL's own host is not to be asked: an address and a port.
    pub at: Option<(String, u16)>,
    /// Authorities to believe, in PEM; empty: this machine's.
    pub authorities: Vec<u8>,
}

/// Why there is no answer, as Go's HTTP client would say it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    Destination(String),
    #[error("Post {url:?}: context deadline exceeded")]
    TooLate { url: String },
    #[error("Post {url:?}: {why}")]
    Connection { url: String, why: String },
    #[error("{}", refused(*code, body))]
    Refused { code: u16, body: String },
}

fn refused(code: u16, body: &str) -> String {
    match code {
        404 => "the server could not find the requested resource".to_owned(),
        500.. => format!("an error on the server ({body:?}) has prevented the request from succeeding"),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}

struct Pool {
    key: Destination,
    https: Https,
    turns: Semaphore,
}

/// Calls webhooks, keeping connections between calls.
pub struct Caller {
    env: Env,
    user_agent: String,
    pools: Mutex<VecDeque<Arc<Pool>>>,
}

impl Caller {
    pub fn new(env: &Env, user_agent: &str) -> Self {
        Caller { env: env.clone(), user_agent: user_agent.to_owned(), pools: Mutex::default() }
    }

    /// Posts `body` and returns the answer's.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn post(&self, to: &Destination, body: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        let call = self.post_unbounded(to, body);
        match self.env.clock.timeout(limit, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::TooLate { url: to.url.clone() }),
        }
    }

    async fn post_unbounded(&self, to: &Destination, body: Bytes) -> Result<Bytes, CallError> {
        let target = Target::read(to)?;
        let pool = self.pool(to, &target)?;
        let broken = |why: String| CallError::Connection { url: to.url.clone(), why: in_go(&why, &target, to) };
        let _turn = pool.turns.acquire().await.map_err(|error| broken(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if to.at.is_some()
            && let Ok(host) = HeaderValue::from_str(&target.authority)
        {
            headers.insert(HOST, host);
        }
        let answer = pool.https.raw(Method::POST, &target.path, headers, body).await;
        let answer = answer.map_err(|error| broken(error.to_string()))?;
        let status = answer.status();
        let body = answer.into_body().collect(ANSWER_LIMIT).await.map_err(|error| broken(error.to_string()))?;
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED => Ok(body),
            code => {
                let body = String::from_utf8_lossy(&body[..body.len().min(2048)]).trim().to_owned();
                Err(CallError::Refused { code: code.as_u16(), body })
            }
        }
    }

    /// The connections to a destination; of too many, the one that was made longest ago goes.
    fn pool(&self, to: &Destination, target: &Target) -> Result<Arc<Pool>, CallError> {
        let key = Destination { url: target.origin.clone(), ..to.clone() };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = pools.iter().find(|pool| pool.key == key) {
            return Ok(found.clone());
        }
        let roots = if to.authorities.is_empty() { Roots::System } else { Roots::Pem(to.authorities.clone()) };
        let server = match &to.at {
            Some((host, port)) if host.contains(':') => format!("https://[{host}]:{port}"),
            Some((host, port)) => format!("https://{host}:{port}"),
            None => target.origin.clone(),
        };
        let mut options = HttpsOptions::new(server, roots);
        options.server_name = Some(target.host.clone());
        options.user_agent = self.user_agent.clone();
        let https = Https::new(options, &self.env).map_err(|error| CallError::Destination(error.to_string()))?;
        let pool = Arc::new(Pool { key, https, turns: Semaphore::new(AT_ONCE) });
        if pools.len() == DESTINATIONS {
            pools.pop_front();
        }
        pools.push_back(pool.clone());
        Ok(pool)
    }
}

/// A destination's URL, taken apart.
struct Target {
    /// `https://host:port`
    origin: String,
    authority: String,
    host: String,
    port: u16,
    /// With the query.
    path: String,
}

impl Target {
    fn read(to: &Destination) -> Result<Self, CallError> {
        let bad = |why: &str| CallError::Destination(format!("invalid webhook URL {:?}: {why}", to.url));
        let uri: http::Uri = to.url.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
        if uri.scheme_str() != Some("https") {
            return Err(bad("the scheme must be https"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Target {
            origin: format!("https://{authority}"),
            authority: authority.to_string(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(443),
            path,
        })
    }
}

/// The common failures in the words clients of upstream know.
fn in_go(why: &str, target: &Target, to: &Destination) -> String {
    let (host, port) = to.at.clone().unwrap_or_else(|| (target.host.clone(), target.port));
    let low = why.to_lowercase();
    if low.contains("connection refused") {
        format!("dial tcp {host}:{port}: connect: connection refused")
    } else if low.contains("no route to host") {
        format!("dial tcp {host}:{port}: connect: no route to host")
    } else if low.contains("lookup address") || low.contains("name or service not known") {
        format!("dial tcp: lookup {host}: no such host")
    } else if ["unknownissuer", "badsignature", "causedasendentity"].iter().any(|word| low.contains(*word)) {
        "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
    } else if low.contains("notvalidforname") {
        format!("tls: failed to verify certificate: x509: certificate is not valid for {}", target.host)
    } else if low.contains("expired") {
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
    } else if low.contains("timed out") {
        "context deadline exceeded".to_owned()
    } else {
        why.trim_start_matches("cannot reach the API server: ").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str) -> Destination {
        Destination { url: url.to_owned(), at: None, authorities: Vec::new() }
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::read(&to("https://hook.ns.svc:8443/deny?timeout=1s")).ok().unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.path.as_str()),
            ("hook.ns.svc", 8443, "/deny?timeout=1s")
        );
        let target = Target::read(&to("https://[::1]")).ok().unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("::1", 443, "/"));
        for bad in ["http://hook", "/hook", "https://"] {
            assert!(Target::read(&to(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_listening_and_nobody_answering_are_told_as_go_does() {
        let caller = Caller::new(&Env::real(), "test");
        // The discard port of this machine: nobody listens there.
        let gone = to("https://127.0.0.1:9/x");
        let error = caller.post(&gone, Bytes::new(), Duration::from_secs(5)).await.unwrap_err().to_string();
        assert_eq!(error, "Post \"https://127.0.0.1:9/x\": dial tcp 127.0.0.1:9: connect: connection refused");
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent_url = format!("https://127.0.0.1:{}/x?timeout=1s", silent.local_addr().unwrap().port());
        let error = caller.post(&to(&silent_url), Bytes::new(), Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Post {silent_url:?}: context deadline exceeded"));
    }

    #[test]
    fn destinations_are_bounded() {
        let caller = Caller::new(&Env::real(), "test");
        for number in 0..DESTINATIONS + 5 {
            let to = to(&format!("https://h{number}.example/"));
            let target = Target::read(&to).ok().unwrap();
            caller.pool(&to, &target).ok().unwrap();
        }
        assert_eq!(caller.pools.lock().unwrap().len(), DESTINATIONS);
    }
}
