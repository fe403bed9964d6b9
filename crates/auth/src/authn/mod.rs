//! Who is asking: client certificates, static tokens, service account tokens, bootstrap tokens, the
//! tokens of other issuers and of a webhook, and nobody in particular where that is enough.
//!
//! Answers a [`User`] or a refusal; never why, to the client. The API server calls
//! [`Authenticator::authenticate`] once per request.

pub mod bootstrap_token;
pub mod certificate;
pub mod configuration;
pub mod impersonation;
pub mod issuer;
mod outside;
pub mod service_account;
pub mod token_file;
pub mod token_webhook;

pub use certificate::ClientCertificate;
pub use outside::Outside;
pub use service_account::{Bound, Issuer, TokenSpec, Verifier};
pub use token_file::TokenFile;

use crate::names;
use base::collections::HashMap;
use base::metrics::Counter;
use base::{Metrics, Timestamp};
use jiff::SignedDuration;
use meta::User;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::debug;

/// As upstream, a token once found good is not looked into again for this long.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_secs(10);
const REMEMBERED_AT_MOST: usize = 10_000;

/// Paths that tell health and nothing else.
const HEALTH_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];
const CLUSTER_INFO_PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// What authentication has to know of stored objects, answered by the API server from memory.
pub trait Directory: Send + Sync {
    /// A service account, pod or node of the core group; `namespace` is empty for nodes.
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Found>;

    fn secret(&self, namespace: &str, name: &str) -> Option<SecretData>;

    /// The Secrets of kube-system that are of the bootstrap token type.
    fn bootstrap_secrets(&self) -> Vec<SecretData>;

    /// Told when the token in this Secret is found good for the first time on a day (as `2006-01-02`).
    fn used(&self, namespace: &str, secret: &str, day: &str);
}

/// An object that a token is bound to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub uid: String,
    pub deletion: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
pub struct SecretData {
    pub uid: String,
    /// The Secret's type.
    pub kind: String,
    pub deletion: Option<Timestamp>,
    pub labels: BTreeMap<String, String>,
    pub data: BTreeMap<String, Vec<u8>>,
}

/// What a request carries.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    pub certificate: Option<&'a ClientCertificate>,
    /// After `Bearer ` in the Authorization header.
    pub bearer: Option<&'a str>,
    /// In lower case, as RBAC names verbs of paths.
    pub method: &'a str,
    pub path: &'a str,
}

/// The credentials are not good, or none came where some are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Unauthorized")]
pub struct Unauthorized;

/// Tokens found good, by their digest.
type Remembered = HashMap<[u8; 32], Known>;

#[derive(Clone)]
struct Known {
    user: Arc<User>,
    /// Until then it need not be looked into again.
    until: Timestamp,
    /// What the audit log shall tell of a token that should have been replaced.
    stale: Option<Arc<str>>,
}

/// What a token was found to be.
struct Good {
    user: User,
    expires: Option<Timestamp>,
    /// As in [`service_account::Verified`].
    stale: Option<i64>,
}

impl From<(User, Option<Timestamp>)> for Good {
    fn from((user, expires): (User, Option<Timestamp>)) -> Self {
        Good { user, expires, stale: None }
    }
}

/// How many tokens of service accounts were looked into.
#[derive(Clone, Default)]
struct Counts {
    valid: Counter,
    stale: Counter,
}

pub struct Authenticator {
    directory: Arc<dyn Directory>,
    token_file: Option<TokenFile>,
    accounts: Option<Verifier>,
    outside: Option<Arc<Outside>>,
    remembered: Mutex<Remembered>,
    counts: Counts,
    any_stale: AtomicBool,
    anonymous: Arc<User>,
}

impl Authenticator {
    pub fn new(directory: Arc<dyn Directory>, token_file: Option<TokenFile>, accounts: Option<Verifier>) -> Self {
        Authenticator {
            directory,
            token_file,
            accounts,
            outside: None,
            remembered: Mutex::default(),
            counts: Counts::default(),
            any_stale: AtomicBool::new(false),
            anonymous: Arc::new(User::new(names::ANONYMOUS, &[names::UNAUTHENTICATED])),
        }
    }

    /// Believes in users whom others know as well.
    #[must_use]
    pub fn with_outside(self, outside: Option<Arc<Outside>>) -> Self {
        Authenticator { outside, ..self }
    }

