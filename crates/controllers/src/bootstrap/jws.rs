//! Detached signatures of the cluster description (JWS, RFC 7515, HS256), as joining nodes check
//! them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// The signature of `content` by a token, without the content itself.
pub(super) fn sign(content: &str, token_id: &str, secret: &str) -> String {
    let header = serde_json::json!({"alg": "HS256", "kid": token_id});
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{header}..{signature}")
}

/// Whether `signature` was made of `content` with this secret.
#[cfg(test)]
pub(super) fn is_signed(content: &str, secret: &str, signature: &str) -> bool {
    let Some((header, mac)) = signature.split_once("..") else { return false };
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.decode(mac).is_ok_and(|mac| hmac::verify(&key, signed.as_bytes(), &mac).is_ok())
}
