//! TLS: whom to trust and how to identify oneself.

use super::believed::Believed;
use super::{HttpsOptions, OptionsError};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// Debian's and Fedora's places.
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Which server certificates are believed.
#[derive(Clone)]
pub enum Roots {
    /// Those signed by one of these authorities, in PEM.
    Pem(Vec<u8>),
    /// Those this machine believes in: the authorities of its `ca-certificates`.
    System,
    /// All of them (`insecure-skip-tls-verify`).
    Unchecked,
}

/// A client certificate that can be changed while connections use it.
#[derive(Debug)]
pub struct ClientCertificate(RwLock<Arc<CertifiedKey>>);

impl ClientCertificate {
    /// A certificate chain and its key, both in PEM.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, OptionsError> {
        Ok(ClientCertificate(RwLock::new(Arc::new(read_pair(chain, key)?))))
    }

    /// Changes the certificate for the connections to come; see [`super::Https::reconnect`].
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), OptionsError> {
        let pair = Arc::new(read_pair(chain, key)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }
}

fn read_pair(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, OptionsError> {
    let unreadable = |error: &dyn std::fmt::Display| OptionsError::Certificate(error.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unreadable(&error))?;
    CertifiedKey::from_der(chain, key, &keys::tls_provider()).map_err(|error| unreadable(&error))
}

#[derive(Debug)]
struct Presents(Arc<ClientCertificate>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

pub(super) fn config(options: &HttpsOptions, alpn: &[&[u8]]) -> Result<ClientConfig, OptionsError> {
    client_config(&options.roots, options.certificate.as_ref(), alpn)
}

/// The TLS side of any client: whom it believes, and what it shows.
pub fn client_config(
    roots: &Roots,
    certificate: Option<&Arc<ClientCertificate>>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, OptionsError> {
    let provider = keys::tls_provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| OptionsError::Roots(error.to_string()))?;
    let believed = |believed| builder.clone().dangerous().with_custom_certificate_verifier(Arc::new(believed));
    let builder = match roots {
        Roots::Pem(pem) => {
            let (store, bundle) = read_roots(pem)?;
            believed(Believed::of(store, bundle, provider)?)
        }
        Roots::System => builder.with_root_certificates(system_roots()),
        Roots::Unchecked => believed(Believed::all(provider)),
    };
    let mut config = match certificate {
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(Presents(certificate.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// For servers whose certificates say nothing: any is believed, and none is shown.
pub fn believing_all(alpn: &[&[u8]]) -> Result<ClientConfig, OptionsError> {
    client_config(&Roots::Unchecked, None, alpn)
}

fn read_roots(pem: &[u8]) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), OptionsError> {
    let mut store = RootCertStore::empty();
    let mut bundle = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| OptionsError::Roots(error.to_string()))?;
        store.add(certificate.clone()).map_err(|error| OptionsError::Roots(error.to_string()))?;
        bundle.push(certificate);
    }
    if store.is_empty() {
        return Err(OptionsError::Roots("there is no certificate in it".to_owned()));
    }
    Ok((store, bundle))
}

/// Empty where the machine has none: then every server is refused, in rustls' words.
fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let bundle = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    // Bundles hold a few certificates that rustls does not take; the others count.
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&bundle).flatten());
    store
}
