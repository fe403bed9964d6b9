//! Tokens of other issuers (OpenID Connect): their keys are fetched, kept and fetched again when a
//! token names one that is not known; their claims become users by the configuration's mapping.

pub mod keys;
pub mod mapping;

use super::configuration::IssuerOptions;
use crate::jwt;
use crate::wait::wait;
use base::{Backoff, Clock, Env, Timestamp};
use bytes::Bytes;
use client::{Https, HttpsOptions, Roots};
use http::{HeaderMap, Method, StatusCode};
use jiff::SignedDuration;
use keys::WebKey;
use meta::User;
use serde_json::Value;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tracing::{debug, warn};

/// Discovery documents and key sets are small.
const ANSWER_LIMIT: usize = 1 << 20;
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// A flood of tokens with made-up keys asks the issuer no oftener than this.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Keys that an issuer has taken away are believed no longer than this.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Known {
    keys: Arc<Vec<WebKey>>,
    /// Where the keys are, once discovery has told.
    location: Option<String>,
    asked: Option<Timestamp>,
}

/// One issuer.
pub struct TokenIssuer {
    options: IssuerOptions,
    env: Env,
    clock: Clock,
    known: RwLock<Known>,
    /// One fetch at a time; the others wait for what it brings.
    fetching: tokio::sync::Mutex<()>,
}

impl TokenIssuer {
    pub fn new(options: IssuerOptions, env: &Env) -> Arc<Self> {
        Arc::new(TokenIssuer {
            options,
            env: env.clone(),
            clock: env.clock.clone(),
            known: RwLock::default(),
            fetching: tokio::sync::Mutex::new(()),
        })
    }

    pub fn url(&self) -> &str {
        &self.options.url
    }

    pub fn audiences(&self) -> &[String] {
        &self.options.audiences
    }

    /// Keeps the keys fresh for as long as the issuer is believed.
    pub async fn keep_keys(self: Arc<Self>) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE).with_jitter(0.2);
        loop {
            let pause = match self.fetch().await {
                Ok(()) => {
                    backoff.reset();
                    KEPT_FOR
                }
                Err(error) => {
                    warn!(issuer = self.options.url, error, "oidc authenticator: initializing plugin");
                    backoff.next(&self.env.rng)
                }
            };
            self.clock.sleep(pause).await;
        }
    }

    /// The user a token stands for and when it ends.
    ///
    /// # Errors
    /// Why it is not believed; for logs and reviews.
    pub fn user(&self, token: &str, now: Timestamp) -> Result<(User, Timestamp), String> {
        let claims = self.verified(token).map_err(|why| format!("oidc: verify token: {why}"))?;
        let moment = |name: &str| {
            let number = claims[name].as_f64()?;
            Timestamp::from_second(number as i64).ok()
        };
        let ends = moment("exp").ok_or("oidc: verify token: oidc: token has no expiry")?;
        if ends <= now {
            return Err(format!("oidc: verify token: oidc: token is expired (Token Expiry: {ends})"));
        }
        if moment("nbf").is_some_and(|starts| now + LEEWAY < starts) {
            return Err("oidc: verify token: oidc: current time is before the nbf (not before) time".to_owned());
        }
        let meant: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !meant.iter().any(|one| self.options.audiences.iter().any(|own| own == one)) {
            let (wanted, found) = (self.options.audiences.join(" "), meant.join(" "));
            return Err(format!("oidc: verify token: oidc: expected audience in [{wanted}] got [{found}]"));
        }
        let mut user = self.options.mapping.user(&claims)?;
        if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
            user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={id}")]);
        }
        Ok((user, ends))
    }

    fn verified(&self, token: &str) -> Result<Value, String> {
        let (header, signed, signature, claims) = jwt::taken_apart(token).map_err(|error| error.to_string())?;
        let text = |name: &str| header[name].as_str().unwrap_or_default();
        let (algorithm, id) = (text("alg"), text("kid"));
        let is_known = keys::ALGORITHMS.contains(&algorithm);
        let is_wanted =
            self.options.algorithms.is_empty() || self.options.algorithms.iter().any(|one| one == algorithm);
        if !is_known || !is_wanted {
            return Err(format!("oidc: id token signed with unsupported algorithm {algorithm:?}"));
        }
        let check = |keys: &[WebKey]| {
            keys.iter().any(|key| key.fits(id, algorithm) && key.verifies(algorithm, signed.as_bytes(), &signature))
        };
        if check(&self.keys()) {
            return Ok(claims);
        }
        // The issuer may have new keys.
        if self.may_ask() {
            match wait(self.fetch()) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return Err(format!("fetching keys {why}")),
                Err(why) => return Err(why.to_string()),
            }
        }
        if check(&self.keys()) {
            Ok(claims)
        } else {
            Err("failed to verify signature: failed to verify id token signature".to_owned())
        }
    }

    fn keys(&self) -> Arc<Vec<WebKey>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    fn may_ask(&self) -> bool {
        let now = self.clock.now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let may = known.asked.is_none_or(|asked| asked + AGAIN_AFTER <= now);
        if may {
            known.asked = Some(now);
        }
        may
    }

    /// Asks the issuer for its keys.
    async fn fetch(&self) -> Result<(), String> {
        let _one = self.fetching.lock().await;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).location.clone();
        let location = match known {
            Some(location) => location,
            None => self.discover().await?,
        };
        let set = self.get(&location).await?;
        let keys = Arc::new(keys::read(&set));
        debug!(issuer = self.options.url, keys = keys.len(), "fetched an issuer's keys");
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.keys = keys;
        known.location = Some(location);
        Ok(())
    }

    async fn discover(&self) -> Result<String, String> {
        let usual = || format!("{}/.well-known/openid-configuration", self.options.url.trim_end_matches('/'));
        let document = self.get(&self.options.discovery_url.clone().unwrap_or_else(usual)).await?;
        let issuer = document["issuer"].as_str().unwrap_or_default();
        if issuer != self.options.url {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {issuer:?}",
                self.options.url
            ));
        }
        document["jwks_uri"].as_str().map(str::to_owned).ok_or_else(|| "oidc: the provider has no jwks_uri".to_owned())
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        if uri.scheme_str() != Some("https") {
            return Err(format!("{url}: the scheme must be https"));
        }
        let authority = uri.authority().ok_or_else(|| format!("{url}: it names no host"))?;
        let roots = match self.options.authorities.is_empty() {
            true => Roots::System,
            false => Roots::Pem(self.options.authorities.clone()),
        };
        let https = Https::new(HttpsOptions::new(format!("https://{authority}"), roots), &self.env);
        let https = https.map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let fetched = self.clock.timeout(FETCH_WITHIN, async {
            let answer = https.raw(Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
            let status = answer.status();
            Ok::<_, client::Error>((status, answer.into_body().collect(ANSWER_LIMIT).await?))
        });
        let (status, body) = fetched
            .await
            .map_err(|_| format!("Get {url:?}: context deadline exceeded"))?
            .map_err(|error| error.to_string().replace("cannot reach the API server: ", ""))
            .map_err(|error| format!("Get {url:?}: {error}"))?;
        if status != StatusCode::OK {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(256)])));
        }
        serde_json::from_slice(&body)
            .map_err(|error| format!("oidc: failed to decode provider discovery object: {error}"))
    }
}

/// How much the issuer's clock may be ahead, as upstream allows.
const LEEWAY: SignedDuration = SignedDuration::from_secs(5 * 60);

#[cfg(test)]
mod tests;
