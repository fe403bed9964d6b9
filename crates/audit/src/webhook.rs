//! The webhook: lists of events, posted to the server that a kubeconfig names, again and again until
//! it takes them or patience ends.

use crate::Sink;
use crate::batch::{self, Backend, Batching, Mode};
use crate::event::Format;
use crate::metrics::Counters;
use base::{Backoff, Env};
use bytes::Bytes;
use client::Https;
use client::api::BoxFuture;
use client::kubeconfig::{Kubeconfig, Overrides};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a batch is sent, all in all.
const TRIES: u32 = 5;
const LIMIT: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: usize = 64 << 10;

#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// A kubeconfig.
    pub config: PathBuf,
    pub initial_backoff: Duration,
    pub batching: Batching,
}

impl WebhookOptions {
    pub fn new(config: PathBuf) -> Self {
        WebhookOptions {
            config,
            initial_backoff: Duration::from_secs(10),
            batching: Batching {
                mode: Mode::Batch,
                buffer: 10_000,
                max_size: 400,
                max_wait: Duration::from_secs(30),
                throttle: Some((10.0, 15)),
            },
        }
    }
}

pub async fn open(env: &Env, options: &WebhookOptions, counters: &Counters) -> Result<Box<dyn Sink>, String> {
    let text = std::fs::read(&options.config).map_err(|error| format!("{}: {error}", options.config.display()))?;
    let config = Kubeconfig::parse(&text, Some(&options.config)).map_err(|error| error.to_string())?;
    let target = config.target(&Overrides::default(), env).await.map_err(|error| error.to_string())?;
    let path =
        target.https.server.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
    let mut https = target.https;
    // Where to post is the server's URL as a whole.
    if let Some(path) = &path {
        https.server.truncate(https.server.len() - path.len());
    }
    let https = Https::new(https, env).map_err(|error| error.to_string())?;
    let path = path.unwrap_or_else(|| "/".to_owned());
    let webhook = Arc::new(Webhook { https, path, env: env.clone(), pause: options.initial_backoff });
    Ok(match options.batching.mode {
        Mode::Batch => batch::start(env, webhook, &options.batching, Format::Json, counters),
        // Still not on the request's own time: one event, one call, in order.
        Mode::Blocking => {
            let batching =
                Batching { max_size: 1, max_wait: Duration::ZERO, throttle: None, ..options.batching.clone() };
            batch::start(env, webhook, &batching, Format::Json, counters)
        }
    })
}

struct Webhook {
    https: Https,
    path: String,
    env: Env,
    pause: Duration,
}

impl Webhook {
    /// True as the error's first part: it may go better another time.
    async fn post(&self, body: Bytes) -> Result<(), (bool, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let call = self.https.raw(Method::POST, &self.path, headers, body);
        let answer = match self.env.clock.timeout(LIMIT, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err((true, error.to_string())),
            Err(_) => return Err((true, "no answer in time".to_owned())),
        };
        let code = answer.status();
        // Read to its end, so that the connection can be used again.
        let _ = answer.into_body().collect(ANSWER_LIMIT).await;
        if code.is_success() {
            return Ok(());
        }
        let may_pass = code.is_server_error() || code == StatusCode::TOO_MANY_REQUESTS;
        Err((may_pass, format!("the server answered {code}")))
    }
}

impl Backend for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn send(&self, events: Vec<Bytes>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let body = list(&events);
            let mut backoff = Backoff::new(self.pause, LONGEST_PAUSE).with_jitter(0.2);
            let shutdown = self.env.tasks.shutdown();
            for attempt in 1.. {
                match self.post(body.clone()).await {
                    Ok(()) => return Ok(()),
                    Err((may_pass, why)) if !may_pass || attempt >= TRIES || shutdown.is_set() => return Err(why),
                    Err(_) => {
                        tokio::select! {
                            () = self.env.clock.sleep(backoff.next(&self.env.rng)) => {}
                            () = shutdown.wait() => {}
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

/// An EventList of lines that are events already.
fn list(events: &[Bytes]) -> Bytes {
    let mut body = b"{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[".to_vec();
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event.trim_ascii_end());
    }
    body.extend_from_slice(b"]}\n");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_the_events_as_they_are() {
        let events = [Bytes::from_static(b"{\"a\":1}\n"), Bytes::from_static(b"{\"b\":2}\n")];
        let value: serde_json::Value = serde_json::from_slice(&list(&events)).unwrap();
        assert_eq!(value["kind"], "EventList");
        assert_eq!(value["items"], serde_json::json!([{"a": 1}, {"b": 2}]));
    }
}
