//! Who may ask the node: client certificates and tokens, checked through the API server, which also
//! says what they may do. Answers are kept for a while, so that it is not asked for every request.

use super::access::Access;
use crate::agent::Agent;
use client::{Request, Response, Verb};
use meta::{GroupVersionResource, User};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const TOKEN_REVIEWS: GroupVersionResource = GroupVersionResource::of("authentication.k8s.io", "v1", "tokenreviews");
const ACCESS_REVIEWS: GroupVersionResource =
    GroupVersionResource::of("authorization.k8s.io", "v1", "subjectaccessreviews");
/// Upstream's cache times.
const KEEP_TOKEN: Duration = Duration::from_secs(120);
const KEEP_ALLOWED: Duration = Duration::from_secs(300);
const KEEP_DENIED: Duration = Duration::from_secs(30);
const KEEP_MOST: usize = 1024;

/// Owners by the token's hash, so that no token lies about; None: not valid.
type Tokens = BTreeMap<[u8; 32], (Option<User>, Instant)>;

pub(crate) struct Gate {
    agent: Arc<Agent>,
    tokens: Mutex<Tokens>,
    decisions: Mutex<BTreeMap<String, (bool, Instant)>>,
}

/// The subject of a certificate that the handshake has checked: common name and organizations.
pub(super) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<&str> = subject.iter_organization().filter_map(|group| group.as_str().ok()).collect();
    let mut user = User::new(name, &groups);
    user.groups.push("system:authenticated".to_owned());
    Some(user)
}

impl Gate {
    pub fn new(agent: Arc<Agent>) -> Self {
        Gate { agent, tokens: Mutex::default(), decisions: Mutex::default() }
    }

    /// The token's owner; None where it is not valid.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn token(&self, token: &str) -> Result<Option<User>, String> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.agent.env.clock.instant();
        if let Some((user, at)) = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && now.duration_since(*at) < KEEP_TOKEN
        {
            return Ok(user.clone());
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
        });
        let answer = self.review(TOKEN_REVIEWS, review).await?;
        let status = &answer["status"];
        let user =
            if status["authenticated"] == true { serde_json::from_value(status["user"].clone()).ok() } else { None };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= KEEP_MOST {
            tokens.retain(|_, (_, at)| now.duration_since(*at) < KEEP_TOKEN);
        }
        if tokens.len() < KEEP_MOST {
            tokens.insert(key, (user.clone(), now));
        }
        Ok(user)
    }

    /// # Errors
    /// The API server could not be asked.
    pub async fn allows(&self, user: &User, access: &Access) -> Result<bool, String> {
        for subresource in access.subresources {
            if self.decide(user, access, subresource).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn decide(&self, user: &User, access: &Access, subresource: &str) -> Result<bool, String> {
        let key = format!("{}\n{}\n{}\n{subresource}", user.name, user.groups.join(","), access.verb);
        let now = self.agent.env.clock.instant();
        if let Some((allowed, at)) = self.decisions.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            let keep = if *allowed { KEEP_ALLOWED } else { KEEP_DENIED };
            if now.duration_since(*at) < keep {
                return Ok(*allowed);
            }
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "resourceAttributes": {
                    "verb": access.verb, "version": "v1", "resource": "nodes", "subresource": subresource,
                    "name": self.agent.options.node_name,
                },
            },
        });
        let allowed = self.review(ACCESS_REVIEWS, review).await?["status"]["allowed"] == true;
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.len() >= KEEP_MOST {
            decisions.retain(|_, (_, at)| now.duration_since(*at) < KEEP_DENIED);
        }
        if decisions.len() < KEEP_MOST {
            decisions.insert(key, (allowed, now));
        }
        Ok(allowed)
    }

    async fn review(&self, resource: GroupVersionResource, review: Value) -> Result<Value, String> {
        let request = Request::new(Verb::Create, resource).body(review.to_string());
        match self.agent.options.api.call(request).await {
            Ok(Response::Object { body, .. }) => serde_json::from_slice(&body).map_err(|error| error.to_string()),
            Ok(_) => Err("a review was not answered with an object".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
