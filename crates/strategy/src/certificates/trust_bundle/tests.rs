//! Bundles as signers write them, and wrong ones in upstream's words; certificates by openssl.

use super::*;
use crate::Strategy as _;
use serde_json::json;
use std::process::Command;

/// A certificate of an authority, or of none, in PEM.
fn certificate(name: &str, is_authority: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let constraint = if is_authority { "critical,CA:TRUE" } else { "critical,CA:FALSE" };
    let words = [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out cert -days 2",
        &format!("-subj /CN={name} -addext basicConstraints={constraint}"),
    ]
    .join(" ");
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read_to_string(folder.path().join("cert")).unwrap()
}

fn bundle(name: &str, signer: &str, pem: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}})
}

fn told(new: &Value, old: Option<&Value>) -> String {
    let mut errors = ErrorList::new();
    CLUSTER_TRUST_BUNDLE.validate(new, old, &mut errors);
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn names_go_with_their_signers() {
    let pem = certificate("one", true);
    for (name, signer, expected) in [
        ("plain", "", ""),
        ("k8s.io:foo:bar", "k8s.io/foo", ""),
        (
            "a:b",
            "",
            "metadata.name: Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its name",
        ),
        (
            "look-ma-no-prefix",
            "k8s.io/foo",
            "metadata.name: Invalid value: \"look-ma-no-prefix\": ClusterTrustBundle for signerName k8s.io/foo must be named with prefix k8s.io:foo:",
        ),
    ] {
        assert_eq!(told(&bundle(name, signer, &pem), None), expected);
    }
    assert!(told(&bundle("k8s.io:foo:", "k8s.io/foo", &pem), None).contains("a lowercase RFC 1123 subdomain"));
    assert!(told(&bundle("nothing:a", "nothing", &pem), None).starts_with("spec.signerName: Invalid value"));
}

#[test]
fn bundles_are_certificates_of_authorities_and_each_once() {
    let (one, two, leaf) = (certificate("one", true), certificate("two", true), certificate("leaf", false));
    let wrong = |why: &str| format!("spec.trustBundle: Invalid value: \"<value omitted>\": {why}");
    let body = one.lines().nth(1).unwrap();
    for (pem, expected) in [
        (format!("{one}{two}"), String::new()),
        (format!("said before\n{one}said between\n{two}\r\n"), String::new()),
        (String::new(), wrong("at least one trust anchor must be provided")),
        ("garbage".to_owned(), wrong("at least one trust anchor must be provided")),
        (format!("{two}{leaf}"), wrong("entry 1 does not have the CA bit set")),
        (format!("{one}{two}{one}"), wrong("duplicate trust anchor (indices [0 2])")),
        (one.replace("CERTIFICATE", "PUBLIC KEY"), wrong("entry 0 has bad block type: PUBLIC KEY")),
        (one.replacen(body, &format!("Key: value\n\n{body}"), 1), wrong("entry 0 has PEM block headers")),
        (
            format!("{one}-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"),
            wrong("entry 1 does not parse as X.509"),
        ),
    ] {
        assert_eq!(told(&bundle("b", "", &pem), None), expected, "{pem}");
    }
    let long = bundle("b", "", &"x".repeat(LARGEST + 1));
    assert_eq!(told(&long, None), "spec.trustBundle: Too long: may not be more than 1048576 bytes");
}

#[test]
fn what_was_taken_stays_and_the_signer_never_changes() {
    let old = bundle("b", "", "from another time");
    assert_eq!(told(&old, Some(&old)), "");
    let pem = certificate("one", true);
    let (mine, other) = (bundle("a.b:c:d", "a.b/c", &pem), bundle("a.b:c:d", "a.b/x", &pem));
    assert!(told(&mine, Some(&other)).contains("spec.signerName: Invalid value: \"a.b/c\": field is immutable"));
}
