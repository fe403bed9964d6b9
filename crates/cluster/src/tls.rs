//! rustls configurations of the cluster's servers and clients: TLS 1.2 and 1.3, client
//! certificates asked for and never insisted on (tokens and health checks come without).

use auth::pki::{self, Identity};
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::{Arc, PoisonError, RwLock};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Pki(#[from] pki::Error),
    #[error("cannot read the private key: {0}")]
    Key(String),
    #[error("cannot use the certificate authority: {0}")]
    Authority(String),
    #[error("cannot use the certificate: {0}")]
    Certificate(#[from] rustls::Error),
}

/// What a server shows, changeable while it runs: connections to come see the new one.
#[derive(Debug)]
pub struct Served(RwLock<Arc<CertifiedKey>>);

impl Served {
    /// # Errors
    /// The identity cannot be read or does not fit together.
    pub fn new(identity: &Identity) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Served(RwLock::new(certified(identity)?))))
    }

    /// # Errors
    /// As [`Served::new`]; the old one stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        let fresh = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let chain = pki::certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| Error::Key(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &keys::tls_provider())?))
}

/// For the API server and the kubelet: shows `served`, believes client certificates of
/// `client_authority` (PEM) and speaks `protocols`.
///
/// # Errors
/// The authority cannot be used.
pub fn server_config(served: Arc<Served>, client_authority: &str, protocols: &[&str]) -> Result<ServerConfig, Error> {
    let provider = keys::tls_provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_authority)?), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Authority(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(served);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Short-lived clients (kubectl, probes) come back with a ticket instead of a full handshake.
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

/// For clients of the cluster: believes `authority` (PEM) and shows `identity` where asked.
///
/// # Errors
/// One of the two cannot be used.
pub fn client_config(authority: &str, identity: Option<&Identity>, protocols: &[&str]) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(keys::tls_provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authority)?);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = pki::certificates(&identity.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
            builder.with_client_auth_cert(chain, key.map_err(|error| Error::Key(error.to_string()))?)?
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

fn roots(authority: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in pki::certificates(authority)? {
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(Error::Authority("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
