//! Who may do what, and how they prove who they are.

use super::cells::{NONE, age, at_or, len, name};
use super::{AGE, NAME, Printer, text, wide};
use crate::tree::{items, text as text_of};
use base::Timestamp;
use serde_json::Value;

const RBAC: &str = "rbac.authorization.k8s.io";

pub const ROLE_BINDING: Printer = Printer {
    group: RBAC,
    kind: "RoleBinding",
    columns: &[NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")],
    cells: binding,
};

pub const CLUSTER_ROLE_BINDING: Printer =
    Printer { group: RBAC, kind: "ClusterRoleBinding", columns: ROLE_BINDING.columns, cells: binding };

pub const SERVICE_ACCOUNT: Printer = Printer {
    group: "",
    kind: "ServiceAccount",
    columns: &[NAME, text("Secrets"), AGE],
    cells: |account, now| vec![name(account), len(account, "/secrets").into(), age(account, now)],
};

pub const CERTIFICATE_SIGNING_REQUEST: Printer = Printer {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    columns: &[NAME, AGE, text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")],
    cells: |request, now| {
        let duration = request["spec"]["expirationSeconds"].as_i64();
        vec![
            name(request),
            age(request, now),
            at_or(request, "/spec/signerName", NONE),
            at_or(request, "/spec/username", ""),
            duration.map_or(NONE.to_owned(), super::human_duration).into(),
            request_state(request).into(),
        ]
    },
};

pub const CLUSTER_TRUST_BUNDLE: Printer = Printer {
    group: "certificates.k8s.io",
    kind: "ClusterTrustBundle",
    columns: &[NAME, text("SignerName")],
    cells: |bundle, _| vec![name(bundle), at_or(bundle, "/spec/signerName", NONE)],
};

fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = &binding["roleRef"];
    let subjects = |kind: &str| {
        let subjects = items(binding, "subjects").iter().filter(|subject| text_of(subject, "kind") == kind);
        let names: Vec<String> = subjects
            .map(|subject| match text_of(subject, "namespace") {
                "" => text_of(subject, "name").to_owned(),
                namespace => format!("{namespace}/{}", text_of(subject, "name")),
            })
            .collect();
        Value::String(names.join(", "))
    };
    vec![
        name(binding),
        format!("{}/{}", text_of(role, "kind"), text_of(role, "name")).into(),
        age(binding, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn request_state(request: &Value) -> String {
    let conditions = items(&request["status"], "conditions");
    let has = |kind: &str| conditions.iter().any(|condition| text_of(condition, "type") == kind);
    let mut state = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text_of(&request["status"], "certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}
