//! Reading certificates.

use super::Error;
use super::key::SubjectKey;
use base::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

/// Where upstream's client certificates carry a user's uid.
const USER_UID: &str = "1.3.6.1.4.1.57683.2";

/// What Kubernetes cares about in a certificate.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub user_uid: String,
    pub names: Names,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub is_authority: bool,
    pub public_key: SubjectKey,
    pub subject_key_id: Option<Vec<u8>>,
    /// The subject as it is written.
    pub(super) subject: Vec<u8>,
}

/// Subject alternative names by their kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
}

impl Parsed {
    /// # Errors
    /// [`Error::ReadCertificate`].
    pub fn new(der: &[u8]) -> Result<Self, Error> {
        let bad = |error: String| Error::ReadCertificate(error);
        let (_, found) = X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        let (common_name, organizations) = subject_texts(found.subject());
        let mut names = Names::default();
        let mut is_authority = false;
        let mut subject_key_id = None;
        for extension in found.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(list) => names = Names::new(&list.general_names),
                ParsedExtension::BasicConstraints(constraints) => is_authority = constraints.ca,
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                _ => {}
            }
        }
        let user_uid = found
            .subject()
            .iter_attributes()
            .find(|attribute| attribute.attr_type().to_id_string() == USER_UID)
            .and_then(|attribute| attribute.as_str().ok());
        Ok(Parsed {
            common_name,
            organizations,
            user_uid: user_uid.unwrap_or_default().to_owned(),
            names,
            not_before: moment(found.validity().not_before)?,
            not_after: moment(found.validity().not_after)?,
            is_authority,
            public_key: SubjectKey::from_spki(found.public_key().raw)?,
            subject_key_id,
            subject: found.subject().as_raw().to_vec(),
        })
    }

    /// The first certificate of a PEM text.
    ///
    /// # Errors
    /// [`Error::ReadCertificate`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let all = certificates(text)?;
        let first = all.first().ok_or_else(|| Error::ReadCertificate("no certificate in it".to_owned()))?;
        Self::new(first)
    }

    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl Names {
    pub(super) fn new(list: &[GeneralName<'_>]) -> Self {
        let mut names = Names::default();
        for name in list {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => names.emails.push((*name).to_owned()),
                GeneralName::URI(name) => names.uris.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }

    pub fn is_empty(&self) -> bool {
        *self == Names::default()
    }
}

/// Whether the key made the certificate's signature.
pub(super) fn is_signed_by(certificate: &[u8], key: &SubjectKey) -> bool {
    let Ok((_, found)) = X509Certificate::from_der(certificate) else { return false };
    let Ok((_, spki)) = SubjectPublicKeyInfo::from_der(key.der()) else { return false };
    found.verify_signature(Some(&spki)).is_ok()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Common name (the last one counts, as in Go) and organizations.
pub(super) fn subject_texts(subject: &X509Name<'_>) -> (String, Vec<String>) {
    let common = subject.iter_common_name().filter_map(|name| name.as_str().ok()).last();
    let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok());
    (common.unwrap_or_default().to_owned(), organizations.map(str::to_owned).collect())
}

fn moment(time: ASN1Time) -> Result<Timestamp, Error> {
    Timestamp::from_second(time.timestamp()).map_err(|error| Error::ReadCertificate(error.to_string()))
}

/// The certificates of a PEM text, as DER.
///
/// # Errors
/// [`Error::ReadCertificate`].
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::ReadCertificate(error.to_string()))
}

/// `sha256:` and the hash of an authority's public key, as kubeadm pins it.
///
/// # Errors
/// [`Error::ReadCertificate`].
pub fn ca_hash(certificate: &str) -> Result<String, Error> {
    let parsed = Parsed::from_pem(certificate)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, parsed.public_key.der());
    Ok(format!("sha256:{}", crate::secret::hex(digest.as_ref())))
}

/// True once less than a third of a certificate's life is left, or it cannot be read.
pub fn needs_renewal(certificate: &str, now: Timestamp) -> bool {
    let Ok(parsed) = Parsed::from_pem(certificate) else { return true };
    let life = parsed.not_after.duration_since(parsed.not_before);
    parsed.not_after.duration_since(now) < life / 3
}
