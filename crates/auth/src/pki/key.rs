//! Private and public keys: ECDSA P-256, and P-384 and RSA where somebody else made them. The keys of those
//! who get certificates may be any: they are only handed on.

use super::{Error, der, pem};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10045, 2, 1];
const PRIME256V1: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
const SECP384R1: &[u64] = &[1, 3, 132, 0, 34];
const RSA_ENCRYPTION: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const ECDSA_WITH_SHA384: &[u64] = &[1, 2, 840, 10045, 4, 3, 3];
const SHA256_WITH_RSA: &[u64] = &[1, 2, 840, 113_549, 1, 1, 11];
const NULL: &[u8] = &[5, 0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    EcdsaP256,
    EcdsaP384,
    Rsa,
}

/// A private key.
pub struct Key {
    inner: Inner,
    pem: String,
    public: PublicKey,
}

enum Inner {
    /// For each form of signature ring wants a pair of its own.
    Ec(Box<EcPair>),
    Rsa(Box<RsaKeyPair>),
}

struct EcPair {
    asn1: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
}

/// The key of whoever a certificate is about, of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey {
    spki: Vec<u8>,
    /// The bits of the key alone.
    raw: Vec<u8>,
}

/// The public half of a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// Its bits are the point, or the RSAPublicKey.
    key: SubjectKey,
}

impl Key {
    /// A new P-256 key.
    ///
    /// # Errors
    /// [`Error::Generate`].
    pub fn generate() -> Result<Self, Error> {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &rng)
            .map_err(|_| Error::Generate)?;
        Self::from_pkcs8(pkcs8.as_ref(), pem("PRIVATE KEY", pkcs8.as_ref()))
    }

    /// Reads PKCS#8, SEC1 (`EC PRIVATE KEY`) and PKCS#1 (`RSA PRIVATE KEY`) in PEM.
    ///
    /// # Errors
    /// [`Error::ReadKey`], also for curves other than P-256.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| Error::ReadKey(error.to_string()))?;
        match &der {
            PrivateKeyDer::Pkcs8(pkcs8) => Self::from_pkcs8(pkcs8.secret_pkcs8_der(), text.to_owned()),
            PrivateKeyDer::Sec1(sec1) => {
                let inner = der::tlv(der::OCTET_STRING, &[sec1.secret_sec1_der()]);
                let on = |curve| {
                    let algorithm = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(curve)]);
                    Self::from_pkcs8(&der::sequence(&[&der::integer(&[0]), &algorithm, &inner]), text.to_owned())
                };
                on(SECP384R1).or_else(|_| on(PRIME256V1))
            }
            PrivateKeyDer::Pkcs1(pkcs1) => {
                let pair = RsaKeyPair::from_der(pkcs1.secret_pkcs1_der()).map_err(unreadable)?;
                Ok(Self::rsa(pair, text.to_owned()))
            }
            _ => Err(Error::ReadKey("not a kind of key known here".to_owned())),
        }
    }

    fn from_pkcs8(der: &[u8], pem: String) -> Result<Self, Error> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Ok(Self::rsa(pair, pem));
        }
        let rng = SystemRandom::new();
        let read = |form| EcdsaKeyPair::from_pkcs8(form, der, &rng).map_err(unreadable);
        let (algorithm, asn1, fixed) = match read(&signature::ECDSA_P384_SHA384_ASN1_SIGNING) {
            Ok(asn1) => (Algorithm::EcdsaP384, asn1, read(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)?),
            Err(_) => {
                let asn1 = read(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?;
                (Algorithm::EcdsaP256, asn1, read(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
        };
        let raw = asn1.public_key().as_ref().to_vec();
        Ok(Key { inner: Inner::Ec(Box::new(EcPair { asn1, fixed })), pem, public: PublicKey::new(algorithm, raw) })
    }

    fn rsa(pair: RsaKeyPair, pem: String) -> Self {
        let raw = pair.public().as_ref().to_vec();
        Key { inner: Inner::Rsa(Box::new(pair)), pem, public: PublicKey::new(Algorithm::Rsa, raw) }
    }

    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs as certificates carry it: with SHA-256 (P-384: SHA-384), ECDSA in ASN.1 form.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.inner {
            Inner::Ec(pair) => ecdsa(&pair.asn1, message),
            Inner::Rsa(pair) => rsa(pair, message),
        }
    }

    /// Signs as web tokens carry it: with the same hash, ECDSA as two numbers of fixed size.
    ///
    /// # Errors
    /// [`Error::Sign`].
    pub fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.inner {
            Inner::Ec(pair) => ecdsa(&pair.fixed, message),
            Inner::Rsa(pair) => rsa(pair, message),
        }
    }

    /// The AlgorithmIdentifier of [`Key::sign`].
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self.public.algorithm {
            Algorithm::EcdsaP256 => der::sequence(&[&der::oid(ECDSA_WITH_SHA256)]),
            Algorithm::EcdsaP384 => der::sequence(&[&der::oid(ECDSA_WITH_SHA384)]),
            Algorithm::Rsa => der::sequence(&[&der::oid(SHA256_WITH_RSA), NULL]),
        }
    }
}

