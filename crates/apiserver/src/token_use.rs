//! Notes on Secrets when the tokens in them were last used, and says since when that is done. The
//! controller that cleans up such tokens (`legacy-service-account-token-cleaner`) goes by both.
//!
//! Requests never wait for it: what they tell is kept, within a bound, until it is written.

use crate::server::Server;
use auth::authn::service_account::LAST_USED;
use base::collections::HashMap;
use client::{Api as _, Error, PatchType, Request, Verb};
use jiff::tz::Offset;
use meta::{GroupVersionResource, Reason};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Upstream's name of the ConfigMap, of kube-system.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const SYSTEM: &str = "kube-system";
const CONFIG_MAPS: GroupVersionResource = GroupVersionResource::of("", "v1", "configmaps");
const SECRETS: GroupVersionResource = GroupVersionResource::of("", "v1", "secrets");
/// How often it is made sure that the ConfigMap is there; sooner while there is no namespace for it.
const PERIOD: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(5);
/// Uses seldom come alone.
const SETTLE: Duration = Duration::from_secs(1);
/// More wait for their token's next use.
const UNWRITTEN_AT_MOST: usize = 10_000;

/// Uses of tokens that are not written yet.
#[derive(Default)]
pub(crate) struct Uses {
    /// The day by namespace and name of the Secret.
    unwritten: Mutex<HashMap<(String, String), String>>,
    told: Notify,
}

impl Uses {
    pub fn note(&self, namespace: &str, secret: &str, day: &str) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        if unwritten.len() < UNWRITTEN_AT_MOST {
            unwritten.insert((namespace.to_owned(), secret.to_owned()), day.to_owned());
            self.told.notify_one();
        }
    }

    fn take(&self) -> HashMap<(String, String), String> {
        std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Server {
    /// Runs for as long as the server does.
    pub(crate) async fn keep_token_uses(self: Arc<Self>) {
        loop {
            let wait = match self.say_since_when().await {
                Ok(()) => PERIOD,
                Err(error) if error.is(Reason::NotFound) => AGAIN,
                Err(error) => {
                    warn!(%error, "cannot say since when uses of tokens are noted; trying again later");
                    PERIOD
                }
            };
            // Time over or something told: both mean to go on.
            let _ = self.env.clock.timeout(wait, self.token_uses.told.notified()).await;
            self.env.clock.sleep(SETTLE).await;
            for ((namespace, secret), day) in self.token_uses.take() {
                self.write_use(&namespace, &secret, &day).await;
            }
        }
    }

    async fn say_since_when(&self) -> Result<(), Error> {
        let Some(own) = self.as_client() else { return Ok(()) };
        let today = Offset::UTC.to_datetime(self.env.clock.now()).date().to_string();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TRACKING},
            "data": {"since": today}});
        let request = Request::new(Verb::Create, CONFIG_MAPS).namespace(SYSTEM).body(map.to_string());
        match own.call(request).await {
            Err(error) if !error.is(Reason::AlreadyExists) => Err(error),
            _ => Ok(()),
        }
    }

    async fn write_use(&self, namespace: &str, secret: &str, day: &str) {
        let Some(own) = self.as_client() else { return };
        let patch = json!({"metadata": {"labels": {LAST_USED: day}}}).to_string();
        let request = Request::new(Verb::Patch(PatchType::Merge), SECRETS).namespace(namespace).name(secret);
        match own.call(request.body(patch)).await {
            Err(error) if !error.is(Reason::NotFound) => {
                warn!(%error, namespace, secret, "cannot note the use of a token");
            }
            _ => {}
        }
    }
}
