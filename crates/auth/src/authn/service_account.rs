//! Service account tokens: issued for TokenRequest and for Secrets of the token type, and checked
//! against the account (and pod, node or secret) they are bound to.

use super::{Directory, Found};
use crate::jwt;
use crate::names;
use crate::pki::{self, Key, PublicKey};
use crate::secret;
use base::Timestamp;
use jiff::SignedDuration;
use jiff::tz::Offset;
use meta::User;
use serde_json::{Value, json};
use std::sync::Arc;

/// The issuer of tokens in Secrets.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Labels of Secrets with tokens: the day of the last use, which the API server writes, and the day
/// since which the token is refused, which the cleaner of such tokens writes.
pub const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
pub const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// The kubelet asks for this many seconds where a pod says nothing; such tokens in truth last
/// [`EXTENDED_SECONDS`] and warn after the time asked for, so that old clients do not break.
pub const WARN_ONLY_SECONDS: i64 = 3607;
pub const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// A token outlives the deletion of what it is bound to by this much, so that a pod can say
/// farewell.
const FAREWELL: SignedDuration = SignedDuration::from_secs(60);

/// Signs tokens.
pub struct Issuer {
    pub key: Arc<Key>,
    pub issuer: String,
    /// For requests that name none.
    pub audiences: Vec<String>,
    /// Tokens of pods last longer than they say: see [`WARN_ONLY_SECONDS`].
    pub extends: bool,
}

/// A token to be issued.
#[derive(Debug, Clone, Default)]
pub struct TokenSpec<'a> {
    pub namespace: &'a str,
    pub account: &'a str,
    pub account_uid: &'a str,
    pub audiences: Vec<String>,
    pub expiration_seconds: i64,
    pub pod: Option<Bound<'a>>,
    /// With `pod`: where it runs. Alone: bound to the node.
    pub node: Option<Bound<'a>>,
    pub secret: Option<Bound<'a>>,
    /// The asker may have upstream's extension: see [`WARN_ONLY_SECONDS`].
    pub extend: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<'a> {
    pub name: &'a str,
    pub uid: &'a str,
}

/// A signed token.
#[derive(Debug, Clone)]
pub struct Issued {
    pub token: String,
    /// What `status.expirationTimestamp` says.
    pub expires: Timestamp,
    /// For the audit log.
    pub id: String,
}

impl Issuer {
    /// # Errors
    /// The key refused, or no randomness.
    pub fn issue(&self, spec: &TokenSpec<'_>, now: Timestamp) -> Result<Issued, pki::Error> {
        let id = secret::uuid()?;
        let seconds = now.as_second();
        let own_audience = spec.audiences.iter().all(|asked| self.audiences.contains(asked));
        let extended = self.extends && spec.extend && own_audience && spec.expiration_seconds == WARN_ONLY_SECONDS;
        let lifetime = if extended { EXTENDED_SECONDS } else { spec.expiration_seconds };
        let reference = |bound: &Bound<'_>| json!({"name": bound.name, "uid": bound.uid});
        let mut private = json!({
            "namespace": spec.namespace,
            "serviceaccount": {"name": spec.account, "uid": spec.account_uid},
        });
        for (key, bound) in [("pod", &spec.pod), ("node", &spec.node), ("secret", &spec.secret)] {
            if let Some(bound) = bound {
                private[key] = match bound.uid {
                    "" => json!({"name": bound.name}),
                    _ => reference(bound),
                };
            }
        }
        if extended {
            private["warnafter"] = json!(seconds + WARN_ONLY_SECONDS);
        }
        let claims = json!({
            "aud": if spec.audiences.is_empty() { &self.audiences } else { &spec.audiences },
            "exp": seconds + lifetime,
            "iat": seconds,
            "iss": self.issuer,
            "jti": id,
            "kubernetes.io": private,
            "nbf": seconds,
            "sub": user_name(spec.namespace, spec.account),
        });
        let token = jwt::sign(&self.key, &claims)?;
        Ok(Issued { token, expires: now + SignedDuration::from_secs(spec.expiration_seconds), id })
    }

