//! Key pairs of every kind that Kubernetes asks certificates for, the proof in a signing request that
//! its sender holds the key, and the cryptography of TLS that takes them all.
//!
//! Who gets a certificate and what it says is decided elsewhere; the server's own keys are `auth`'s.
//! `volumes` makes pods' keys here; `auth` and `strategy` ask whether requests and tokens are proven;
//! all that speaks TLS begins with [`tls_provider`].
//!
//! All cryptography is `ring`'s, but for what it cannot do: make RSA keys, and P-521
//! (docs/decisions/keys.md).

mod pair;
mod proof;
mod tls;

pub use pair::{Kind, Pair};
pub use proof::{is_es512, is_proven};
pub use tls::tls_provider;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unknown key type")]
    Unknown,
    #[error("no key can be made")]
    Generate,
    #[error("the key refused to sign")]
    Sign,
}
