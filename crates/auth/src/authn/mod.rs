//! Who is asking: client certificates, static tokens, service account tokens, bootstrap tokens, and
//! nobody in particular where that is enough.
//!
//! Answers a [`User`] or a refusal; never why, to the client. The API server calls
//! [`Authenticator::authenticate`] once per request.

pub mod bootstrap_token;
pub mod certificate;
pub mod impersonation;
pub mod service_account;
pub mod token_file;

pub use certificate::ClientCertificate;
pub use service_account::{Bound, Issuer, TokenSpec, Verifier};
pub use token_file::TokenFile;

use crate::names;
use base::Timestamp;
use base::collections::HashMap;
use jiff::SignedDuration;
use meta::User;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Tokens found good, by their digest, with the time until which they need not be looked into again.
type Remembered = HashMap<[u8; 32], (Arc<User>, Timestamp)>;

pub struct Authenticator {
    directory: Arc<dyn Directory>,
    token_file: Option<TokenFile>,
    accounts: Option<Verifier>,
    remembered: Mutex<Remembered>,
    anonymous: Arc<User>,
}

impl Authenticator {
    pub fn new(directory: Arc<dyn Directory>, token_file: Option<TokenFile>, accounts: Option<Verifier>) -> Self {
        Authenticator {
            directory,
            token_file,
            accounts,
            remembered: Mutex::default(),
            anonymous: Arc::new(User::new(names::ANONYMOUS, &[names::UNAUTHENTICATED])),
        }
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
            return self.token(token, now).ok_or(Unauthorized);
        }
        if credentials.certificate.is_none() && self.open_to_all(credentials, now) {
            return Ok(self.anonymous.clone());
        }
        Err(Unauthorized)
    }

    /// The user behind a bearer token that is meant for this server.
    pub fn token(&self, token: &str, now: Timestamp) -> Option<Arc<User>> {
        let key = digest(token);
        if let Some((user, until)) = self.memory().get(&key)
            && now < *until
        {
            return Some(user.clone());
        }
        let (user, expires) = self.look_into(token, now)?;
        let user = Arc::new(authenticated(user));
        let until = expires.map_or(now + REMEMBERED_FOR, |expires| expires.min(now + REMEMBERED_FOR));
        let mut memory = self.memory();
        if memory.len() >= REMEMBERED_AT_MOST {
            memory.retain(|_, (_, until)| now < *until);
        }
        if memory.len() < REMEMBERED_AT_MOST {
            memory.insert(key, (user.clone(), until));
        }
        Some(user)
    }

    /// For TokenReview: the user behind a token and those of `audiences` it is meant for; an empty
    /// list means this server's own.
    pub fn review(&self, token: &str, audiences: &[String], now: Timestamp) -> Option<(User, Vec<String>)> {
        if let (Some(accounts), false) = (&self.accounts, audiences.is_empty())
            && accounts.is_concerned(token)
        {
            let verified = accounts.verify(token, audiences, &*self.directory, now).ok()?;
            return Some((authenticated(verified.user), verified.audiences));
        }
        let own = self.accounts.as_ref().map(|accounts| accounts.audiences.clone()).unwrap_or_default();
        let fitting: Vec<String> = match audiences.is_empty() {
            true => own,
            false => own.into_iter().filter(|audience| audiences.contains(audience)).collect(),
        };
        if fitting.is_empty() && !audiences.is_empty() {
            return None;
        }
        self.token(token, now).map(|user| (User::clone(&user), fitting))
    }

    fn look_into(&self, token: &str, now: Timestamp) -> Option<(User, Option<Timestamp>)> {
        if let Some(user) = self.token_file.as_ref().and_then(|file| file.user(token)) {
            return Some((user.clone(), None));
        }
        if let Some(accounts) = self.accounts.as_ref().filter(|accounts| accounts.is_concerned(token)) {
            let verified = accounts.verify(token, &[], &*self.directory, now).ok()?;
            return Some((verified.user, verified.expires));
        }
        bootstrap_token::user(token, &*self.directory, now)
    }

    /// Health for load balancers; and, as long as nodes can join, what a joining node must know
    /// before it can know anybody.
    fn open_to_all(&self, credentials: &Credentials<'_>, now: Timestamp) -> bool {
        HEALTH_PATHS.contains(&credentials.path)
            || credentials.path == CLUSTER_INFO_PATH
                && credentials.method == "get"
                && self.directory.bootstrap_secrets().iter().any(|secret| bootstrap_token::is_usable(secret, now))
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
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
