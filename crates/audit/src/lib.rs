//! Audit: who did what, in upstream's words. A policy says how much of which request is recorded;
//! records go to a log file, a webhook, or both.
//!
//! The API server asks [`Audit::begin`] for a [`Record`] once it knows who asks, adds what it learns,
//! and completes it. Nothing here decides whether a request may happen.

mod batch;
mod event;
mod log;
mod metrics;
mod policy;
mod record;
mod webhook;

pub use batch::{Batching, Mode};
pub use event::Format;
pub use log::LogOptions;
pub use policy::{Level, Policy, PolicyError, STANDARD_POLICY, Stage};
pub use record::{Asked, Record};
pub use webhook::WebhookOptions;

use base::Env;
use bytes::Bytes;
use std::sync::Arc;

/// Where finished events go. Never waits for long: what cannot be taken is dropped and counted.
pub(crate) trait Sink: Send + Sync {
    fn take(&self, event: &event::Event<'_>);
}

/// A policy and where its records go.
pub struct Audit {
    pub(crate) env: Env,
    pub(crate) policy: Policy,
    pub(crate) sinks: Vec<Box<dyn Sink>>,
    pub(crate) metrics: metrics::Counters,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("unable to open audit log file {path:?}: {error}")]
    Log { path: String, error: std::io::Error },
    #[error("--audit-webhook-config-file: {0}")]
    Webhook(String),
}

impl Audit {
    /// Opens the log and finds out where the webhook is.
    ///
    /// # Errors
    /// Either cannot be used.
    pub async fn open(
        env: &Env,
        policy: Policy,
        log: Option<&LogOptions>,
        webhook: Option<&WebhookOptions>,
    ) -> Result<Arc<Self>, OpenError> {
        let metrics = metrics::Counters::new(&env.metrics);
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(options) = log {
            sinks.push(log::open(env, options, &metrics)?);
        }
        if let Some(options) = webhook {
            sinks.push(webhook::open(env, options, &metrics).await.map_err(OpenError::Webhook)?);
        }
        Ok(Arc::new(Audit { env: env.clone(), policy, sinks, metrics }))
    }

    pub(crate) fn send(&self, event: &event::Event<'_>) {
        self.metrics.events.inc();
        for sink in &self.sinks {
            sink.take(event);
        }
    }
}

/// A line of JSON, or one of the old format.
pub(crate) fn line(event: &event::Event<'_>, format: Format) -> Option<Bytes> {
    let mut line = match format {
        Format::Json => serde_json::to_vec(event).ok()?,
        Format::Legacy => event.legacy().into_bytes(),
    };
    line.push(b'\n');
    Some(line.into())
}
