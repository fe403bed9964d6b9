//! PodCertificateRequest: a node asks for one of its pods, a signer answers once and for all.

use super::{GROUP, check_signer_name, has};
use crate::check;
use crate::rules::{drop_status, keep_all_but_status_and_metadata};
use crate::tree::{items, text};
use crate::{Context, Strategy};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

pub struct PodCertificateRequest;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Longest life of a certificate; signers of Kubernetes' own give a day at most.
const LONGEST: i64 = 91 * DAY;
const MAX_UID: usize = 128;
const MAX_REQUEST: usize = 10 * 1024;
const MAX_CHAIN: usize = 100 * 1024;
/// Seconds between the ends of a certificate's life and its renewal, and between the clocks of
/// signer and server.
const MARGIN: i64 = 600;
const SKEW: i64 = 300;
/// A request ends with one of these.
const ENDS: &[&str] = &["Issued", "Denied", "Failed"];

impl Strategy for PodCertificateRequest {
    fn group_kind(&self) -> (&'static str, &'static str) {
        (GROUP, "PodCertificateRequest")
    }

    fn prepare_create(&self, object: &mut Value, _context: &Context<'_>) {
        drop_status(object);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        keep_all_but_status_and_metadata(new, old);
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let path = Path::new("spec");
        match old {
            Some(old) => check::immutable(errors, &path, &new["spec"], &old["spec"]),
            None => validate_spec(&new["spec"], &path, errors),
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value, context: &Context<'_>) -> ErrorList {
        let mut errors = ErrorList::new();
        conditions(new, &mut errors);
        if errors.is_empty() {
            verdict(new, old, context.now, &mut errors);
        }
        errors
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        let field = |name: &'static str| (format!("spec.{name}").into(), text(&object["spec"], name).to_owned());
        ["signerName", "podName", "nodeName"].map(field).into()
    }
}

fn validate_spec(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let signer = text(spec, "signerName");
    check_signer_name(signer, &path.child("signerName"), errors);
    user_annotations(&spec["unverifiedUserAnnotations"], &path.child("unverifiedUserAnnotations"), errors);
    for field in ["podName", "serviceAccountName", "nodeName"] {
        check::all(errors, &path.child(field), text(spec, field), validation::dns1123_subdomain(text(spec, field)));
    }
    for field in ["podUID", "serviceAccountUID", "nodeUID"] {
        match text(spec, field) {
            "" => errors.push(FieldError::invalid(&path.child(field), "", "must not be empty")),
            uid if uid.len() > MAX_UID => errors.push(FieldError::too_long(&path.child(field), MAX_UID)),
            _ => {}
        }
    }
    let seconds = path.child("maxExpirationSeconds");
    let longest = longest(signer);
    match spec["maxExpirationSeconds"].as_i64() {
        None => errors.push(FieldError::required(&seconds, "must be set")),
        Some(asked) if !(HOUR..=longest).contains(&asked) => {
            errors.push(FieldError::invalid(&seconds, asked, &format!("must be in the range [{HOUR}, {longest}]")));
        }
        Some(_) => {}
    }
    stub(spec, &path.child("stubPKCS10Request"), errors);
}

/// What may be asked for of a signer, in seconds.
pub fn longest(signer: &str) -> i64 {
    let domain = signer.split('/').next().unwrap_or_default();
    if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") { DAY } else { LONGEST }
}

/// Keys are those of annotations, and have a domain.
pub fn user_annotations(annotations: &Value, path: &Path, errors: &mut ErrorList) {
    for key in annotations.as_object().into_iter().flatten().map(|(key, _)| key) {
        check::all(errors, path, key.as_str(), validation::qualified_name(&key.to_lowercase()));
        if !key.contains('/') {
            errors.push(FieldError::invalid(
                path,
                key.as_str(),
                "must be a domain-prefixed key (such as \"acme.io/foo\")",
            ));
        }
    }
}

/// The node proves that it holds the key; nothing else is taken from the request.
fn stub(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let der = STANDARD.decode(text(spec, "stubPKCS10Request")).unwrap_or_default();
    if der.len() > MAX_REQUEST {
        errors.push(FieldError::too_long(path, MAX_REQUEST));
        return;
    }
    let mut wrong = |why: &str| errors.push(FieldError::invalid(path, "<value omitted>", why));
    match X509CertificationRequest::from_der(&der) {
        Ok(([], request)) if !keys::is_proven(&request) => wrong("could not verify the signature"),
        Ok(([], _)) => {}
        _ => wrong("must be a valid PKCS#10 certificate signing request"),
    }
}

fn conditions(new: &Value, errors: &mut ErrorList) {
    let path = Path::new("status").child("conditions");
    let mut ended = false;
    for (at, condition) in items(&new["status"], "conditions").iter().enumerate() {
        let (here, kind) = (path.index(at), text(condition, "type"));
        if !ENDS.contains(&kind) {
            errors.push(FieldError::not_supported(&here.child("type"), kind, ENDS));
            continue;
        }
        if std::mem::replace(&mut ended, true) {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(FieldError::invalid(&here.child("type"), kind, why));
        }
        check::required_one_of(errors, &here.child("status"), text(condition, "status"), &["True"]);
    }
}

fn verdict(new: &Value, old: &Value, now: Timestamp, errors: &mut ErrorList) {
    let path = Path::new("status");
    let (status, before) = (&new["status"], &old["status"]);
    if ENDS.iter().any(|kind| has(old, kind)) {
        if status != before {
            let why = "immutable after PodCertificateRequest is issued, denied, or failed";
            errors.push(FieldError::invalid(&path, status.clone(), why));
        }
        return;
    }
    if has(new, "Issued") {
        if let Err(error) = certificate(new, now) {
            errors.push(error);
        }
        return;
    }
    if status.as_object().into_iter().flatten().any(|(field, _)| field != "conditions") {
        let why = match has(new, "Denied") || has(new, "Failed") {
            true => "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
            false => "non-condition status fields must be empty before the PodCertificateRequest is issued",
        };
        errors.push(FieldError::invalid(&path, status.clone(), why));
    }
}

/// The certificate is for the key that was shown, and the status says of it what it says itself.
fn certificate(new: &Value, now: Timestamp) -> Result<(), FieldError> {
    let (spec, status, path) = (&new["spec"], &new["status"], Path::new("status"));
    let chain = text(status, "certificateChain");
    let place = path.child("certificateChain");
    let wrong = |why: &str| FieldError::invalid(&place, "<value omitted>", why);
    if chain.len() > MAX_CHAIN {
        return Err(FieldError::too_long(&place, MAX_CHAIN));
    }
    let none = "issued certificate chain must contain at least one certificate";
    let (_, block) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).map_err(|_| wrong(none))?;
    if block.label != "CERTIFICATE" {
        return Err(wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks"));
    }
    let unreadable = || wrong("leaf certificate does not parse as valid X.509");
    let (_, leaf) = X509Certificate::from_der(&block.contents).map_err(|_| unreadable())?;
    let stub = STANDARD.decode(text(spec, "stubPKCS10Request")).unwrap_or_default();
    let asked = X509CertificationRequest::from_der(&stub).map_err(|_| unreadable())?.1;
    if asked.certification_request_info.subject_pki.raw != leaf.public_key().raw {
        return Err(wrong("leaf certificate was not issued to the requested public key"));
    }
    let (starts, ends) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let of_leaf = "must be present and consistent with the issued certificate";
    let time = |field: &str, otherwise: &str| {
        let given = text(status, field).parse::<Timestamp>();
        given.map(|time| time.as_second()).map_err(|_| FieldError::required(&path.child(field), otherwise))
    };
    let differs = |field: &str, why: &str| FieldError::invalid(&path.child(field), text(status, field), why);
    if time("notBefore", of_leaf)? != starts {
        return Err(differs("notBefore", "must be set to the NotBefore time encoded in the leaf certificate"));
    }
    if time("notAfter", of_leaf)? != ends {
        return Err(differs("notAfter", "must be set to the NotAfter time encoded in the leaf certificate"));
    }
    if (starts - now.as_second()).abs() > SKEW {
        return Err(differs("notBefore", "must be set to within 5 minutes of kube-apiserver's current time"));
    }
    if ends - starts < HOUR {
        return Err(wrong("leaf certificate lifetime must be >= 1 hour"));
    }
    let most = spec["maxExpirationSeconds"].as_i64().unwrap_or(DAY);
    if ends - starts > most {
        return Err(wrong(&format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})")));
    }
    let renewal = time("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]")?;
    if renewal < starts + MARGIN {
        return Err(differs("beginRefreshAt", "must be at least 10 minutes after status.notBefore"));
    }
    if renewal > ends - MARGIN {
        return Err(differs("beginRefreshAt", "must be at least 10 minutes before status.notAfter"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
