//! Talks to one repository at one endpoint as one user: answers challenges, reads refusals.

use super::auth::{self, Challenge};
use super::http::{Http, Request};
use super::{Endpoint, RegistryError};
use crate::reference::Reference;
use crate::service::RegistryAuth;
use base::{Backoff, Env};
use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const ATTEMPTS: u32 = 4;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5)).with_jitter(0.5);
const MAX_REFUSAL: u64 = 64 << 10;

pub(super) struct Session<'a> {
    pub http: &'a Http,
    pub env: &'a Env,
    pub endpoint: &'a Endpoint,
    pub auth: Option<&'a RegistryAuth>,
    pub name: &'a Reference,
    /// The last answer to a challenge.
    pub authorization: Mutex<Option<HeaderValue>>,
}

/// A registry's refusal.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<RefusalReason>,
}

#[derive(Deserialize)]
struct RefusalReason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Session<'_> {
    /// Asks for `path` below the repository and gives the answer when it is a good one. Trouble
    /// that passes is waited out.
    pub async fn ask(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut backoff = BACKOFF;
        loop {
            match self.ask_once(method, path, headers).await {
                Err(error) if error.is_passing() && self.wait(&mut backoff).await => {}
                done => return done,
            }
        }
    }

    /// Waits before another try; false when there were enough.
    pub async fn wait(&self, backoff: &mut Backoff) -> bool {
        let delay = backoff.next(&self.env.rng);
        if backoff.failures() >= ATTEMPTS {
            return false;
        }
        self.env.clock.sleep(delay).await;
        true
    }

    pub fn backoff(&self) -> Backoff {
        BACKOFF
    }

    async fn ask_once(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, RegistryError> {
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = Request {
            method: method.clone(),
            url: self.url(path)?,
            headers: headers.clone(),
            authorization: known,
            body: Bytes::new(),
        };
        let mut answer = self.http.send(request.clone()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let Some(challenge) = Challenge::choose(answer.headers()) else {
                return Err(self.refused(&request, answer).await);
            };
            let scope = format!("repository:{}:pull", self.name.repository);
            let header = auth::answer(self.http, &challenge, self.auth, &scope, self.endpoint.plain).await?;
            *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(header.clone());
            request.authorization = Some(header);
            answer = self.http.send(request.clone()).await?;
        }
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(&request, answer).await) }
    }

    fn url(&self, path: &str) -> Result<Uri, RegistryError> {
        // A mirror of several registries is told which one is meant.
        let query = if self.endpoint.mirror { format!("?ns={}", self.name.registry) } else { String::new() };
        let url = format!("{}/v2/{}/{path}{query}", self.endpoint.base, self.name.repository);
        url.parse().map_err(|_| RegistryError::Address(url))
    }

    async fn refused(&self, request: &Request, answer: Response<Incoming>) -> RegistryError {
        let (method, url, status) = (words(&request.method), request.url.to_string(), answer.status());
        let challenge = Challenge::choose(answer.headers());
        let body = self.http.read(answer.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        let reason = challenge.as_ref().map_or("", |challenge| challenge.parameter("error"));
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if reason.is_empty() => {
                RegistryError::Denied(format!("unexpected status from {method} request to {url}: {status}"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Denied(format!("server message: {reason}: authorization failed"))
            }
            _ => {
                let reason = refusal.errors.first();
                let message = reason.map(|reason| format!(": {}: {}", reason.code, reason.message)).unwrap_or_default();
                RegistryError::Status { method, url, status, message }
            }
        }
    }
}

/// `Accept` for these media types.
pub(super) fn accept(media_types: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&media_types.join(", ")) {
        headers.insert(ACCEPT, value);
    }
    headers
}

fn words(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
}
