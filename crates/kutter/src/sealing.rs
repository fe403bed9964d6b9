//! The store's transformer over `auth`'s encryption at rest.

use auth::encryption::Encryption;
use bytes::Bytes;
use std::sync::Arc;

pub struct Sealing(pub Arc<Encryption>);

impl store::Transformer for Sealing {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.0.seal(key, value)
    }

    fn open(&self, key: &str, stored: Bytes) -> Result<Bytes, String> {
        Ok(self.0.open(key, &stored)?.map_or(stored, Bytes::from))
    }
}