    /// A token without end, for a Secret of type `kubernetes.io/service-account-token`.
    ///
    /// # Errors
    /// The key refused.
    pub fn issue_legacy(&self, namespace: &str, account: Bound<'_>, secret: &str) -> Result<String, pki::Error> {
        let claims = json!({
            "iss": LEGACY_ISSUER,
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": account.name,
            "kubernetes.io/serviceaccount/service-account.uid": account.uid,
            "sub": user_name(namespace, account.name),
        });
        jwt::sign(&self.key, &claims)
    }
}

pub fn user_name(namespace: &str, account: &str) -> String {
    format!("{}{namespace}:{account}", names::SERVICE_ACCOUNT_PREFIX)
}

/// Namespace and name of the account a user name stands for.
pub fn split_user_name(name: &str) -> Option<(&str, &str)> {
    let (namespace, account) = name.strip_prefix(names::SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !account.is_empty() && !account.contains(':')).then_some((namespace, account))
}

/// The groups every account of `namespace` is in.
pub fn groups(namespace: &str) -> Vec<String> {
    vec![names::SERVICE_ACCOUNTS.to_owned(), format!("{}:{namespace}", names::SERVICE_ACCOUNTS)]
}

/// Checks tokens.
pub struct Verifier {
    pub keys: Vec<PublicKey>,
    /// The first is our own; more while an issuer is being replaced.
    pub issuers: Vec<String>,
    /// Of this API server.
    pub audiences: Vec<String>,
}

/// A token that was found good.
#[derive(Debug, Clone)]
pub struct Verified {
    pub user: User,
    /// Those asked for that the token is meant for.
    pub audiences: Vec<String>,
    pub expires: Option<Timestamp>,
    /// How many seconds ago its holder should have had a new one.
    pub stale: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Token(#[from] jwt::Error),
    #[error("a claim is missing or of the wrong type")]
    Claims,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    NotYet,
    #[error("the token is not meant for any of the audiences asked for")]
    Audience,
    #[error("the {0} the token is bound to is gone")]
    Gone(&'static str),
    #[error("the {0} the token is bound to was replaced by another of its name")]
    Replaced(&'static str),
    #[error("Token does not match server's copy")]
    Copy,
    #[error(
        "the token in {namespace}/{secret} for service account {namespace}/{account} has been marked invalid. Use \
         tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' \
         label from the secret to temporarily allow use of this token"
    )]
    Invalid { namespace: String, secret: String, account: String },
}

impl Verifier {
    /// Whether the token says it is of one of our issuers.
    pub fn is_concerned(&self, token: &str) -> bool {
        let claims = jwt::peek(token).unwrap_or_default();
        let issuer = claims["iss"].as_str().unwrap_or_default();
        issuer == LEGACY_ISSUER || self.issuers.iter().any(|own| own == issuer)
    }

    /// The user of a token that is meant for one of `audiences` (none: this server's).
    ///
    /// # Errors
    /// Why it is not believed; for logs only.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let claims = jwt::verify(&self.keys, token)?;
        let asked = if audiences.is_empty() { &self.audiences } else { audiences };
        let subject = claims["sub"].as_str().ok_or(Refusal::Claims)?;
        if claims["iss"] == LEGACY_ISSUER {
            let user = legacy(&claims, token, directory, now)?;
            // A legacy token is meant for the API server, whatever that calls itself.
            let audiences: Vec<String> = self.audiences.iter().filter(|own| asked.contains(own)).cloned().collect();
            if audiences.is_empty() {
                return Err(Refusal::Audience);
            }
            return named(user, subject, audiences, None);
        }
        let expires = moment(&claims["exp"]).ok_or(Refusal::Claims)?;
        if moment(&claims["nbf"]).is_some_and(|start| now < start) {
            return Err(Refusal::NotYet);
        }
        if expires <= now {
            return Err(Refusal::Expired);
        }
        let meant: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let audiences: Vec<String> = asked.iter().filter(|one| meant.contains(&one.as_str())).cloned().collect();
        if audiences.is_empty() {
            return Err(Refusal::Audience);
        }
        let verified = named(bound(&claims, directory, now)?, subject, audiences, Some(expires))?;
        let warned = claims["kubernetes.io"]["warnafter"].as_i64().filter(|from| *from > 0 && *from < now.as_second());
        Ok(Verified { stale: warned.map(|from| now.as_second() - from), ..verified })
    }
}

