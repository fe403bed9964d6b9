//! A new key pair: its private half as PKCS#8, its public half as certificates carry it, and its
//! signatures as upstream's requests are signed.

use crate::Error;
use p521::elliptic_curve::sec1::ToEncodedPoint as _;
use p521::pkcs8::EncodePrivateKey as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use rsa::rand_core::OsRng;
use rsa::signature::Signer as _;
use std::str::FromStr;

/// AlgorithmIdentifiers in DER: of keys, of signatures, and Ed25519's for both.
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ECDSA_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
/// What stands before the seed in a PKCS#8 key of version 1, which every reader knows.
const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// As pods name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
    /// The number of bits.
    Rsa(usize),
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "ECDSAP256" => Kind::EcdsaP256,
            "ECDSAP384" => Kind::EcdsaP384,
            "ECDSAP521" => Kind::EcdsaP521,
            "ED25519" => Kind::Ed25519,
            "RSA3072" => Kind::Rsa(3072),
            "RSA4096" => Kind::Rsa(4096),
            _ => return Err(Error::Unknown),
        })
    }
}

pub struct Pair {
    kind: Kind,
    pkcs8: Vec<u8>,
    /// The bits of the public key.
    public: Vec<u8>,
    signer: Signer,
}

enum Signer {
    Ecdsa(Box<EcdsaKeyPair>),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(Box<RsaKeyPair>),
}

impl Pair {
    /// A new one. RSA takes seconds: not for a thread that others wait for.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate(kind: Kind) -> Result<Self, Error> {
        let (pkcs8, public, signer) = match kind {
            Kind::EcdsaP256 => ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?,
            Kind::EcdsaP384 => ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING)?,
            Kind::EcdsaP521 => p521()?,
            Kind::Ed25519 => ed25519()?,
            Kind::Rsa(bits) => rsa(bits)?,
        };
        Ok(Pair { kind, pkcs8, public, signer })
    }

    /// The private key as PKCS#8 in DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key's bits.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The AlgorithmIdentifier of the public key, in DER.
    pub fn algorithm(&self) -> &'static [u8] {
        match self.kind {
            Kind::EcdsaP256 => P256,
            Kind::EcdsaP384 => P384,
            Kind::EcdsaP521 => P521,
            Kind::Ed25519 => ED25519,
            Kind::Rsa(_) => RSA,
        }
    }

    /// The AlgorithmIdentifier of [`Pair::sign`], in DER.
    pub fn signature_algorithm(&self) -> &'static [u8] {
        match self.kind {
            Kind::EcdsaP256 => ECDSA_SHA256,
            Kind::EcdsaP384 => ECDSA_SHA384,
            Kind::EcdsaP521 => ECDSA_SHA512,
            Kind::Ed25519 => ED25519,
            Kind::Rsa(_) => RSA_SHA256,
        }
    }

    /// # Errors
    /// [`Error::Sign`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Ecdsa(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| Error::Sign)
            }
            Signer::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message).map_err(|_| Error::Sign)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Signer::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Signer::Rsa(pair) => {
                let mut made = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut made).map_err(|_| Error::Sign)?;
                Ok(made)
            }
        }
    }
}

type Made = Result<(Vec<u8>, Vec<u8>, Signer), Error>;

fn failed<E>(_: E) -> Error {
    Error::Generate
}

fn ecdsa(form: &'static EcdsaSigningAlgorithm) -> Made {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(form, &random).map_err(failed)?;
    let pair = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref(), &random).map_err(failed)?;
    let public = pair.public_key().as_ref().to_vec();
    Ok((pkcs8.as_ref().to_vec(), public, Signer::Ecdsa(Box::new(pair))))
}

fn p521() -> Made {
    let secret = p521::SecretKey::random(&mut OsRng);
    let pkcs8 = secret.to_pkcs8_der().map_err(failed)?.as_bytes().to_vec();
    let public = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
    let key = p521::ecdsa::SigningKey::from_bytes(&secret.to_bytes()).map_err(failed)?;
    Ok((pkcs8, public, Signer::P521(Box::new(key))))
}

fn ed25519() -> Made {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(failed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(failed)?;
    let public = pair.public_key().as_ref().to_vec();
    Ok(([ED25519_PKCS8, &seed].concat(), public, Signer::Ed25519(Box::new(pair))))
}

/// Made by one library, used by the other, whose signatures take the same time whatever the key.
fn rsa(bits: usize) -> Made {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, bits).map_err(failed)?;
    let pkcs8 = key.to_pkcs8_der().map_err(failed)?.as_bytes().to_vec();
    let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(failed)?;
    let public = pair.public().as_ref().to_vec();
    Ok((pkcs8, public, Signer::Rsa(Box::new(pair))))
}
