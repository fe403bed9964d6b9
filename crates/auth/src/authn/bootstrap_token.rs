//! Bootstrap tokens: `id.secret`, kept in Secrets of kube-system, with which nodes join.

use super::{Directory, SecretData};
use crate::{names, secret};
use base::Timestamp;
use meta::User;

pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
pub const SECRET_PREFIX: &str = "bootstrap-token-";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// A token taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub id: &'a str,
    pub secret: &'a str,
}

/// None for what does not look like one.
pub fn parse(token: &str) -> Option<Token<'_>> {
    let (id, secret) = token.split_once('.')?;
    let well_formed = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    (well_formed(id, ID_LENGTH) && well_formed(secret, SECRET_LENGTH)).then_some(Token { id, secret })
}

/// A new token, `id.secret`.
///
/// # Errors
/// No randomness.
pub fn generate() -> Result<String, secret::NoRandomness> {
    Ok(format!("{}.{}", secret::random_token(ID_LENGTH)?, secret::random_token(SECRET_LENGTH)?))
}

/// The user behind `token` and when it ends.
pub(super) fn user(token: &str, directory: &dyn Directory, now: Timestamp) -> Option<(User, Option<Timestamp>)> {
    let token = parse(token)?;
    let found = directory.secret("kube-system", &format!("{SECRET_PREFIX}{}", token.id))?;
    let fits = found.kind == SECRET_TYPE
        && text(&found, "token-id") == token.id
        && secret::same(text(&found, "token-secret").as_bytes(), token.secret.as_bytes())
        && is_usable(&found, now)
        && text(&found, "usage-bootstrap-authentication") == "true";
    if !fits {
        return None;
    }
    let mut groups = vec![names::BOOTSTRAPPERS.to_owned()];
    let more = text(&found, "auth-extra-groups");
    for group in more.split(',').filter(|_| !more.is_empty()) {
        if !is_bootstrap_group(group) {
            return None;
        }
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    let name = format!("{}{}", names::BOOTSTRAP_PREFIX, token.id);
    Some((User { name, groups, ..User::default() }, expiration(&found)))
}

/// Neither expired nor being deleted. An expiry that cannot be read has passed.
pub(super) fn is_usable(found: &SecretData, now: Timestamp) -> bool {
    let expired = match text(found, "expiration") {
        "" => false,
        text => text.parse::<Timestamp>().map_or(true, |expiration| expiration <= now),
    };
    found.deletion.is_none() && !expired
}

fn expiration(found: &SecretData) -> Option<Timestamp> {
    text(found, "expiration").parse().ok()
}

/// Extra groups must not lead anywhere but to other bootstrappers.
fn is_bootstrap_group(group: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    group.strip_prefix("system:bootstrappers:").is_some_and(|rest| {
        rest.len() <= 256
            && rest.bytes().all(|byte| allowed(byte) || byte == b':' || byte == b'-')
            && rest.bytes().last().is_some_and(allowed)
    })
}

fn text<'s>(found: &'s SecretData, key: &str) -> &'s str {
    found.data.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}