/// The subject must be the account the private claims speak of.
fn named(user: User, subject: &str, audiences: Vec<String>, expires: Option<Timestamp>) -> Result<Verified, Refusal> {
    if user.name != subject {
        return Err(Refusal::Claims);
    }
    Ok(Verified { user, audiences, expires, stale: None })
}

fn moment(claim: &Value) -> Option<Timestamp> {
    Timestamp::from_second(claim.as_i64().or_else(|| claim.as_f64().map(|number| number as i64))?).ok()
}

/// Checks a bound token's account and what else it is bound to.
fn bound(claims: &Value, directory: &dyn Directory, now: Timestamp) -> Result<User, Refusal> {
    let private = &claims["kubernetes.io"];
    let namespace = private["namespace"].as_str().ok_or(Refusal::Claims)?;
    let (account, account_uid) = reference(private, "serviceaccount").ok_or(Refusal::Claims)?;
    is_alive("service account", directory.find("serviceaccounts", namespace, account), account_uid, now)?;
    let mut user = account_user(namespace, account, account_uid);
    let mut extra = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
        extra("credential-id", &format!("JTI={id}"));
    }
    if let Some((name, uid)) = reference(private, "secret") {
        let found = directory.secret(namespace, name).map(|found| Found { uid: found.uid, deletion: found.deletion });
        is_alive("secret", found, uid, now)?;
    }
    if let Some((name, uid)) = reference(private, "pod") {
        is_alive("pod", directory.find("pods", namespace, name), uid, now)?;
        extra("pod-name", name);
        extra("pod-uid", uid);
        // The pod vouches for its node: the node's own end does not end the token.
        if let Some((name, uid)) = reference(private, "node") {
            extra("node-name", name);
            extra("node-uid", uid);
        }
    } else if let Some((name, uid)) = reference(private, "node") {
        is_alive("node", directory.find("nodes", "", name), uid, now)?;
        extra("node-name", name);
        extra("node-uid", uid);
    }
    Ok(user)
}

/// Checks a token that lies in a Secret: the Secret must still hold this very token.
fn legacy(claims: &Value, token: &str, directory: &dyn Directory, now: Timestamp) -> Result<User, Refusal> {
    let claim = |name: &str| {
        claims[format!("kubernetes.io/serviceaccount/{name}")]
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or(Refusal::Claims)
    };
    let (namespace, account) = (claim("namespace")?, claim("service-account.name")?);
    let (uid, secret_name) = (claim("service-account.uid")?, claim("secret.name")?);
    let found = directory.secret(namespace, secret_name).ok_or(Refusal::Gone("secret"))?;
    if found.deletion.is_some() {
        return Err(Refusal::Gone("secret"));
    }
    if !found.data.get("token").is_some_and(|copy| secret::same(copy, token.as_bytes())) {
        return Err(Refusal::Copy);
    }
    is_alive("service account", directory.find("serviceaccounts", namespace, account), uid, now)?;
    let label = |name: &str| found.labels.get(name).map(String::as_str).unwrap_or_default();
    if !label(INVALID_SINCE).is_empty() {
        let [namespace, secret, account] = [namespace, secret_name, account].map(str::to_owned);
        return Err(Refusal::Invalid { namespace, secret, account });
    }
    let today = Offset::UTC.to_datetime(now).date().to_string();
    if label(LAST_USED) != today {
        directory.used(namespace, secret_name, &today);
    }
    Ok(account_user(namespace, account, uid))
}

fn account_user(namespace: &str, account: &str, uid: &str) -> User {
    User {
        name: user_name(namespace, account),
        uid: uid.to_owned(),
        groups: groups(namespace),
        extra: Default::default(),
    }
}

fn reference<'c>(private: &'c Value, key: &str) -> Option<(&'c str, &'c str)> {
    let found = private.get(key)?;
    Some((found["name"].as_str()?, found["uid"].as_str().unwrap_or_default()))
}

fn is_alive(what: &'static str, found: Option<Found>, uid: &str, now: Timestamp) -> Result<(), Refusal> {
    let found = found.ok_or(Refusal::Gone(what))?;
    if found.uid != uid {
        return Err(Refusal::Replaced(what));
    }
    match found.deletion {
        Some(deletion) if deletion + FAREWELL <= now => Err(Refusal::Gone(what)),
        _ => Ok(()),
    }
}
