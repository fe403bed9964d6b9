//! CertificateSubjectRestriction: no certificate of the API server's client signer makes its holder
//! almighty.

use crate::certificate_approval::GROUP;
use crate::paths::text;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::Status;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(CertificateSubjectRestriction)
}

struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn validate(&self, request: &Attributes<'_>, _: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let concerned = request.is(GROUP, "certificatesigningrequests");
        if !concerned || text(&request.object, &["spec", "signerName"]) != SIGNER {
            return Ok(());
        }
        let subject = subject(&request.object).map_err(|why| request.forbid(&format!("failed to parse CSR: {why}")))?;
        if subject.organizations.iter().any(|group| group == MASTERS) {
            return Err(request.forbid(&format!("use of {SIGNER} signer with {MASTERS} group is not allowed")));
        }
        Ok(())
    }
}

/// Whom a CertificateSigningRequest asks a certificate for.
pub(crate) struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

/// Reads `spec.request`: PEM in base64.
pub(crate) fn subject(object: &Value) -> Result<Subject, &'static str> {
    const NO_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(text(object, &["spec", "request"])).map_err(|_| NO_PEM)?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| NO_PEM)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(NO_PEM);
    }
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents).map_err(|_| "asn1: structure error")?;
    let subject = &parsed.certification_request_info.subject;
    let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok());
    let common_name = subject.iter_common_name().filter_map(|name| name.as_str().ok()).last();
    Ok(Subject {
        organizations: organizations.map(str::to_owned).collect(),
        common_name: common_name.unwrap_or_default().to_owned(),
    })
}
