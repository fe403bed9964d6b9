//! Keys of pods' certificates, and the request that proves who holds one: an empty PKCS#10 request,
//! as the signer takes nothing else from it.
//!
//! Types of keys that the cryptography here cannot make (RSA, P-521) are refused by name.

use crate::{VolumeError, pem};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _};

/// Algorithm identifiers in DER: of keys on the two curves, of signatures with them, and Ed25519 for
/// both.
const P256_KEY: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384_KEY: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
/// What stands before the seed in a PKCS#8 key of version 1, which every reader knows.
const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const ATTRIBUTES: u8 = 0xa0;
const VERSION: &[u8] = &[2, 1, 0];

/// A new key with its request.
pub(crate) struct Fresh {
    /// PKCS#8 in PEM.
    pub key: String,
    /// PKCS#10 in DER.
    pub request: Vec<u8>,
}

/// # Errors
/// A type that is not known or not made here, or no randomness.
pub(crate) fn generate(key_type: &str) -> Result<Fresh, VolumeError> {
    match key_type {
        "ECDSAP256" => ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, P256_KEY, ECDSA_SHA256),
        "ECDSAP384" => ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, P384_KEY, ECDSA_SHA384),
        "ED25519" => ed25519(),
        "RSA3072" | "RSA4096" | "ECDSAP521" => {
            let why = format!("while generating keypair: key type {key_type:?} is not supported by this node");
            Err(VolumeError::Other(why))
        }
        _ => Err(VolumeError::Other(format!("while generating keypair: unknown key type {key_type:?}"))),
    }
}

fn failed<E>(_: E) -> VolumeError {
    VolumeError::Other("while generating keypair: no key can be made".to_owned())
}

fn ecdsa(form: &'static EcdsaSigningAlgorithm, key: &[u8], signed: &[u8]) -> Result<Fresh, VolumeError> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(form, &random).map_err(failed)?;
    let pair = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref(), &random).map_err(failed)?;
    let sign = |text: &[u8]| pair.sign(&random, text).map(|signature| signature.as_ref().to_vec()).map_err(failed);
    let request = request(key, pair.public_key().as_ref(), signed, sign)?;
    Ok(Fresh { key: pem::encode("PRIVATE KEY", pkcs8.as_ref()), request })
}

fn ed25519() -> Result<Fresh, VolumeError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(failed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(failed)?;
    let sign = |text: &[u8]| Ok(pair.sign(text).as_ref().to_vec());
    let request = request(ED25519, pair.public_key().as_ref(), ED25519, sign)?;
    Ok(Fresh { key: pem::encode("PRIVATE KEY", &[ED25519_PKCS8, &seed].concat()), request })
}

fn request(
    key: &[u8],
    public: &[u8],
    signed: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, VolumeError>,
) -> Result<Vec<u8>, VolumeError> {
    let nobody = value(SEQUENCE, &[]);
    let public = value(SEQUENCE, &[key, &bits(public)]);
    let body = value(SEQUENCE, &[VERSION, &nobody, &public, &value(ATTRIBUTES, &[])]);
    let signature = bits(&sign(&body)?);
    Ok(value(SEQUENCE, &[&body, signed, &signature]))
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes])
}

/// A value in DER. Nothing here reaches 64 KiB.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn openssl(words: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("openssl");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// As somebody else reads them: the request's signature fits, and its key is the private one's.
    #[test]
    fn keys_and_requests_are_what_others_understand() {
        for kind in ["ECDSAP256", "ECDSAP384", "ED25519"] {
            let fresh = generate(kind).unwrap();
            let request = pem::encode("CERTIFICATE REQUEST", &fresh.request);
            let asked = openssl(&["req", "-verify", "-noout", "-pubkey"], request.as_bytes());
            assert_eq!(openssl(&["pkey", "-pubout"], fresh.key.as_bytes()), asked, "{kind}");
        }
        for (kind, why) in [("RSA4096", "not supported by this node"), ("DSA", "unknown key type \"DSA\"")] {
            assert!(generate(kind).is_err_and(|error| error.to_string().contains(why)), "{kind}");
        }
    }
}
