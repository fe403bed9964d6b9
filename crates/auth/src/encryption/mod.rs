//! Encryption at rest: which objects are sealed and with what, in upstream's forms, so that a
//! database can move between the two. The store's wiring calls [`Encryption`] for every value.

mod cipher;
mod configuration;
mod keyring;
mod kms;
mod kms_agent;
mod messages;
mod sealer;

pub use configuration::Encryption;
pub use keyring::Keyring;
pub use sealer::{Error, Sealer};

/// Seals and opens values in one form.
pub(crate) trait Provider: Send + Sync {
    /// What its sealed values begin with; empty: it leaves values as they are.
    fn prefix(&self) -> &str;

    /// Seals a value for being stored at `place`; without the prefix.
    fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, String>;

    /// Opens a value without its prefix.
    fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, String>;
}

#[cfg(test)]
mod tests;