    /// Shows how many tokens of service accounts were looked into.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        let counts = Counts {
            valid: metrics.register(
                "serviceaccount_valid_tokens",
                "Cumulative valid projected service account tokens used",
                Counter::default(),
            ),
            stale: metrics.register(
                "serviceaccount_stale_tokens",
                "Cumulative stale projected service account tokens used",
                Counter::default(),
            ),
        };
        Authenticator { counts, ..self }
    }

    /// For the audit log: that a token which was just found good should have been replaced.
    pub fn stale_note(&self, token: &str) -> Option<Arc<str>> {
        // Mostly there are none, and requests need not be hashed again.
        let known = self.any_stale.load(Ordering::Relaxed).then(|| self.memory().get(&digest(token)).cloned());
        known.flatten().and_then(|known| known.stale)
    }

    /// The public keys of this cluster's service account tokens, as a JSON web key set has them.
    pub fn web_keys(&self) -> Vec<serde_json::Value> {
        self.accounts.iter().flat_map(|accounts| &accounts.keys).map(crate::pki::PublicKey::jwk).collect()
    }

    /// The user behind `credentials`. A wrong token is refused even where anybody may come.
    ///
    /// # Errors
    /// [`Unauthorized`].
    pub fn authenticate(&self, credentials: &Credentials<'_>, now: Timestamp) -> Result<Arc<User>, Unauthorized> {
        if let Some(user) = credentials.certificate.and_then(|certificate| certificate.user(now)) {
            return Ok(user);
        }
        if let Some(token) = credentials.bearer {
            return self.token(token, now).map_err(|why| {
                debug!(error = why, "unable to authenticate the request");
                Unauthorized
            });
        }
        if credentials.certificate.is_none() && self.open_to_all(credentials, now) {
            return Ok(self.anonymous.clone());
        }
        Err(Unauthorized)
    }

    /// The user behind a bearer token that is meant for this server.
    ///
    /// # Errors
    /// What is wrong with it, for logs and reviews.
    pub fn token(&self, token: &str, now: Timestamp) -> Result<Arc<User>, String> {
        let key = digest(token);
        if let Some(known) = self.memory().get(&key)
            && now < known.until
        {
            return Ok(known.user.clone());
        }
        let Good { user, expires, stale } = self.look_into(token, now)?;
        let user = Arc::new(authenticated(user));
        let stale = stale.map(|seconds| {
            self.any_stale.store(true, Ordering::Relaxed);
            format!("subject: {}, seconds after warning threshold: {seconds}", user.name).into()
        });
        let until = expires.map_or(now + REMEMBERED_FOR, |expires| expires.min(now + REMEMBERED_FOR));
        let mut memory = self.memory();
        if memory.len() >= REMEMBERED_AT_MOST {
            memory.retain(|_, known| now < known.until);
        }
        if memory.len() < REMEMBERED_AT_MOST {
            memory.insert(key, Known { user: user.clone(), until, stale });
        }
        Ok(user)
    }

    /// For TokenReview: the user behind a token and those of `audiences` it is meant for; an empty
    /// list means this server's own.
    ///
    /// # Errors
    /// Why there is no user, in upstream's words.
    pub fn review(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<(User, Vec<String>), String> {
        if let (Some(accounts), false) = (&self.accounts, audiences.is_empty())
            && accounts.is_concerned(token)
        {
            let verified = accounts.verify(token, audiences, &*self.directory, now);
            let verified = verified.map_err(|why| refusal(&[why.to_string()]))?;
            return Ok((authenticated(verified.user), verified.audiences));
        }
        let own = self.accounts.as_ref().map(|accounts| accounts.audiences.clone()).unwrap_or_default();
        let fitting: Vec<String> = match audiences.is_empty() {
            true => own,
            false => own.into_iter().filter(|audience| audiences.contains(audience)).collect(),
        };
        if fitting.is_empty() && !audiences.is_empty() {
            return Err(refusal(&[]));
        }
        self.token(token, now).map(|user| (User::clone(&user), fitting))
    }

    fn look_into(&self, token: &str, now: Timestamp) -> Result<Good, String> {
        if let Some(user) = self.token_file.as_ref().and_then(|file| file.user(token)) {
            return Ok((user.clone(), None).into());
        }
        let mut errors = Vec::new();
        if let Some(accounts) = self.accounts.as_ref().filter(|accounts| accounts.is_concerned(token)) {
            match accounts.verify(token, &[], &*self.directory, now) {
                Ok(verified) => {
                    // A token from a Secret has no end, and is of another sort.
                    if verified.expires.is_some() {
                        let counter = if verified.stale.is_some() { &self.counts.stale } else { &self.counts.valid };
                        counter.inc();
                    }
                    return Ok(Good { user: verified.user, expires: verified.expires, stale: verified.stale });
                }
                Err(why) => errors.push(why.to_string()),
            }
        }
        if let Some(found) = bootstrap_token::user(token, &*self.directory, now) {
            return Ok(found.into());
        }
        match self.outside.as_ref().map(|outside| outside.user(token, now)) {
            Some(Ok(Some(found))) => return Ok(found.into()),
            Some(Err(more)) => errors.extend(more),
            _ => {}
        }
        Err(refusal(&errors))
    }

    /// Health for load balancers; and, as long as nodes can join, what a joining node must know
    /// before it can know anybody.
    fn open_to_all(&self, credentials: &Credentials<'_>, now: Timestamp) -> bool {
        if let Some(admitted) = self.outside.as_ref().and_then(|outside| outside.admits(credentials.path)) {
            return admitted;
        }
        HEALTH_PATHS.contains(&credentials.path)
            || credentials.path == CLUSTER_INFO_PATH
                && credentials.method == "get"
                && self.directory.bootstrap_secrets().iter().any(|secret| bootstrap_token::is_usable(secret, now))
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What upstream says of a token that nobody takes.
fn refusal(errors: &[String]) -> String {
    match errors {
        [] => "invalid bearer token".to_owned(),
        several => format!("[invalid bearer token, {}]", several.join(", ")),
    }
}

/// Tokens are known by their hash only: looking one up tells nothing by its duration, and a map
/// keyed by it cannot be filled on purpose.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref());
    key
}

/// With the group of everybody who is known.
pub(crate) fn authenticated(mut user: User) -> User {
    if !user.in_group(names::AUTHENTICATED) && !user.in_group(names::UNAUTHENTICATED) {
        user.groups.push(names::AUTHENTICATED.to_owned());
    }
    user
}

#[cfg(test)]
mod tests;
