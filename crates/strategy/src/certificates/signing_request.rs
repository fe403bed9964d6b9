//! What a CertificateSigningRequest must be like: the request itself and who proves it, what for, and
//! which conditions and certificate its status may carry. As upstream's validation of v1; what an object
//! had before stays allowed.

use super::{SHORTEST, check_signer_name, has};
use crate::tree::{items, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::FromDer as _;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// They hold or are not there.
const ALWAYS_TRUE: &[&str] = &["Approved", "Denied", "Failed"];
const ANY_STATUS: &[&str] = &["False", "True", "Unknown"];

pub(super) fn check(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&new["spec"], Path::new("spec"));
    if let Err(why) = request(text(spec, "request")) {
        errors.push(FieldError::invalid(&path.child("request"), text(spec, "request"), why));
    }
    usages(new, old, &path.child("usages"), errors);
    check_signer_name(text(spec, "signerName"), &path.child("signerName"), errors);
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < SHORTEST) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, why));
    }
    check_status(new, old, errors);
}

pub(super) fn check_status(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::new("status");
    conditions(new, old, &path.child("conditions"), errors);
    let chain = text(&new["status"], "certificate");
    let is_old = old.is_some_and(|old| text(&old["status"], "certificate") == chain);
    if let Err(why) = certificate(chain)
        && !is_old
    {
        errors.push(FieldError::invalid(&path.child("certificate"), "<certificate data>", &why));
    }
}

/// Whether this is PEM of a request that was made with its own key.
fn request(encoded: &str) -> Result<(), &'static str> {
    const NO_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
    const ED25519: &str = "1.3.101.112";
    let pem = STANDARD.decode(encoded).map_err(|_| NO_PEM)?;
    let (_, block) = parse_x509_pem(&pem).map_err(|_| NO_PEM)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(NO_PEM);
    }
    let Ok((rest, request)) = X509CertificationRequest::from_der(&block.contents) else {
        return Err("asn1: structure error");
    };
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data");
    }
    if keys::is_proven(&request) {
        return Ok(());
    }
    let key = &request.certification_request_info.subject_pki.algorithm;
    Err(match key.algorithm.to_id_string().as_str() {
        RSA_ENCRYPTION => "crypto/rsa: verification error",
        ED25519 => "x509: Ed25519 verification failure",
        _ => "x509: ECDSA verification failure",
    })
}

fn usages(new: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let now = items(&new["spec"], "usages");
    if now.is_empty() {
        errors.push(FieldError::required(path, "usages must be provided"));
    }
    // They never change.
    if old.is_some() {
        return;
    }
    for (at, usage) in now.iter().enumerate() {
        let name = usage.as_str().unwrap_or_default();
        if !USAGES.contains(&name) {
            errors.push(FieldError::not_supported(&path.index(at), name, USAGES));
        }
        if now[..at].contains(usage) {
            errors.push(FieldError::duplicate(&path.index(at), name));
        }
    }
}

fn conditions(new: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    let of = |object: &Value| -> Vec<String> {
        items(&object["status"], "conditions").iter().map(|condition| text(condition, "type").to_owned()).collect()
    };
    let before = old.map(of).unwrap_or_default();
    let was_twice = |kind: &str| before.iter().filter(|one| *one == kind).count() > 1;
    let was_both = old.is_some_and(|old| has(old, "Approved") && has(old, "Denied"));
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in items(&new["status"], "conditions").iter().enumerate() {
        let (here, kind) = (path.index(at), text(condition, "type"));
        if kind.is_empty() && !before.iter().any(String::is_empty) {
            errors.push(FieldError::required(&here.child("type"), ""));
        }
        let allowed = if ALWAYS_TRUE.contains(&kind) { &["True"] } else { ANY_STATUS };
        match text(condition, "status") {
            "" => errors.push(FieldError::required(&here.child("status"), "")),
            status if !allowed.contains(&status) => {
                errors.push(FieldError::not_supported(&here.child("status"), status, allowed));
            }
            _ => {}
        }
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(&other) && !was_both {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&here.child("type"), kind, why));
        }
        if seen.contains(&kind) && !was_twice(kind) {
            errors.push(FieldError::duplicate(&here.child("type"), kind));
        }
        seen.push(kind);
    }
}

