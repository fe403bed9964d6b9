//! Certificate signing requests (PKCS#10): made by a node, read by the signer.

use super::authority::{SUBJECT_ALT_NAME, alt_names, extension, name};
use super::key::{Key, SubjectKey};
use super::parsed::{Names, subject_texts};
use super::{Error, der, pem};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

/// pkcs-9-at-extensionRequest
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// A request whose signature was checked.
#[derive(Debug, Clone)]
pub struct Request {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub names: Names,
    pub public_key: SubjectKey,
    /// The subject as it was written.
    pub(super) subject: Vec<u8>,
    /// The SubjectAltName extension's value as it was written.
    pub(super) alt_names: Option<Vec<u8>>,
}

impl Request {
    /// Asks for a certificate of `key`; PEM.
    ///
    /// # Errors
    /// No signature can be made.
    pub fn create(key: &Key, common_name: &str, organizations: &[&str], names: &[String]) -> Result<String, Error> {
        let attributes = if names.is_empty() {
            Vec::new()
        } else {
            let extensions = der::sequence(&[&extension(SUBJECT_ALT_NAME, false, &alt_names(names))]);
            der::sequence(&[&der::oid(EXTENSION_REQUEST), &der::tlv(der::SET, &[&extensions])])
        };
        let subject = name(common_name, organizations);
        let to_sign = der::sequence(&[
            &der::integer(&[0]),
            &subject,
            key.public().subject().der(),
            &der::context(0, &[&attributes]),
        ]);
        let signature = der::bit_string(&key.sign(&to_sign)?);
        Ok(pem("CERTIFICATE REQUEST", &der::sequence(&[&to_sign, &key.signature_algorithm(), &signature])))
    }

    /// Reads a request in PEM and checks that its sender holds the key.
    ///
    /// # Errors
    /// [`Error::ReadRequest`], [`Error::RequestSignature`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let bad = |error: String| Error::ReadRequest(error);
        let der = CertificateSigningRequestDer::from_pem_slice(text).map_err(|error| bad(error.to_string()))?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|error| bad(error.to_string()))?;
        if !rest.is_empty() {
            return Err(bad("trailing data".to_owned()));
        }
        if !keys::is_proven(&request) {
            return Err(Error::RequestSignature);
        }
        let info = &request.certification_request_info;
        let (common_name, organizations) = subject_texts(&info.subject);
        let mut names = Names::default();
        let mut written = None;
        for found in info.iter_attributes() {
            let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) = found.parsed_attribute()
            else {
                continue;
            };
            for extension in &asked.extensions {
                if let ParsedExtension::SubjectAlternativeName(list) = extension.parsed_extension() {
                    names = Names::new(&list.general_names);
                    written = Some(extension.value.to_vec());
                }
            }
        }
        Ok(Request {
            common_name,
            organizations,
            names,
            public_key: SubjectKey::from_spki(info.subject_pki.raw)?,
            subject: info.subject.as_raw().to_vec(),
            alt_names: written,
        })
    }
}
