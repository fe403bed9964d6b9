//! Certificates: a certificate authority, what it issues, signing requests, and the files they are
//! kept in.
//!
//! Keys are ECDSA P-256; P-384 and RSA keys and authorities made elsewhere (kubeadm) are read and used. The
//! little DER that X.509 needs is written here, because a subject may name one organization (group)
//! several times and a request's subject must be carried over byte for byte.

mod authority;
mod der;
mod files;
mod key;
mod parsed;
mod request;

pub use authority::{Authority, Identity, Profile, apiserver_names};
pub use files::{read, write_private, write_public, write_replaceable};
pub use key::{Algorithm, Key, PublicKey, SubjectKey};
pub use parsed::{Parsed, ca_hash, certificates, needs_renewal};
pub use request::Request;

use std::path::PathBuf;

/// How long authorities and their certificates last.
pub const CA_DAYS: i64 = 3650;
pub const CERTIFICATE_DAYS: i64 = 365;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    NoRandomness(#[from] crate::secret::NoRandomness),
    #[error("cannot make a key: the system refused")]
    Generate,
    #[error("cannot read the private key: {0}")]
    ReadKey(String),
    #[error("cannot read the public key: {0}")]
    ReadPublicKey(String),
    #[error("cannot read the certificate: {0}")]
    ReadCertificate(String),
    #[error("cannot read the certificate signing request: {0}")]
    ReadRequest(String),
    #[error("the signature of the certificate signing request is wrong")]
    RequestSignature,
    #[error("the certificate and its private key do not belong together")]
    Mismatch,
    #[error("the certificate is not that of an authority")]
    NotAnAuthority,
    #[error("unknown usage \"{0}\"")]
    Usage(String),
    #[error("cannot sign: {0}")]
    Sign(String),
    #[error("cannot read {path}: {source}")]
    ReadFile { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    WriteFile { path: PathBuf, source: std::io::Error },
}

/// PEM text of one block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
