//! CertificateSigningRequest: who asked is the server's word; approval and certificate come in
//! through doors of their own.

use crate::tree::{items, text};
use crate::{Context, Strategy};
use serde_json::{Value, json};

pub struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("certificates.k8s.io", "CertificateSigningRequest")
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        if items(spec, "usages").is_empty() {
            spec["usages"] = json!(["digital signature", "key encipherment"]);
        }
    }

    fn prepare_create(&self, object: &mut Value, context: &Context<'_>) {
        let spec = &mut object["spec"];
        spec["username"] = context.user_name.into();
        spec["uid"] = context.user_uid.into();
        spec["groups"] = json!(context.user_groups);
        object["status"] = json!({});
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        for field in ["spec", "status"] {
            new[field] = old[field].clone();
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        let wanted = new["status"].take();
        let managed = new["metadata"]["managedFields"].take();
        let revision = new["metadata"]["resourceVersion"].take();
        *new = old.clone();
        new["metadata"]["managedFields"] = managed;
        new["metadata"]["resourceVersion"] = revision;
        let is_approval = context.subresource == "approval";
        let decides = |condition: &Value| matches!(text(condition, "type"), "Approved" | "Denied");
        // Approving is one door, signing the other; neither passes through what is not its own.
        let (taken_from, kept_from) = if is_approval { (&wanted, &old["status"]) } else { (&old["status"], &wanted) };
        let mut conditions: Vec<Value> = items(taken_from, "conditions").iter().filter(|one| decides(one)).cloned().collect();
        conditions.extend(items(kept_from, "conditions").iter().filter(|one| !decides(one)).cloned());
        let now = crate::seconds(context.now);
        for condition in &mut conditions {
            for field in ["lastUpdateTime", "lastTransitionTime"] {
                if condition[field].is_null() {
                    condition[field] = now.clone().into();
                }
            }
        }
        let certificate = if is_approval { old["status"]["certificate"].clone() } else { wanted["certificate"].clone() };
        new["status"] = json!({});
        if !conditions.is_empty() {
            new["status"]["conditions"] = conditions.into();
        }
        if !certificate.is_null() {
            new["status"]["certificate"] = certificate;
        }
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", text(&object["spec"], "signerName").to_owned())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(subresource: &'static str) -> Context<'static> {
        let now = base::Timestamp::from_second(0).unwrap();
        Context { now, user_name: "jane", user_uid: "", user_groups: &[], subresource }
    }

    #[test]
    fn each_door_changes_its_own_part() {
        let approved = json!({"type": "Approved", "status": "True"});
        let old = json!({"spec": {"signerName": "a"}, "status": {}});
        let mut new = json!({"spec": {"signerName": "b"}, "status": {"conditions": [approved], "certificate": "x"}});
        CertificateSigningRequest.prepare_status_update(&mut new, &old, &context("approval"));
        assert_eq!(new["spec"]["signerName"], "a");
        assert_eq!(new["status"]["conditions"][0]["lastUpdateTime"], "1970-01-01T00:00:00Z");
        assert!(new["status"].get("certificate").is_none());
        let old = new.clone();
        let mut signed = json!({"status": {"certificate": "x", "conditions": []}});
        CertificateSigningRequest.prepare_status_update(&mut signed, &old, &context("status"));
        assert_eq!(signed["status"]["certificate"], "x");
        assert_eq!(signed["status"]["conditions"][0]["type"], "Approved");
    }
}
