//! CertificateSigningRequest and its kin: says who asked, and keeps what approvers and signers may change
//! apart.

pub mod pod_request;
mod signing_request;
mod trust_bundle;

pub use trust_bundle::CLUSTER_TRUST_BUNDLE;

use crate::declared::path_segment;
use crate::rules::keep_all_but_status_and_metadata;
use crate::tree::{default_text, items, items_mut, text};
use crate::{Context, Strategy};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

pub struct CertificateSigningRequest;

const GROUP: &str = "certificates.k8s.io";

pub const POD_CERTIFICATE_REQUEST: pod_request::PodCertificateRequest = pod_request::PodCertificateRequest;

/// Seconds; a certificate for less is of no use.
const SHORTEST: i64 = 600;
/// Conditions that only the approval subresource sets.
const VERDICTS: &[&str] = &["Approved", "Denied"];

impl Strategy for CertificateSigningRequest {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("certificates.k8s.io", "CertificateSigningRequest")
    }

    fn prepare_create(&self, object: &mut Value, context: &Context<'_>) {
        object["status"] = json!({});
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        spec.insert("username".to_owned(), context.user_name.into());
        if !context.user_uid.is_empty() {
            spec.insert("uid".to_owned(), context.user_uid.into());
        }
        if !context.user_groups.is_empty() {
            spec.insert("groups".to_owned(), context.user_groups.into());
        }
        if !context.user_extra.is_empty() {
            spec.insert("extra".to_owned(), json!(context.user_extra));
        }
    }

    /// What is asked for never changes.
    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        new["spec"] = old["spec"].clone();
        new["status"] = old["status"].clone();
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        keep_all_but_status_and_metadata(new, old);
        if context.subresource == "approval" {
            keep_certificate(new, old);
        } else {
            keep_conditions(new, old, |kind| VERDICTS.contains(&kind));
        }
        set_times(new, old, context);
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        signing_request::check(new, old, errors);
    }

    fn validate_status_update(&self, new: &Value, old: &Value, context: &Context<'_>) -> ErrorList {
        let (mut errors, path) = (ErrorList::new(), Path::new("status"));
        signing_request::check_status(new, Some(old), &mut errors);
        for kind in VERDICTS.iter().chain(&["Failed"]).filter(|kind| has(old, kind) && !has(new, kind)) {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path.child("conditions"), &why));
        }
        let certificate = |object: &Value| text(&object["status"], "certificate").to_owned();
        if context.subresource != "approval" && !certificate(old).is_empty() && certificate(new) != certificate(old) {
            let why = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(&path.child("certificate"), why));
        }
        errors
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        vec![("spec.signerName".into(), text(&object["spec"], "signerName").to_owned())]
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        path_segment(name, prefix)
    }
}

/// `example.com/signer-name`
pub fn check_signer_name(signer: &str, path: &Path, errors: &mut ErrorList) {
    let is_qualified = signer.split_once('/').is_some_and(|(domain, name)| {
        domain.contains('.') && !name.is_empty() && meta::validation::dns1123_subdomain(domain).is_empty()
    });
    if !is_qualified {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, signer, why));
    }
}

fn has(request: &Value, kind: &str) -> bool {
    items(&request["status"], "conditions").iter().any(|condition| text(condition, "type") == kind)
}

fn keep_certificate(new: &mut Value, old: &Value) {
    match old["status"].get("certificate") {
        Some(certificate) => new["status"]["certificate"] = certificate.clone(),
        None => {
            if let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) {
                status.remove("certificate");
            }
        }
    }
}

/// When a condition came is the server's to say, unless its setter did.
fn set_times(new: &mut Value, old: &Value, context: &Context<'_>) {
    let now = meta::time::format(context.now);
    let Some(status) = new.get_mut("status") else { return };
    for condition in items_mut(status, "conditions") {
        let before = items(&old["status"], "conditions").iter().find(|one| one["type"] == condition["type"]);
        if before.is_none() {
            default_text(condition, "lastUpdateTime", &now);
            default_text(condition, "lastTransitionTime", &now);
        }
    }
}

/// Conditions of some types stay as they were, whatever was sent.
fn keep_conditions(new: &mut Value, old: &Value, kept: impl Fn(&str) -> bool) {
    let mut conditions: Vec<Value> =
        items(&old["status"], "conditions").iter().filter(|one| kept(text(one, "type"))).cloned().collect();
    conditions.extend(items(&new["status"], "conditions").iter().filter(|one| !kept(text(one, "type"))).cloned());
    if !conditions.is_empty() {
        new["status"]["conditions"] = conditions.into();
    } else if let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("conditions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn approvers_and_signers_change_their_own_part_only() {
        let extra = BTreeMap::new();
        let groups = ["g".to_owned()];
        let mut context = Context {
            now: base::Timestamp::UNIX_EPOCH,
            user_name: "u",
            user_uid: "",
            user_groups: &groups,
            user_extra: &extra,
            subresource: "",
        };
        let rules = CertificateSigningRequest;
        let mut made = json!({"spec": {"signerName": "a.b/c", "usages": ["client auth"], "username": "root"},
            "status": {"conditions": [{"type": "Approved"}]}});
        rules.prepare_create(&mut made, &context);
        assert_eq!((&made["spec"]["username"], &made["spec"]["groups"]), (&json!("u"), &json!(["g"])));
        assert_eq!(made["status"], json!({}));
        let mut approved = made.clone();
        approved["status"] = json!({"conditions": [{"type": "Approved"}, {"type": "Failed"}], "certificate": "x"});
        context.subresource = "approval";
        rules.prepare_status_update(&mut approved, &made, &context);
        assert_eq!(approved["status"]["certificate"], Value::Null);
        assert_eq!(items(&approved["status"], "conditions").len(), 2, "an approver may set any condition");
        context.subresource = "status";
        let mut signed = approved.clone();
        signed["status"] = json!({"certificate": "x"});
        rules.prepare_status_update(&mut signed, &approved, &context);
        assert!(has(&signed, "Approved"));
        assert_eq!(signed["status"]["certificate"], "x");
    }
}
