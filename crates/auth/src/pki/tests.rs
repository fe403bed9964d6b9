//! Certificates are judged by the system's openssl, not only by what wrote them.

use super::*;
use base::Timestamp;
use jiff::SignedDuration;
use std::path::Path;
use std::process::Command;

fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

fn now() -> Timestamp {
    base::Clock::real().now()
}

fn put(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

#[test]
fn openssl_believes_what_the_authority_issues() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::generate("kubernetes", now()).unwrap();
    put(home.path(), "ca.crt", ca.certificate());
    let names = apiserver_names("cluster.local", "box", &["10.96.0.1".parse().unwrap()], &[]);
    let server = ca.issue(&Profile::server("kube-apiserver", names), now()).unwrap();
    put(home.path(), "server.crt", &server.certificate);
    put(home.path(), "server.key", &server.key);
    let verify = |purpose| {
        openssl(home.path(), &["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.crt", "server.crt"])
    };
    assert!(verify("sslserver").contains("OK"));
    let refused = Command::new("openssl")
        .args(["verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "server.crt"])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let text = openssl(home.path(), &["x509", "-in", "server.crt", "-noout", "-text"]);
    for wanted in [
        "Issuer: CN = kubernetes",
        "Subject: CN = kube-apiserver",
        "DNS:kubernetes.default.svc.cluster.local",
        "DNS:box",
        "IP Address:10.96.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let ca_text = openssl(home.path(), &["x509", "-in", "ca.crt", "-noout", "-text"]);
    assert!(ca_text.contains("CA:TRUE") && ca_text.contains("Certificate Sign"), "{ca_text}");
    openssl(home.path(), &["ec", "-in", "server.key", "-check", "-noout"]);
}

#[test]
fn a_client_belongs_to_all_its_organizations() {
    let ca = Authority::generate("kubernetes", now()).unwrap();
    let jane = ca.issue(&Profile::client("jané", &["devs", "ops", "system:masters"]), now()).unwrap();
    let parsed = Parsed::from_pem(&jane.certificate).unwrap();
    assert_eq!(parsed.common_name, "jané");
    let mut groups = parsed.organizations;
    groups.sort();
    assert_eq!(groups, ["devs", "ops", "system:masters"]);
    assert!(!parsed.is_authority);
    assert!(!needs_renewal(&jane.certificate, now()));
    assert!(needs_renewal(&jane.certificate, now() + SignedDuration::from_hours(24 * 260)));
    assert!(needs_renewal("rubbish", now()));
    let days = parsed.not_after.duration_since(now()).as_hours() / 24;
    assert!((364..=365).contains(&days), "{days}");
}

#[test]
fn requests_of_openssl_and_our_own_are_signed_as_they_ask() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::generate("kubernetes", now()).unwrap();
    put(home.path(), "ca.crt", ca.certificate());
    openssl(
        home.path(),
        &[
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "k.key",
            "-out",
            "k.csr",
            "-subj",
            "/O=system:nodes/O=more/O=third/CN=system:node:a",
            "-addext",
            "subjectAltName=DNS:a,IP:10.0.0.1",
        ],
    );
    let theirs = std::fs::read_to_string(home.path().join("k.csr")).unwrap();
    let key = Key::generate().unwrap();
    let ours =
        Request::create(&key, "system:node:b", &["system:nodes"], &["b".to_owned(), "10.0.0.2".to_owned()]).unwrap();
    put(home.path(), "ours.csr", &ours);
    assert!(openssl(home.path(), &["req", "-in", "ours.csr", "-verify", "-noout"]).contains("OK"));
    for (text, name, groups, dns) in [
        (&theirs, "system:node:a", vec!["system:nodes", "more", "third"], "a"),
        (&ours, "system:node:b", vec!["system:nodes"], "b"),
    ] {
        let request = Request::from_pem(text.as_bytes()).unwrap();
        assert_eq!((request.common_name.as_str(), request.names.dns.as_slice()), (name, &[dns.to_owned()][..]));
        assert_eq!(request.organizations, groups);
        let usages = ["digital signature", "server auth"];
        let signed = ca.sign_request(&request, &usages, SignedDuration::from_hours(1), now()).unwrap();
        put(home.path(), "signed.crt", &signed);
        openssl(
            home.path(),
            &[
                "verify",
                "-purpose",
                "sslserver",
                "-verify_ip",
                &request.names.addresses[0].to_string(),
                "-CAfile",
                "ca.crt",
                "signed.crt",
            ],
        );
        assert_eq!(Parsed::from_pem(&signed).unwrap().organizations, groups);
    }
    let request = Request::from_pem(ours.as_bytes()).unwrap();
    assert!(matches!(
        ca.sign_request(&request, &["cooking"], SignedDuration::from_hours(1), now()),
        Err(Error::Usage(_))
    ));
}

/// Users come with keys of any kind, whatever the authority's.
#[test]
fn certificates_are_for_keys_of_every_kind() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::generate("kubernetes", now()).unwrap();
    put(home.path(), "ca.crt", ca.certificate());
    let curve = |name| vec!["-newkey", "ec", "-pkeyopt", name];
    for kind in [
        curve("ec_paramgen_curve:secp384r1"),
        curve("ec_paramgen_curve:secp521r1"),
        vec!["-newkey", "ed25519"],
        vec!["-newkey", "rsa:3072"],
    ] {
        let mut asks = vec!["req", "-new", "-nodes", "-keyout", "k.key", "-out", "k.csr", "-subj", "/O=devs/CN=jane"];
        asks.extend(&kind);
        openssl(home.path(), &asks);
        let request = std::fs::read(home.path().join("k.csr")).unwrap();
        let request = Request::from_pem(&request).unwrap();
        let signed = ca.sign_request(&request, &["client auth"], SignedDuration::from_hours(1), now()).unwrap();
        put(home.path(), "k.crt", &signed);
        openssl(home.path(), &["verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "k.crt"]);
        let [leaf] = <[_; 1]>::try_from(certificates(&signed).unwrap()).unwrap();
        let jane = crate::authn::ClientCertificate::new(&leaf).unwrap().user(now()).unwrap();
        assert_eq!(jane.name, "jane", "{kind:?}");
        assert_eq!(Parsed::new(&leaf).unwrap().public_key, request.public_key);
    }
}

#[test]
fn a_request_whose_signature_is_not_its_keys_is_refused() {
    let key = Key::generate().unwrap();
    let text = Request::create(&key, "a", &[], &[]).unwrap();
    let mut der = certificates_of("CERTIFICATE REQUEST", &text);
    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(Request::from_pem(pem("CERTIFICATE REQUEST", &der).as_bytes()).is_err());
    assert!(matches!(Request::from_pem(b"nothing"), Err(Error::ReadRequest(_))));
}

fn certificates_of(label: &str, text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = text.lines().filter(|line| !line.contains(label)).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

#[test]
fn authorities_and_keys_made_by_openssl_are_used() {
    let home = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("rsa", &["-newkey", "rsa:2048"][..]),
        ("ec", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]),
        ("ec384", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]),
    ] {
        let mut all =
            vec!["req", "-x509", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=theirs"];
        all.extend(arguments);
        openssl(home.path(), &all);
        let file = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
        let ca = Authority::from_pem(&file("ca.crt"), &file("ca.key")).unwrap();
        let leaf = ca.issue(&Profile::client("a", &[]), now()).unwrap();
        put(home.path(), "leaf.crt", &leaf.certificate);
        openssl(home.path(), &["verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "leaf.crt"]);
        // Never valid for longer than its authority.
        assert_eq!(Parsed::from_pem(&leaf.certificate).unwrap().not_after, ca.not_after());
        assert!(matches!(Authority::from_pem(&leaf.certificate, &leaf.key), Err(Error::NotAnAuthority)), "{name}");
        let other = Key::generate().unwrap();
        assert!(matches!(Authority::from_pem(&file("ca.crt"), other.to_pem()), Err(Error::Mismatch)));
    }
    openssl(home.path(), &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sec1.key"]);
    openssl(home.path(), &["genrsa", "-traditional", "-out", "pkcs1.key", "2048"]);
    openssl(home.path(), &["rsa", "-in", "pkcs1.key", "-pubout", "-out", "pkcs1.pub"]);
    let file = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert_eq!(Key::from_pem(&file("sec1.key")).unwrap().public().algorithm(), Algorithm::EcdsaP256);
    let rsa = Key::from_pem(&file("pkcs1.key")).unwrap();
    assert_eq!(rsa.public(), &PublicKey::from_pem(&file("pkcs1.pub")).unwrap());
    assert_eq!(rsa.public().to_pem(), file("pkcs1.pub"));
    for (curve, key) in [("secp384r1", "p384.key"), ("secp521r1", "p521.key")] {
        openssl(home.path(), &["ecparam", "-name", curve, "-genkey", "-noout", "-out", key]);
    }
    let p384 = Key::from_pem(&file("p384.key")).unwrap();
    assert_eq!(p384.public().algorithm(), Algorithm::EcdsaP384);
    let token = crate::jwt::sign(&p384, &serde_json::json!({"a": 1})).unwrap();
    assert!(crate::jwt::verify(&[p384.public().clone()], &token).is_ok());
    assert!(matches!(Key::from_pem(&file("p521.key")), Err(Error::ReadKey(_))));
    // RS256: signed by us, checked by openssl.
    let token = crate::jwt::sign(&rsa, &serde_json::json!({"a": 1})).unwrap();
    assert!(crate::jwt::verify(&[rsa.public().clone()], &token).is_ok());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    put(home.path(), "signed", signed);
    std::fs::write(home.path().join("signature"), signature).unwrap();
    openssl(home.path(), &["dgst", "-sha256", "-verify", "pkcs1.pub", "-signature", "signature", "signed"]);
}

#[test]
fn the_pin_of_an_authority_is_kubeadms() {
    let home = tempfile::tempdir().unwrap();
    let ca = Authority::generate("kubernetes", now()).unwrap();
    put(home.path(), "ca.crt", ca.certificate());
    openssl(home.path(), &["x509", "-pubkey", "-in", "ca.crt", "-noout", "-out", "ca.pub"]);
    openssl(home.path(), &["pkey", "-pubin", "-in", "ca.pub", "-outform", "der", "-out", "ca.der"]);
    let digest = openssl(home.path(), &["dgst", "-sha256", "ca.der"]);
    let expected = digest.trim().rsplit(' ').next().unwrap();
    assert_eq!(ca_hash(ca.certificate()).unwrap(), format!("sha256:{expected}"));
}

#[test]
fn private_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    std::fs::write(&path, "old").unwrap();
    write_private(&path, b"new").unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&path).unwrap().as_deref(), Some("new"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    assert_eq!(read(&home.path().join("none")).unwrap(), None);
    assert!(matches!(write_private(&home.path().join("no/such"), b""), Err(Error::WriteFile { .. })));
}
