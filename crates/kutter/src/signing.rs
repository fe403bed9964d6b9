//! The authority's key in the hands of the certificate controllers.

use auth::pki::{Authority, Request};
use auth::signers;
use base::Timestamp;
use controllers::{Asked, Signer};
use std::sync::Arc;
use std::time::Duration;

pub struct Signing(pub Arc<Authority>);

impl Signer for Signing {
    fn check(&self, signer: &str, request: &[u8], usages: &[&str]) -> Result<Asked, String> {
        let request = Request::from_pem(request).map_err(|error| error.to_string())?;
        signers::check(signer, &request, usages)?;
        let addresses = request.names.addresses.iter().map(ToString::to_string);
        Ok(Asked {
            names: request.names.dns.iter().cloned().chain(addresses).collect(),
            common_name: request.common_name,
        })
    }

    fn sign(&self, request: &[u8], usages: &[&str], lifetime: Duration, now: Timestamp) -> Result<String, String> {
        let request = Request::from_pem(request).map_err(|error| error.to_string())?;
        let lifetime = lifetime.try_into().map_err(|_| "the certificate would live too long".to_owned())?;
        self.0.sign_request(&request, usages, lifetime, now).map_err(|error| error.to_string())
    }
}