/// Whether this is nothing, or certificates in PEM and nothing but them.
fn certificate(encoded: &str) -> Result<(), String> {
    let chain = STANDARD.decode(encoded).unwrap_or_default();
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&chain) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        X509Certificate::from_der(&block.contents).map_err(|_| "x509: malformed certificate".to_owned())?;
        blocks += 1;
    }
    if blocks == 0 && !chain.is_empty() {
        return Err("must contain one or more CERTIFICATE PEM blocks".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// With a key on P-256.
    const REQUEST: &str = include_str!("signing_request/jane.csr");

    fn told(new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut errors = ErrorList::new();
        check(new, old, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn object() -> Value {
        json!({"spec": {"request": STANDARD.encode(REQUEST), "signerName": "example.com/one", "usages": ["client auth"]}})
    }

    #[test]
    fn requests_that_prove_nothing_are_refused() {
        assert_eq!(told(&object(), None), Vec::<String>::new());
        let of = |pem: &str| {
            let mut object = object();
            object["spec"]["request"] = STANDARD.encode(pem).into();
            told(&object, None).pop().unwrap_or_default()
        };
        assert!(of("rubbish").ends_with("PEM block type must be CERTIFICATE REQUEST"));
        assert!(of(&REQUEST.replace(" REQUEST", "")).ends_with("PEM block type must be CERTIFICATE REQUEST"));
        let (_, block) = parse_x509_pem(REQUEST.as_bytes()).unwrap();
        let pem = |der: &[u8]| {
            format!(
                "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
                STANDARD.encode(der)
            )
        };
        assert!(of(&pem(b"0\x01")).ends_with("asn1: structure error"));
        let jane = block.contents.windows(4).position(|four| four == b"jane").unwrap();
        let mut joan = block.contents.clone();
        joan[jane + 1] = b'o';
        assert!(of(&pem(&joan)).ends_with("x509: ECDSA verification failure"));
    }

    #[test]
    fn specs_are_told_what_is_wrong() {
        for (field, value, wanted) in [
            ("usages", json!([]), "spec.usages: Required value: usages must be provided"),
            (
                "usages",
                json!(["any", "cooking"]),
                "spec.usages[1]: Unsupported value: \"cooking\": supported values: \"any\", ",
            ),
            ("usages", json!(["any", "any"]), "spec.usages[1]: Duplicate value: \"any\""),
            (
                "expirationSeconds",
                json!(599),
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
            ),
        ] {
            let mut wrong = object();
            wrong["spec"][field] = value;
            let told = told(&wrong, None);
            assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
        }
    }

    #[test]
    fn statuses_are_told_what_is_wrong_unless_it_was_so_before() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
        for (status, wanted) in [
            (json!({"conditions": [condition("", "True")]}), "status.conditions[0].type: Required value"),
            (json!({"conditions": [condition("Mine", "")]}), "status.conditions[0].status: Required value"),
            (
                json!({"conditions": [condition("Mine", "Maybe")]}),
                "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            ),
            (
                json!({"conditions": [condition("Failed", "False")]}),
                "status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\"",
            ),
            (
                json!({"conditions": [condition("Approved", "True"), condition("Denied", "True")]}),
                "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ),
            (
                json!({"conditions": [condition("Mine", "True"), condition("Mine", "True")]}),
                "status.conditions[1].type: Duplicate value: \"Mine\"",
            ),
            (
                json!({"certificate": STANDARD.encode("x")}),
                "status.certificate: Invalid value: \"<certificate data>\": must contain one or more CERTIFICATE PEM blocks",
            ),
            (
                json!({"certificate": STANDARD.encode(REQUEST)}),
                "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \
                 \"CERTIFICATE REQUEST\"",
            ),
        ] {
            let mut wrong = object();
            wrong["status"] = status;
            assert_eq!(told(&wrong, Some(&object())), [wanted]);
            let is_tolerated = !wanted.contains("].status");
            assert_eq!(told(&wrong, Some(&wrong)).is_empty(), is_tolerated, "{wanted}");
        }
    }
}
