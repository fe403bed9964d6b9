//! Which servers are believed: those with a certificate that a known authority signed, or that stands in
//! the bundle itself, as a self-signed one does; or all of them. That a server holds its certificate's key
//! is proven in any case.

use super::OptionsError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

#[derive(Debug)]
pub(super) struct Believed {
    /// None: all are.
    known: Option<Known>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Known {
    signed: Arc<WebPkiServerVerifier>,
    bundle: Vec<CertificateDer<'static>>,
}

impl Believed {
    pub fn all(provider: Arc<CryptoProvider>) -> Self {
        Believed { known: None, provider }
    }

    pub fn of(
        roots: RootCertStore,
        bundle: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, OptionsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let signed = builder.build().map_err(|error| OptionsError::Roots(error.to_string()))?;
        Ok(Believed { known: Some(Known { signed, bundle }), provider })
    }
}

/// For a certificate that stands in the bundle.
fn is_valid(certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = ASN1Time::from_timestamp(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    match now.is_ok_and(|now| parsed.validity().is_valid_at(now)) {
        true => Ok(()),
        false => Err(CertificateError::Expired.into()),
    }
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(Known { signed, bundle }) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        match signed.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(_) if bundle.contains(certificate) => {
                is_valid(certificate, name, now).map(|()| ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
