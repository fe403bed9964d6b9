//! Certificate signing requests: approve those of nodes, sign what is approved, clear old ones away.
//! And the bundle by which pods know the API server.
//!
//! The authority's key stays outside: a [`Signer`] given by the wiring reads and signs.

mod approve;
mod bundles;
mod clean;
mod sign;
#[cfg(test)]
mod tests;

pub use approve::APPROVING;
pub use bundles::BUNDLES;
pub use clean::{CLEANER, POD_CLEANER};
pub use sign::SIGNING;

use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const LEGACY: &str = "kubernetes.io/legacy-unknown";
/// The signers this controller stands for.
const OURS: [&str; 4] = [CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY];

/// What a request asks to be called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    pub common_name: String,
    /// DNS names and IP addresses, as text.
    pub names: Vec<String>,
}

/// Reads requests and signs them; holds the authority's key.
pub trait Signer: Send + Sync {
    /// Whether `signer` may sign the request (PEM) for these usages. Errors are told to the user.
    fn check(&self, signer: &str, request: &[u8], usages: &[&str]) -> Result<Asked, String>;

    /// The certificate, in PEM.
    fn sign(&self, request: &[u8], usages: &[&str], lifetime: Duration, now: Timestamp) -> Result<String, String>;
}

#[derive(Debug, Clone, Deserialize)]
struct Request {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    request: String,
    signer_name: String,
    #[serde(default)]
    usages: Vec<String>,
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: Value,
    expiration_seconds: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    certificate: String,
    conditions: Value,
}

impl Request {
    fn has(&self, condition: &str) -> bool {
        meta::conditions::find(&self.status.conditions, condition).is_some()
    }

    fn is_approved(&self) -> bool {
        self.has("Approved") && !self.has("Denied")
    }

    /// The request itself, in PEM.
    fn pem(&self) -> Result<Vec<u8>, String> {
        STANDARD.decode(&self.spec.request).map_err(|error| error.to_string())
    }

    fn usages(&self) -> Vec<&str> {
        self.spec.usages.iter().map(String::as_str).collect()
    }
}
