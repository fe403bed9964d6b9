//! The providers whose keys stand in the configuration: `identity`, `aesgcm`, `aescbc` and
//! `secretbox`. Each seals with its one key; several keys are several of these.

use super::Provider;
use crate::secret;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use crypto_secretbox::aead::AeadInPlace as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

const TAMPERED: &str = "the stored value was changed, moved or sealed with another key";
const CBC_IV: usize = 16;
const BOX_NONCE: usize = 24;
const BOX_TAG: usize = 16;

/// Values as they are.
pub struct Identity;

impl Provider for Identity {
    fn prefix(&self) -> &str {
        ""
    }

    fn seal(&self, _: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        Ok(plain.to_vec())
    }

    fn open(&self, _: &str, stored: &[u8]) -> Result<Vec<u8>, String> {
        if stored.starts_with(b"k8s:enc:") {
            return Err("identity transformer tried to read encrypted data".to_owned());
        }
        Ok(stored.to_vec())
    }
}

/// AES-GCM under one key, the place authenticated with the value: nonce, then what is sealed.
pub(super) struct Gcm(LessSafeKey);

impl Gcm {
    pub(super) fn new(key: &[u8]) -> Result<Self, String> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            other => return Err(format!("an aesgcm key has 16 or 32 bytes here, not {other}")),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| "the key cannot be used".to_owned())?;
        Ok(Gcm(LessSafeKey::new(key)))
    }

    pub(super) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        let nonce = secret::random::<NONCE_LEN>().map_err(|error| error.to_string())?;
        let mut out = nonce.to_vec();
        out.extend_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut out[NONCE_LEN..])
            .map_err(|_| "cannot seal a value of this size".to_owned())?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    pub(super) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(TAMPERED)?;
        let mut buffer = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(place), &mut buffer).map_err(|_| TAMPERED)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

enum Cipher {
    Gcm(Box<Gcm>),
    Cbc(Vec<u8>),
    Secretbox(Box<XSalsa20Poly1305>),
}

/// One named key of the configuration.
pub struct Keyed {
    prefix: String,
    cipher: Cipher,
}

impl Keyed {
    /// `form` is `aesgcm`, `aescbc` or `secretbox`.
    ///
    /// # Errors
    /// The key has the wrong size.
    pub fn new(form: &str, name: &str, key: &[u8]) -> Result<Self, String> {
        let cipher = match (form, key.len()) {
            ("aesgcm", _) => Cipher::Gcm(Box::new(Gcm::new(key)?)),
            ("aescbc", 16 | 24 | 32) => Cipher::Cbc(key.to_vec()),
            ("secretbox", 32) => {
                let cipher = XSalsa20Poly1305::new_from_slice(key).map_err(|error| error.to_string())?;
                Cipher::Secretbox(Box::new(cipher))
            }
            (_, other) => return Err(format!("a key of {other} bytes is not one of {form}")),
        };
        Ok(Keyed { prefix: format!("k8s:enc:{form}:v1:{name}:"), cipher })
    }
}

impl Provider for Keyed {
    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.seal(place, plain),
            Cipher::Cbc(key) => seal_cbc(key, plain),
            Cipher::Secretbox(cipher) => {
                let nonce = secret::random::<BOX_NONCE>().map_err(|error| error.to_string())?;
                let mut sealed = plain.to_vec();
                let tag = cipher.encrypt_in_place_detached(&nonce.into(), b"", &mut sealed);
                let tag = tag.map_err(|error| error.to_string())?;
                Ok([&nonce[..], &tag[..], &sealed[..]].concat())
            }
        }
    }

    fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
        match &self.cipher {
            Cipher::Gcm(gcm) => gcm.open(place, sealed),
            Cipher::Cbc(key) => open_cbc(key, sealed),
            Cipher::Secretbox(cipher) => {
                let (nonce, rest) = sealed.split_first_chunk::<BOX_NONCE>().ok_or(TAMPERED)?;
                let (tag, sealed) = rest.split_first_chunk::<BOX_TAG>().ok_or(TAMPERED)?;
                let mut plain = sealed.to_vec();
                let opened = cipher.decrypt_in_place_detached(&(*nonce).into(), b"", &mut plain, &(*tag).into());
                opened.map_err(|_| TAMPERED)?;
                Ok(plain)
            }
        }
    }
}

fn seal_cbc(key: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
    let iv = secret::random::<CBC_IV>().map_err(|error| error.to_string())?;
    let bad = |_| "the key cannot be used".to_owned();
    let sealed = match key.len() {
        16 => cbc::Encryptor::<Aes128>::new_from_slices(key, &iv).map_err(bad)?.encrypt_padded_vec_mut::<Pkcs7>(plain),
        24 => cbc::Encryptor::<Aes192>::new_from_slices(key, &iv).map_err(bad)?.encrypt_padded_vec_mut::<Pkcs7>(plain),
        _ => cbc::Encryptor::<Aes256>::new_from_slices(key, &iv).map_err(bad)?.encrypt_padded_vec_mut::<Pkcs7>(plain),
    };
    Ok([&iv[..], &sealed[..]].concat())
}

fn open_cbc(key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, String> {
    let (iv, sealed) = sealed.split_first_chunk::<CBC_IV>().ok_or(TAMPERED)?;
    let bad = |_| "the key cannot be used".to_owned();
    let opened = match key.len() {
        16 => cbc::Decryptor::<Aes128>::new_from_slices(key, iv).map_err(bad)?.decrypt_padded_vec_mut::<Pkcs7>(sealed),
        24 => cbc::Decryptor::<Aes192>::new_from_slices(key, iv).map_err(bad)?.decrypt_padded_vec_mut::<Pkcs7>(sealed),
        _ => cbc::Decryptor::<Aes256>::new_from_slices(key, iv).map_err(bad)?.decrypt_padded_vec_mut::<Pkcs7>(sealed),
    };
    opened.map_err(|_| TAMPERED.to_owned())
}
