//! Tokens of pods: asked for once, kept in memory, renewed when 80% of their life is over or after
//! a day.

use crate::VolumeError;
use crate::sources::TokenRequest;
use base::{Env, Timestamp};
use client::{Api, Request, Response, Verb};
use k8s_openapi::api::authentication::v1::TokenRequest as TokenObject;
use meta::GroupVersionResource;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct Tokens {
    api: Arc<dyn Api>,
    env: Env,
    kept: Mutex<BTreeMap<TokenRequest, Token>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Timestamp,
    expires: Timestamp,
}

const DAY: i64 = 24 * 3600;
/// Renewals are spread by up to this many seconds.
const SPREAD: u64 = 10;

impl Tokens {
    pub fn new(api: Arc<dyn Api>, env: &Env) -> Self {
        Tokens { api, env: env.clone(), kept: Mutex::default() }
    }

    pub async fn get(&self, request: &TokenRequest) -> Result<String, VolumeError> {
        let now = self.env.clock.now();
        let kept = self.lock().get(request).cloned();
        if let Some(token) = &kept
            && now < token.renew_at
        {
            return Ok(token.text.clone());
        }
        match (self.ask(request, now).await, kept) {
            (Ok(token), _) => {
                let text = token.text.clone();
                let mut tokens = self.lock();
                // Tokens of pods long gone expire by themselves; here too.
                tokens.retain(|_, token| token.expires > now);
                tokens.insert(request.clone(), token);
                Ok(text)
            }
            // The old one is good for a while yet.
            (Err(_), Some(token)) if now < token.expires => Ok(token.text),
            (Err(error), _) => Err(error),
        }
    }

    async fn ask(&self, request: &TokenRequest, now: Timestamp) -> Result<Token, VolumeError> {
        let audiences: Vec<&str> =
            Some(request.audience.as_str()).filter(|text| !text.is_empty()).into_iter().collect();
        let body = serde_json::json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": request.expiration_seconds,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Pod", "name": request.pod_name, "uid": request.pod_uid,
                },
            },
        });
        let call = Request::new(Verb::Create, GroupVersionResource::of("", "v1", "serviceaccounts"))
            .namespace(&request.namespace)
            .name(&request.service_account)
            .subresource("token")
            .body(body.to_string());
        let failed = |why: String| VolumeError::Token(why);
        let body = match self.api.call(call).await {
            Ok(Response::Object { body, .. }) => body,
            Ok(_) => return Err(failed("no token in the answer".to_owned())),
            Err(error) => return Err(failed(error.to_string())),
        };
        let object: TokenObject = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        let status = object.status.unwrap_or_default();
        let (Some(text), Some(expires)) = (status.token, status.expiration_timestamp.map(|time| time.0)) else {
            return Err(failed("no token in the answer".to_owned()));
        };
        let life = expires.as_second() - now.as_second();
        let spread = i64::try_from(self.env.rng.u64(0..=SPREAD)).unwrap_or(0);
        let renew_in = (life * 4 / 5).min(DAY) - spread;
        let renew_at = Timestamp::from_second(now.as_second() + renew_in.max(1)).unwrap_or(expires);
        Ok(Token { text, renew_at, expires })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TokenRequest, Token>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
