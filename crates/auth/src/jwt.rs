//! JSON web tokens, signed and checked: RS256, ES256 and ES384, nothing else (never `none`, never a shared
//! secret). Knows the envelope only; what claims mean is `authn`'s affair.

use crate::pki::{self, Algorithm, Key, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A token longer than this is refused unread.
const LONGEST: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a JSON web token")]
    Malformed,
    #[error("signed with an algorithm that is not accepted")]
    Algorithm,
    #[error("signed by a key that is not known")]
    UnknownKey,
    #[error("the signature is wrong")]
    Signature,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kid: String,
}

fn algorithm(key: &PublicKey) -> &'static str {
    match key.algorithm() {
        Algorithm::EcdsaP256 => "ES256",
        Algorithm::EcdsaP384 => "ES384",
        Algorithm::Rsa => "RS256",
    }
}

/// Signs `claims`.
///
/// # Errors
/// The key refused.
pub fn sign(key: &Key, claims: &impl Serialize) -> Result<String, pki::Error> {
    let header = Header { alg: algorithm(key.public()).to_owned(), kid: key.public().id() };
    let json = |error: serde_json::Error| pki::Error::Sign(error.to_string());
    let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(json)?);
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).map_err(json)?));
    let signature = key.sign_token(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

/// The claims as they stand, unchecked: only to choose who shall check them.
///
/// # Errors
/// [`Error::Malformed`].
pub fn peek(token: &str) -> Result<Value, Error> {
    let (_, claims, _) = parts(token)?;
    decode(claims)
}

/// The claims of a token signed by one of `keys`.
///
/// # Errors
/// Why it is not to be believed.
pub fn verify(keys: &[PublicKey], token: &str) -> Result<Value, Error> {
    let (header, claims, signature) = parts(token)?;
    let signed = &token[..header.len() + 1 + claims.len()];
    let header: Header = decode(header)?;
    if !matches!(header.alg.as_str(), "RS256" | "ES256" | "ES384") {
        return Err(Error::Algorithm);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Error::Malformed)?;
    // A key signs by its own algorithm only, whatever the header says; a `kid` narrows the choice.
    let mut candidates = keys
        .iter()
        .filter(|key| algorithm(key) == header.alg && (header.kid.is_empty() || key.id() == header.kid))
        .peekable();
    if candidates.peek().is_none() {
        return Err(Error::UnknownKey);
    }
    if !candidates.any(|key| key.verifies_token(signed.as_bytes(), &signature)) {
        return Err(Error::Signature);
    }
    decode(claims)
}

/// Header, what was signed, the signature and the claims, all unchecked.
pub(crate) fn taken_apart(token: &str) -> Result<(Value, &str, Vec<u8>, Value), Error> {
    let (header, claims, signature) = parts(token)?;
    let signed = &token[..header.len() + 1 + claims.len()];
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Error::Malformed)?;
    Ok((decode(header)?, signed, signature, decode(claims)?))
}

fn parts(token: &str) -> Result<(&str, &str, &str), Error> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) if token.len() <= LONGEST => {
            Ok((header, claims, signature))
        }
        _ => Err(Error::Malformed),
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests;
