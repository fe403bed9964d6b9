//! Which stored objects are sealed, and with what: the store's transformer over `auth`'s cipher.

use auth::encryption::Sealer;
use bytes::Bytes;

/// Start of the keys whose values never reach the disk in the clear.
const SEALED: &str = "/registry/secrets/";

pub struct Sealing(pub Sealer);

impl store::Transformer for Sealing {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if !key.starts_with(SEALED) {
            return Ok(None);
        }
        self.0.seal(key, value).map(Some).map_err(|error| error.to_string())
    }

    fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, String> {
        if !key.starts_with(SEALED) {
            return Ok(stored);
        }
        match self.0.open(key, &stored) {
            Ok(Some(plain)) => Ok(plain.into()),
            Ok(None) => Ok(stored),
            Err(reason) => Err(reason.to_string()),
        }
    }
}
