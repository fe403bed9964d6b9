//! Join tokens: a bootstrap token and the pin of the cluster's authority in one word.
//!
//! `<id>.<secret>.<hash>`: the first two parts are an ordinary bootstrap token; the third is the
//! SHA-256 of the authority's public key in hexadecimal, so that a node can tell the true server
//! from an impostor before it sends anything secret.

use auth::authn::bootstrap_token;
use auth::pki;
use base::Timestamp;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The group of joining nodes, as kubeadm has it.
pub const JOIN_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("\"{0}\" is not a token: it has the form abcdef.0123456789abcdef.<64 hexadecimal digits>")]
    Malformed(String),
    #[error(
        "the token does not say which certificate authority to trust: use one printed by `kutter token create`, or \
         give --ca-cert-hash sha256:<hash>"
    )]
    NoHash,
    #[error("\"{0}\" is not a hash: it has the form sha256:<64 hexadecimal digits>")]
    Hash(String),
    #[error(transparent)]
    NoRandomness(#[from] auth::secret::NoRandomness),
    #[error(transparent)]
    Pki(#[from] pki::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// `id.secret`.
    pub bearer: String,
    /// `sha256:<hash>`.
    pub ca_hash: String,
}

impl JoinToken {
    /// A new token for the cluster of this authority.
    ///
    /// # Errors
    /// No randomness, or the certificate cannot be read.
    pub fn create(authority: &str) -> Result<Self, Error> {
        Ok(JoinToken { bearer: bootstrap_token::generate()?, ca_hash: pki::ca_hash(authority)? })
    }

    /// Reads a token; `hash` is the value of `--ca-cert-hash`, for plain bootstrap tokens.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NoHash`], [`Error::Hash`].
    pub fn parse(text: &str, hash: Option<&str>) -> Result<Self, Error> {
        let malformed = || Error::Malformed(text.to_owned());
        let (bearer, own) = match text.rmatch_indices('.').next() {
            Some((at, _)) if is_hash(&text[at + 1..]) => (&text[..at], Some(format!("sha256:{}", &text[at + 1..]))),
            _ => (text, None),
        };
        bootstrap_token::parse(bearer).ok_or_else(malformed)?;
        let given = match hash {
            Some(given) if given.strip_prefix("sha256:").is_some_and(is_hash) => Some(given.to_owned()),
            Some(given) => return Err(Error::Hash(given.to_owned())),
            None => None,
        };
        let ca_hash = given.or(own).ok_or(Error::NoHash)?;
        Ok(JoinToken { bearer: bearer.to_owned(), ca_hash })
    }

    /// The Secret that makes the token known to the API server. None of `ttl` means for ever.
    pub fn secret(&self, ttl: Option<Duration>, description: &str, now: Timestamp) -> Value {
        let (id, secret) = self.bearer.split_once('.').unwrap_or_default();
        let mut data = json!({
            "auth-extra-groups": JOIN_GROUP,
            "description": description,
            "token-id": id,
            "token-secret": secret,
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
        });
        if let Some(end) = ttl.and_then(|ttl| now.checked_add(ttl).ok()) {
            data["expiration"] = json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": format!("{}{id}", bootstrap_token::SECRET_PREFIX), "namespace": "kube-system"},
            "type": bootstrap_token::SECRET_TYPE,
            "stringData": data,
        })
    }

    /// What the other machine's owner types.
    pub fn command(&self, server: &str) -> String {
        format!("kutter agent --server {server} --token {self}")
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.bearer, self.ca_hash.trim_start_matches("sha256:"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_plain_ones_need_a_hash() {
        let hash = "0123456789abcdef".repeat(4);
        let pin = format!("sha256:{hash}");
        let plain = "abcdef.0123456789abcdef";
        let token = JoinToken { bearer: plain.to_owned(), ca_hash: pin.clone() };
        assert_eq!(JoinToken::parse(&token.to_string(), None).unwrap(), token);
        assert_eq!(JoinToken::parse(plain, Some(&pin)).unwrap(), token);
        assert!(matches!(JoinToken::parse(plain, None), Err(Error::NoHash)));
        assert!(matches!(JoinToken::parse(plain, Some("md5:1")), Err(Error::Hash(_))));
        for wrong in
            ["", "abcdef", "abcdef.short", &format!("abcdef.0123456789abcdef.{}", &hash[1..]), &format!("x.{hash}")]
        {
            assert!(matches!(JoinToken::parse(wrong, None), Err(Error::Malformed(_))), "{wrong}");
        }
    }

    #[test]
    fn the_secret_is_one_upstream_understands() {
        let ca = pki::Authority::generate("kubernetes", Timestamp::UNIX_EPOCH).unwrap();
        let token = JoinToken::create(ca.certificate()).unwrap();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let secret = token.secret(Some(Duration::from_secs(3600)), "for box2", now);
        assert_eq!(secret["stringData"]["expiration"], "2026-11-20T13:00:00Z");
        assert_eq!(secret["metadata"]["name"], format!("bootstrap-token-{}", &token.bearer[..6]));
        assert_eq!(secret["stringData"]["token-secret"], token.bearer[7..]);
        assert!(token.secret(None, "", now)["stringData"].get("expiration").is_none());
        assert_eq!(token.command("https://a:6443"), format!("kutter agent --server https://a:6443 --token {token}"));
    }
}
