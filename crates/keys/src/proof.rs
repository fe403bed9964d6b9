//! Whether who signed holds the key: of signing requests, and of what is signed with P-521.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::digest;
use x509_parser::certification_request::X509CertificationRequest;

/// Object identifiers as they stand in DER.
const SECP521R1: &[u8] = b"\x2b\x81\x04\x00\x23";
/// A number below the order of P-521 takes so many bytes.
const P521_BYTES: usize = 66;

/// Whether the request's signature is that of its own key: RSA, ECDSA on P-256, P-384 or P-521, or
/// Ed25519.
pub fn is_proven(request: &X509CertificationRequest<'_>) -> bool {
    let info = &request.certification_request_info;
    let curve = info.subject_pki.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    match curve {
        Some(curve) if curve.as_bytes() == SECP521R1 => is_proven_by_p521(request).unwrap_or(false),
        _ => request.verify_signature().is_ok(),
    }
}

/// None: the key, the signature or its algorithm cannot be read.
fn is_proven_by_p521(request: &X509CertificationRequest<'_>) -> Option<bool> {
    let info = &request.certification_request_info;
    let hash = match request.signature_algorithm.algorithm.as_bytes() {
        b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => &digest::SHA256,
        b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => &digest::SHA384,
        b"\x2a\x86\x48\xce\x3d\x04\x03\x04" => &digest::SHA512,
        _ => return None,
    };
    let signature = p521_signature(&request.signature_value.data)?;
    Some(is_signed(&info.subject_pki.subject_public_key.data, &digest::digest(hash, info.raw), &signature))
}

/// Whether this is the signature that web tokens call ES512: by the key at a point of P-521, two numbers of
/// fixed size.
pub fn is_es512(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let hash = digest::digest(&digest::SHA512, message);
    Signature::from_slice(signature).is_ok_and(|signature| is_signed(point, &hash, &signature))
}

/// As certificates and TLS carry it.
pub(crate) fn p521_signature(der: &[u8]) -> Option<Signature> {
    Signature::from_der(der).ok()
}

pub(crate) fn is_signed(point: &[u8], hash: &digest::Digest, signature: &Signature) -> bool {
    // The library refuses hashes much shorter than the key; as a number they are the same when filled up.
    let mut number = [0; P521_BYTES];
    number[P521_BYTES - hash.as_ref().len()..].copy_from_slice(hash.as_ref());
    VerifyingKey::from_sec1_bytes(point).is_ok_and(|key| key.verify_prehash(&number, signature).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::process::Command;
    use x509_parser::prelude::FromDer as _;

    fn openssl(words: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output.stdout
    }

    /// Made by somebody else, with the hash that is the custom with a key and with others.
    #[test]
    fn requests_of_every_kind_of_key_are_proven_until_a_bit_is_turned() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("key.pem").display().to_string();
        let curve = |name: &str| vec!["EC".to_owned(), "-pkeyopt".to_owned(), format!("ec_paramgen_curve:{name}")];
        let rsa = vec!["RSA".to_owned(), "-pkeyopt".to_owned(), "rsa_keygen_bits:2048".to_owned()];
        for (kind, hashes) in [
            (curve("P-256"), &["-sha256", "-sha384"][..]),
            (curve("P-384"), &["-sha256", "-sha384"]),
            (curve("P-521"), &["-sha256", "-sha384", "-sha512"]),
            (vec!["ED25519".to_owned()], &["-sha256"]),
            (rsa, &["-sha256", "-sha512"]),
        ] {
            let words: Vec<&str> =
                ["genpkey", "-out", &file, "-algorithm"].into_iter().chain(kind.iter().map(String::as_str)).collect();
            openssl(&words);
            for hash in hashes {
                let der = openssl(&["req", "-new", "-key", &file, "-subj", "/CN=jane", hash, "-outform", "der"]);
                let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
                assert!(is_proven(&request), "{kind:?} {hash}");
                let turned = der.windows(4).position(|four| four == b"jane").unwrap();
                let mut other = der.clone();
                other[turned] ^= 1;
                let (_, request) = X509CertificationRequest::from_der(&other).unwrap();
                assert!(!is_proven(&request), "{kind:?} {hash}, of somebody else");
            }
        }
    }
}
