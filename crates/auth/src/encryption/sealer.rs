//! The seal that Secrets have unless a configuration says otherwise: AES-256-GCM in upstream's
//! `aesgcm` form, so that a database can move between the two. The place a value is stored at is authenticated with it: moved to another key it does
//! not open.

use crate::pki;
use crate::secret::{self, NoRandomness};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Every sealed value begins with this, its key's name and a colon.
const PREFIX: &str = "k8s:enc:aesgcm:v1:";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("an encryption key has 32 bytes, not {0}")]
    KeySize(usize),
    #[error("cannot read the encryption key file: {0}")]
    KeyFile(String),
    #[error(transparent)]
    File(#[from] pki::Error),
    #[error("no encryption key named \"{0}\"")]
    UnknownKey(String),
    #[error("the stored value was changed, moved or sealed with another key")]
    Tampered,
    #[error("cannot seal a value of this size")]
    Seal,
}

/// Seals with its first key and opens with any of them.
pub struct Sealer {
    keys: Vec<(String, LessSafeKey)>,
}

impl Sealer {
    /// Without a key: it can do nothing yet.
    pub(super) fn empty() -> Self {
        Sealer { keys: Vec::new() }
    }

    /// # Errors
    /// [`Error::KeySize`].
    pub fn new(name: &str, key: &[u8]) -> Result<Self, Error> {
        let mut sealer = Sealer::empty();
        sealer.accept(name, key)?;
        Ok(sealer)
    }

    /// Opens values of one more key, from before a rotation.
    ///
    /// # Errors
    /// [`Error::KeySize`].
    pub fn accept(&mut self, name: &str, key: &[u8]) -> Result<(), Error> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::KeySize(key.len()))?;
        self.keys.push((name.to_owned(), LessSafeKey::new(key)));
        Ok(())
    }

    /// Seals `plain` for being stored at `place`.
    ///
    /// # Errors
    /// No randomness, or a value too large for the cipher (64 GiB).
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let (name, key) = self.keys.first().ok_or_else(|| Error::UnknownKey(String::new()))?;
        let nonce = secret::random::<NONCE_LEN>()?;
        let mut out = Vec::with_capacity(PREFIX.len() + name.len() + 1 + NONCE_LEN + plain.len() + 16);
        out.extend_from_slice(PREFIX.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut out[start..])
            .map_err(|_| Error::Seal)?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// The plain value of what [`Sealer::seal`] or upstream stored at `place`; None where it was
    /// stored unsealed.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Tampered`].
    pub fn open(&self, place: &str, stored: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(rest) = stored.strip_prefix(PREFIX.as_bytes()) else { return Ok(None) };
        let colon = rest.iter().position(|byte| *byte == b':').ok_or(Error::Tampered)?;
        let name = std::str::from_utf8(&rest[..colon]).map_err(|_| Error::Tampered)?;
        let key = self.keys.iter().find(|(own, _)| own == name).ok_or_else(|| Error::UnknownKey(name.to_owned()))?;
        let (nonce, sealed) = rest[colon + 1..].split_first_chunk::<NONCE_LEN>().ok_or(Error::Tampered)?;
        let mut buffer = sealed.to_vec();
        let length = key
            .1
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut buffer)
            .map_err(|_| Error::Tampered)?
            .len();
        buffer.truncate(length);
        Ok(Some(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/registry/secrets/default/a";

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let sealer = Sealer::new("key1", &[7; 32]).unwrap();
        let sealed = sealer.seal(PLACE, b"top secret").unwrap();
        assert!(sealed.starts_with(b"k8s:enc:aesgcm:v1:key1:"));
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_ne!(sealed, sealer.seal(PLACE, b"top secret").unwrap());
        assert_eq!(sealer.open(PLACE, &sealed).unwrap().as_deref(), Some(&b"top secret"[..]));
        assert!(matches!(sealer.open("/registry/secrets/default/b", &sealed), Err(Error::Tampered)));
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(sealer.open(PLACE, &changed), Err(Error::Tampered)));
        assert!(matches!(sealer.open(PLACE, &sealed[..30]), Err(Error::Tampered)));
        assert_eq!(sealer.open(PLACE, b"{}").unwrap(), None);
        assert!(matches!(Sealer::new("key1", &[7; 16]), Err(Error::KeySize(16))));
    }

    #[test]
    fn old_keys_still_open() {
        let mut rotated = Sealer::new("key2", &[8; 32]).unwrap();
        let old = Sealer::new("key1", &[7; 32]).unwrap().seal(PLACE, b"x").unwrap();
        assert!(matches!(rotated.open(PLACE, &old), Err(Error::UnknownKey(name)) if name == "key1"));
        rotated.accept("key1", &[7; 32]).unwrap();
        assert_eq!(rotated.open(PLACE, &old).unwrap().as_deref(), Some(&b"x"[..]));
    }
}
