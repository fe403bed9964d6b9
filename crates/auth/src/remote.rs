//! A webhook that a kubeconfig file names, as the token and the authorization webhooks are: one POST
//! of a review, answered in a bounded time, tried again where that may help.
//!
//! What is asked and what an answer means is the caller's business.

use crate::wait::{CannotWait, wait};
use base::{Backoff, Clock, Env};
use bytes::Bytes;
use client::kubeconfig::{ConfigError, Overrides};
use client::{Https, Kubeconfig};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Decisions that may wait for one webhook.
const AT_ONCE: usize = 64;
const ANSWER_LIMIT: usize = 1 << 20;
/// As upstream: the first try and four more.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    #[error("{0}")]
    Options(#[from] client::https::OptionsError),
    #[error(transparent)]
    CannotWait(#[from] CannotWait),
    #[error("too many requests wait for this webhook")]
    Busy,
    #[error("Post {url:?}: context deadline exceeded")]
    TooLate { url: String },
    #[error("Post {url:?}: {why}")]
    Connection { url: String, why: String },
    #[error("the webhook answered with status code {code}: {body}")]
    Refused { code: u16, body: String },
    #[error("cannot read the webhook's answer: {0}")]
    Answer(String),
}

/// A webhook.
pub struct Remote {
    https: Https,
    path: &'static str,
    url: String,
    clock: Clock,
    env: Env,
    limit: Duration,
    turns: Semaphore,
}

impl Remote {
    /// The webhook of a kubeconfig file's current context. Each call may take `limit`.
    ///
    /// # Errors
    /// The file is not usable.
    pub async fn open(file: &Path, limit: Duration, env: &Env) -> Result<Self, Error> {
        let config = Kubeconfig::load(&[file.to_owned()], true)?;
        let target = config.target(&Overrides::default(), env).await?;
        let url = target.https.server.clone();
        // The path of the server's URL is where reviews are posted.
        let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        let https = Https::new(target.https, env)?;
        Ok(Remote {
            https,
            path: if has_path { "" } else { "/" },
            url,
            clock: env.clock.clone(),
            env: env.clone(),
            limit,
            turns: Semaphore::new(AT_ONCE),
        })
    }

    /// Posts a review and answers with what comes back.
    ///
    /// # Errors
    /// No answer, or not one of success.
    pub fn ask(&self, review: &Value) -> Result<Value, Error> {
        let _turn = self.turns.try_acquire().map_err(|_| Error::Busy)?;
        let body = Bytes::from(review.to_string());
        wait(self.ask_often(body))?
    }

    async fn ask_often(&self, body: Bytes) -> Result<Value, Error> {
        let mut backoff = Backoff::new(FIRST_PAUSE, FIRST_PAUSE * 8);
        let mut tries = 1;
        loop {
            let outcome = match self.clock.timeout(self.limit, self.ask_once(body.clone())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::TooLate { url: self.url.clone() }),
            };
            match outcome {
                Err(error) if tries < TRIES && may_pass(&error) => {
                    tries += 1;
                    self.clock.sleep(backoff.next(&self.env.rng)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_once(&self, body: Bytes) -> Result<Value, Error> {
        let broken = |error: client::Error| {
            let why = error.to_string();
            // The client speaks of what it mostly talks to.
            let why = why.trim_start_matches("cannot reach the API server: ").to_owned();
            Error::Connection { url: self.url.clone(), why }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.https.raw(Method::POST, self.path, headers, body).await.map_err(broken)?;
        let status = answer.status();
        let body = answer.into_body().collect(ANSWER_LIMIT).await.map_err(broken)?;
        if !matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED) {
            let body = String::from_utf8_lossy(&body[..body.len().min(512)]).trim().to_owned();
            return Err(Error::Refused { code: status.as_u16(), body });
        }
        serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))
    }
}

/// Whether asking again may help: the server broke or is busy, or the connection was lost.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Refused { code, .. } => matches!(code, 429 | 500),
        Error::Connection { why, .. } => why.contains("reset"),
        _ => false,
    }
}
