//! The tokens under which an agent runs the service proxy and DNS: of a service account each, renewed
//! by the account itself.

use super::Error;
use auth::pki;
use base::Timestamp;
use client::{Api, BoxFuture, Request, Response, TokenSource, Verb};
use jiff::SignedDuration;
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Long, so that a node may be away for long.
const LIFETIME_SECONDS: i64 = 365 * 24 * 3600;
/// A token is renewed once less than this part of its life is left.
const RENEWED_AT: i64 = 3;

/// A token kept in a file. Clones share it.
#[derive(Clone)]
pub struct NodeToken {
    account: &'static str,
    path: PathBuf,
    held: Arc<RwLock<Held>>,
}

#[derive(Default, Clone)]
struct Held {
    token: String,
    expires: Option<Timestamp>,
}

impl NodeToken {
    /// The token of an earlier join; empty where there is none.
    pub(super) fn load(dir: &Path, account: &'static str) -> Self {
        let path = dir.join(format!("{account}.token"));
        let text = pki::read(&path).ok().flatten().unwrap_or_default();
        let held = text
            .split_once('\n')
            .map(|(token, expires)| Held { token: token.to_owned(), expires: expires.trim().parse().ok() });
        NodeToken { account, path, held: Arc::new(RwLock::new(held.unwrap_or_default())) }
    }

    pub fn current(&self) -> String {
        self.held().token
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn needs_renewal(&self, now: Timestamp) -> bool {
        let left = self.held().expires.map(|end| end.duration_since(now).as_secs());
        left.is_none_or(|left| left < LIFETIME_SECONDS / RENEWED_AT)
    }

    /// Gets a new token, under whatever identity `api` has.
    pub(super) async fn request(&self, api: &dyn Api, now: Timestamp) -> Result<(), Error> {
        let wish = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFETIME_SECONDS},
        });
        let request = Request::new(Verb::Create, GroupVersionResource::of("", "v1", "serviceaccounts"))
            .namespace("kube-system")
            .name(self.account)
            .subresource("token")
            .body(wish.to_string());
        let failed = |source| Error::Call { what: "get a service account token", source };
        let Response::Object { body, .. } = api.call(request).await.map_err(failed)? else {
            return Err(Error::Answer("a token request is no object".to_owned()));
        };
        let answer: Value = serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))?;
        let token = answer["status"]["token"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Err(Error::Answer("a token request without a token".to_owned()));
        }
        let told = answer["status"]["expirationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let expires = told.unwrap_or(now + SignedDuration::from_secs(LIFETIME_SECONDS));
        pki::write_private(&self.path, format!("{token}\n{expires}\n").as_bytes())?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { token, expires: Some(expires) };
        Ok(())
    }
}

impl TokenSource for NodeToken {
    fn token<'a>(&'a self, _refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async { Ok(self.current()) })
    }
}
