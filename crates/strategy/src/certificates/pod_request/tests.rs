//! Requests as nodes make them and answers as signers give them, with certificates by openssl.

use super::*;
use serde_json::json;
use std::process::Command;

/// A request in DER and a certificate for its key (or for another) that lives so many days.
fn made(days: u32, of_another: bool) -> (Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
    };
    for name in ["a", "b"] {
        run(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
    }
    run("req -new -key a.key -subj / -outform DER -out a.csr");
    let key = if of_another { "b.key" } else { "a.key" };
    run(&format!("req -x509 -new -key {key} -subj /CN=pod -days {days} -out cert.pem"));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    (read("a.csr"), String::from_utf8(read("cert.pem")).unwrap())
}

fn request(stub: &[u8]) -> Value {
    json!({"metadata": {"name": "req-1"}, "spec": {
        "signerName": "example.com/row", "podName": "p", "podUID": "u1", "serviceAccountName": "default",
        "serviceAccountUID": "u2", "nodeName": "n1", "nodeUID": "u3", "maxExpirationSeconds": 86400,
        "stubPKCS10Request": STANDARD.encode(stub),
    }})
}

fn told(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_a_node_asks_is_checked() {
    let (stub, _) = made(1, false);
    for (field, value, expected) in [
        ("podName", json!("p"), ""),
        ("signerName", json!("none"), "spec.signerName: Invalid value: \"none\": must be a fully qualified domain"),
        ("podUID", json!(""), "spec.podUID: Invalid value: \"\": must not be empty"),
        (
            "maxExpirationSeconds",
            json!(3599),
            "spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]",
        ),
        ("maxExpirationSeconds", json!(7_862_401), "must be in the range [3600, 7862400]"),
        ("stubPKCS10Request", json!("QQ=="), "must be a valid PKCS#10 certificate signing request"),
        ("unverifiedUserAnnotations", json!({"bare": "x"}), "must be a domain-prefixed key"),
        ("unverifiedUserAnnotations", json!({"example.com/spiffe-path": "x/y"}), ""),
    ] {
        let mut asked = request(&stub);
        asked["spec"][field] = value.clone();
        let mut errors = ErrorList::new();
        PodCertificateRequest.validate(&asked, None, &mut errors);
        assert!(
            told(&errors).contains(expected) && errors.is_empty() == expected.is_empty(),
            "{field}: {}",
            told(&errors)
        );
        let mut changed = ErrorList::new();
        PodCertificateRequest.validate(&asked, Some(&request(&stub)), &mut changed);
        assert_eq!(changed.is_empty(), asked == request(&stub), "nothing asked for changes: {field} {value}");
    }
    assert_eq!(longest("kubernetes.io/x"), DAY);
    let mut forged = stub.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut errors = ErrorList::new();
    PodCertificateRequest.validate(&request(&forged), None, &mut errors);
    assert!(
        told(&errors).contains("could not verify the signature") || told(&errors).contains("PKCS#10"),
        "{errors:?}"
    );
}

#[test]
fn a_signer_answers_once_and_truly() {
    let (stub, chain) = made(1, false);
    let der = x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap().1.contents;
    let leaf = X509Certificate::from_der(&der).unwrap().1;
    let at = |second: i64| Timestamp::from_second(second).unwrap().to_string();
    let (starts, ends) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let verdict = |kind: &str| json!([{"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": at(starts)}]);
    let mut issued = request(&stub);
    issued["status"] = json!({"conditions": verdict("Issued"), "certificateChain": chain, "notBefore": at(starts),
        "notAfter": at(ends), "beginRefreshAt": at(ends - HOUR)});
    let check = |new: &Value, old: &Value| {
        let mut errors = ErrorList::new();
        conditions(new, &mut errors);
        if errors.is_empty() {
            super::verdict(new, old, Timestamp::from_second(starts + 1).unwrap(), &mut errors);
        }
        told(&errors)
    };
    let open = request(&stub);
    assert_eq!(check(&issued, &open), "");
    let (_, strange) = made(1, true);
    for (field, value, expected) in [
        ("certificateChain", json!(""), "must contain at least one certificate"),
        ("certificateChain", json!(strange), "was not issued to the requested public key"),
        ("notAfter", json!(at(ends - 1)), "must be set to the NotAfter time encoded"),
        ("beginRefreshAt", json!(at(starts + 1)), "must be at least 10 minutes after"),
        ("beginRefreshAt", json!(at(ends)), "must be at least 10 minutes before"),
        ("beginRefreshAt", Value::Null, "status.beginRefreshAt: Required value"),
        ("conditions", verdict("Denied"), "non-condition status fields must be empty"),
        ("conditions", verdict("Done"), "status.conditions[0].type: Unsupported value: \"Done\""),
    ] {
        let mut wrong = issued.clone();
        wrong["status"][field] = value;
        assert!(check(&wrong, &open).contains(expected), "{field}: {}", check(&wrong, &open));
    }
    let mut short = issued.clone();
    short["spec"]["maxExpirationSeconds"] = json!(HOUR);
    assert!(check(&short, &open).contains("lifetime must be <= spec.maxExpirationSeconds (3600)"));
    let mut denied = open.clone();
    denied["status"] = json!({"conditions": verdict("Denied")});
    assert_eq!(check(&denied, &open), "");
    assert!(check(&issued, &denied).contains("immutable after PodCertificateRequest is issued, denied, or failed"));
}
