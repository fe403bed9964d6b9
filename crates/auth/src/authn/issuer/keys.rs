//! An issuer's public keys, as its JSON web key set has them, and the signatures they check.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

/// Keys that are read of one set.
const MOST: usize = 128;

/// The algorithms that upstream takes.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
}

/// A key that checks signatures.
pub struct WebKey {
    id: String,
    /// Empty: whatever fits the kind of key.
    algorithm: String,
    public: Public,
}

/// The usable keys of a set; those of kinds that are not known are passed over.
pub fn read(set: &Value) -> Vec<WebKey> {
    set["keys"].as_array().into_iter().flatten().filter_map(read_one).take(MOST).collect()
}

fn read_one(key: &Value) -> Option<WebKey> {
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    if !matches!(text("use"), "" | "sig") {
        return None;
    }
    let bytes =
        |name: &str| URL_SAFE_NO_PAD.decode(text(name).trim_end_matches('=')).ok().filter(|bytes| !bytes.is_empty());
    let point = |size: usize| {
        let mut point = vec![4];
        for name in ["x", "y"] {
            let number = bytes(name)?;
            point.extend(std::iter::repeat_n(0, size.checked_sub(number.len())?));
            point.extend(number);
        }
        Some(point)
    };
    let public = match (text("kty"), text("crv")) {
        ("RSA", _) => Public::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
        ("EC", "P-256") => Public::P256(point(32)?),
        ("EC", "P-384") => Public::P384(point(48)?),
        ("EC", "P-521") => Public::P521(point(66)?),
        _ => return None,
    };
    Some(WebKey { id: text("kid").to_owned(), algorithm: text("alg").to_owned(), public })
}

impl WebKey {
    /// Whether it may have signed a token with this header.
    pub fn fits(&self, id: &str, algorithm: &str) -> bool {
        (id.is_empty() || self.id == id) && (self.algorithm.is_empty() || self.algorithm == algorithm)
    }

    pub fn verifies(&self, algorithm: &str, message: &[u8], signed: &[u8]) -> bool {
        match &self.public {
            Public::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signed).is_ok()
            }),
            Public::P256(point) if algorithm == "ES256" => {
                elliptic(&signature::ECDSA_P256_SHA256_FIXED, point, message, signed)
            }
            Public::P384(point) if algorithm == "ES384" => {
                elliptic(&signature::ECDSA_P384_SHA384_FIXED, point, message, signed)
            }
            Public::P521(point) if algorithm == "ES512" => keys::is_es512(point, message, signed),
            _ => false,
        }
    }
}

fn elliptic(form: &'static dyn VerificationAlgorithm, point: &[u8], message: &[u8], signed: &[u8]) -> bool {
    UnparsedPublicKey::new(form, point).verify(message, signed).is_ok()
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Signed by openssl.
    #[test]
    fn keys_on_p521_check_es512() {
        const X: &str = "AQ6gCr4qBqrf0Z20mGsEfCrXTOKINbn5FAbWTM7NrpytotOvDFfrnu7SdWp3_NulRU8_v1mYro3tNwtm4UQWmV5e";
        const Y: &str = "AT6bFsV3ObbCWIafskYVzOzbh9uOn88Ii-CNPLXrOmABw9ieLXaFK89EhUrOyOxKvAqsfdQlJBhRR25NhMBPxT67";
        const SIGNATURE: &str = "AagrJ2lYsQBeOYo3pWElJjsyPooVwUlLk9vwVrgVFpUPy37xjn6ZJoMs7CO3qantaVyMyYV-cVarKwzWvM2qsmzg\
                                 ASwmVd9jxKFQjnpFortxIpqGzDvDu-NeiiS_Btm8Y2BmlQsY5t7Y_8HmzXUfQXO934wZbHVobNCsrj3hXdRCcFOI";
        let set = json!({"keys": [{"kty": "EC", "crv": "P-521", "x": X, "y": Y}]});
        let key = read(&set).pop().unwrap();
        let signature = URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap();
        assert!(key.verifies("ES512", b"header.claims", &signature));
        assert!(!key.verifies("ES384", b"header.claims", &signature));
        assert!(!key.verifies("ES512", b"header.others", &signature));
    }
}
