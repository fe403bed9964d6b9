//! Clusters: certificates, bootstrap objects, joining, kubeconfig files.
//!
//! [`Pki`] is everything a server proves its identity with, kept below the data directory;
//! [`tls`] turns it into rustls configurations; [`objects`] lists what a new cluster must hold;
//! [`token`] and [`join`] are the two ends of a node's way in. Wiring (`kutter`) is the caller; this crate reaches the API server only through `client`.

pub mod join;
pub mod kubeconfig;
pub mod objects;
mod pki;
pub mod tls;
pub mod token;

pub use pki::{ADMIN_GROUP, Error, Pki, PkiOptions};
pub use token::JoinToken;
