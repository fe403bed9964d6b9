//! ClusterTrustBundle: the authorities that a signer's certificates, or any others, are believed by.
//!
//! What is in a bundle is read once, when it is written: who takes it from there need not doubt it.

use super::{GROUP, check_signer_name};
use crate::check;
use crate::declared::Declared;
use crate::tree::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{ErrorList, FieldError, Path};
use meta::validation::dns1123_subdomain;
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

const LARGEST: usize = 1 << 20;

/// The name depends on the signer, so it is checked with the rest.
pub const CLUSTER_TRUST_BUNDLE: Declared = Declared::new(GROUP, "ClusterTrustBundle")
    .named(|_, _| Vec::new())
    .validates(validate)
    .selected_by(|bundle| vec![("spec.signerName".into(), text(&bundle["spec"], "signerName").to_owned())]);

fn validate(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&new["spec"], Path::new("spec"));
    let (signer, name) = (text(spec, "signerName"), text(&new["metadata"], "name"));
    check::all(errors, &Path::new("metadata").child("name"), name, name_problems(name, signer));
    if !signer.is_empty() {
        check_signer_name(signer, &path.child("signerName"), errors);
    }
    let old = old.map(|old| &old["spec"]);
    // What was taken once stays.
    if old.is_none_or(|old| old["trustBundle"] != spec["trustBundle"]) {
        check_bundle(text(spec, "trustBundle"), &path.child("trustBundle"), errors);
    }
    if let Some(before) = old.map(|old| text(old, "signerName")).filter(|before| *before != signer) {
        check::immutable(errors, &path.child("signerName"), &signer.into(), &before.into());
    }
}

/// Bundles of a signer are named after it, with colons in place of its slashes.
fn name_problems(name: &str, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        return match name.contains(':') {
            true => vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()],
            false => dns1123_subdomain(name),
        };
    }
    let start = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&start) {
        Some(own) => dns1123_subdomain(own),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {start}")],
    }
}

fn check_bundle(bundle: &str, path: &Path, errors: &mut ErrorList) {
    if bundle.len() > LARGEST {
        errors.push(FieldError::too_long(path, LARGEST));
        return;
    }
    let mut wrong = |why: String| errors.push(FieldError::invalid(path, "<value omitted>", &why));
    let blocks = blocks(bundle);
    let mut is_sound = true;
    for (at, block) in blocks.iter().enumerate() {
        if let Err(why) = check_block(block) {
            wrong(format!("entry {at} {why}"));
            is_sound = false;
        }
    }
    if !is_sound {
        return;
    }
    if blocks.is_empty() {
        wrong("at least one trust anchor must be provided".to_owned());
    }
    for (at, block) in blocks.iter().enumerate() {
        let same: Vec<usize> = (0..blocks.len()).filter(|other| blocks[*other].der == block.der).collect();
        if same.len() > 1 && same[0] == at {
            let places: Vec<String> = same.iter().map(usize::to_string).collect();
            wrong(format!("duplicate trust anchor (indices [{}])", places.join(" ")));
        }
    }
}

fn check_block(block: &Block<'_>) -> Result<(), String> {
    if block.kind != "CERTIFICATE" {
        return Err(format!("has bad block type: {}", block.kind));
    }
    if block.has_headers {
        return Err("has PEM block headers".to_owned());
    }
    let Ok(([], certificate)) = X509Certificate::from_der(&block.der) else {
        return Err("does not parse as X.509".to_owned());
    };
    if certificate.is_ca() { Ok(()) } else { Err("does not have the CA bit set".to_owned()) }
}

struct Block<'t> {
    kind: &'t str,
    has_headers: bool,
    der: Vec<u8>,
}

/// The blocks of a PEM text. As in Go, what is none, is cut off or is no base64 is passed over.
fn blocks(text: &str) -> Vec<Block<'_>> {
    fn marked<'t>(line: &'t str, word: &str) -> Option<&'t str> {
        line.trim_end().strip_prefix("-----")?.strip_prefix(word)?.strip_suffix("-----")
    }
    let (mut found, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let Some(kind) = marked(line, "BEGIN ") else { continue };
        let (mut body, mut has_headers) = (String::new(), false);
        let end = lines.by_ref().find_map(|line| match marked(line, "END ") {
            Some(end) => Some(end),
            None if body.is_empty() && line.contains(':') => {
                has_headers = true;
                None
            }
            None => {
                body.extend(line.split_ascii_whitespace());
                None
            }
        });
        if let (true, Ok(der)) = (end == Some(kind), STANDARD.decode(&body)) {
            found.push(Block { kind, has_headers, der });
        }
    }
    found
}

#[cfg(test)]
mod tests;