fn unreadable(error: ring::error::KeyRejected) -> Error {
    Error::ReadKey(format!("{error} (ECDSA P-256 and P-384, and RSA of 2048 bits and more can be used)"))
}

fn ecdsa(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| Error::Sign("no randomness".to_owned()))?;
    Ok(signature.as_ref().to_vec())
}

fn rsa(pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| Error::Sign("the RSA key refused".to_owned()))?;
    Ok(signature)
}

impl SubjectKey {
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|error| Error::ReadPublicKey(error.to_string()))?;
        Ok(SubjectKey { spki: der.to_vec(), raw: info.subject_public_key.data.to_vec() })
    }

    /// As SubjectPublicKeyInfo.
    pub fn der(&self) -> &[u8] {
        &self.spki
    }

    /// The subject key identifier of certificates with this key (RFC 7093, method 1).
    pub(super) fn identifier(&self) -> Vec<u8> {
        ring::digest::digest(&ring::digest::SHA256, &self.raw).as_ref()[..20].to_vec()
    }
}

impl PublicKey {
    fn new(algorithm: Algorithm, raw: Vec<u8>) -> Self {
        let identifier = match algorithm {
            Algorithm::EcdsaP256 => der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(PRIME256V1)]),
            Algorithm::EcdsaP384 => der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(SECP384R1)]),
            Algorithm::Rsa => der::sequence(&[&der::oid(RSA_ENCRYPTION), NULL]),
        };
        let spki = der::sequence(&[&identifier, &der::bit_string(&raw)]);
        PublicKey { algorithm, key: SubjectKey { spki, raw } }
    }

    /// Reads a `PUBLIC KEY`, or the public half of a private key or certificate, in PEM.
    ///
    /// # Errors
    /// [`Error::ReadPublicKey`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        if let Ok(key) = Key::from_pem(text) {
            return Ok(key.public);
        }
        if let Ok([certificate, ..]) = super::certificates(text).as_deref() {
            return Self::from_spki(super::Parsed::new(certificate)?.public_key.der());
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
            .map_err(|error| Error::ReadPublicKey(error.to_string()))?;
        Self::from_spki(&der)
    }

    fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let key = SubjectKey::from_spki(der)?;
        // A point is a byte and two numbers.
        let points = [(Algorithm::EcdsaP256, 1 + 2 * 32), (Algorithm::EcdsaP384, 1 + 2 * 48)];
        let point = points.into_iter().find(|(_, length)| *length == key.raw.len()).map(|(algorithm, _)| algorithm);
        let mut candidates =
            point.into_iter().chain([Algorithm::Rsa]).map(|algorithm| PublicKey::new(algorithm, key.raw.clone()));
        let found = candidates.find(|candidate| candidate.key == key);
        found.ok_or_else(|| Error::ReadPublicKey("neither ECDSA P-256 or P-384 nor RSA".to_owned()))
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// As certificates carry it.
    pub fn subject(&self) -> &SubjectKey {
        &self.key
    }

    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", self.key.der())
    }

    /// The `kid` that upstream gives a key.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, self.key.der()))
    }

    /// Whether `signature` is [`Key::sign_token`] of `message`.
    pub fn verifies_token(&self, message: &[u8], signature: &[u8]) -> bool {
        let form: &'static dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(form, &self.key.raw).verify(message, signature).is_ok()
    }

    /// As a JSON web key, for the issuer's key set.
    pub fn jwk(&self) -> serde_json::Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // A byte says that the point's two numbers follow.
        let point = |curve: &str, algorithm: &str, size: usize| {
            let (x, y) = self.key.raw[1..].split_at(size);
            serde_json::json!({
                "use": "sig", "kty": "EC", "kid": self.id(), "crv": curve, "alg": algorithm, "x": text(x), "y": text(y),
            })
        };
        match self.algorithm {
            Algorithm::EcdsaP256 => point("P-256", "ES256", 32),
            Algorithm::EcdsaP384 => point("P-384", "ES384", 48),
            Algorithm::Rsa => {
                let (modulus, exponent) = rsa_numbers(&self.key.raw);
                serde_json::json!({
                    "use": "sig", "kty": "RSA", "kid": self.id(), "alg": "RS256",
                    "n": text(modulus), "e": text(exponent),
                })
            }
        }
    }
}

/// Modulus and exponent of an RSAPublicKey, without the byte that only keeps them positive.
fn rsa_numbers(raw: &[u8]) -> (&[u8], &[u8]) {
    match x509_parser::public_key::RSAPublicKey::from_der(raw) {
        Ok((_, key)) => (strip_zero(key.modulus), strip_zero(key.exponent)),
        Err(_) => (&[], &[]),
    }
}

fn strip_zero(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&[0]).unwrap_or(bytes)
}
