//! What a data directory keeps, renews and refuses.

use super::*;
use jiff::SignedDuration;
use std::os::unix::fs::PermissionsExt as _;

fn options() -> PkiOptions {
    PkiOptions {
        node_name: "box".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        server_addresses: vec!["10.96.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap()],
        server_names: vec![],
        node_addresses: vec!["192.0.2.7".parse().unwrap()],
    }
}

fn now() -> Timestamp {
    base::Clock::real().now()
}

fn load(dir: &Path, options: &PkiOptions, at: Timestamp) -> Result<Pki, Error> {
    Pki::load_or_create(dir, options, at)
}

#[test]
fn a_second_start_finds_what_the_first_made() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("pki");
    let first = load(&dir, &options(), now()).unwrap();
    let second = load(&dir, &options(), now()).unwrap();
    assert_eq!(first.ca.certificate(), second.ca.certificate());
    assert_eq!(first.apiserver.certificate, second.apiserver.certificate);
    assert_eq!(first.service_account.public(), second.service_account.public());
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let public = path.extension().is_some_and(|extension| extension == "crt" || extension == "pub");
        assert_eq!(mode, if public { 0o644 } else { 0o600 }, "{}", path.display());
    }
    let kubelet = Parsed::from_pem(&first.kubelet.certificate).unwrap();
    assert_eq!(
        (kubelet.common_name.as_str(), kubelet.organizations.as_slice()),
        ("system:node:box", &["system:nodes".to_owned()][..])
    );
}

#[test]
fn identities_are_made_again_when_they_no_longer_serve() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let first = load(dir, &options(), now()).unwrap();
    let moved = PkiOptions { server_addresses: vec!["192.0.2.8".parse().unwrap()], ..options() };
    let second = load(dir, &moved, now()).unwrap();
    assert_ne!(first.apiserver.certificate, second.apiserver.certificate);
    assert_eq!(first.admin.certificate, second.admin.certificate);
    let late = now() + SignedDuration::from_hours(24 * 300);
    assert!(second.needs_renewal(late) && !second.needs_renewal(now()));
    let third = load(dir, &moved, late).unwrap();
    assert_ne!(second.admin.certificate, third.admin.certificate);
    assert_eq!(second.ca.certificate(), third.ca.certificate());
    std::fs::write(dir.join("admin.pem"), "").unwrap();
    assert_ne!(load(dir, &moved, late).unwrap().admin.certificate, third.admin.certificate);
    for name in ["ca.crt", "ca.key"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    let fourth = load(dir, &moved, late).unwrap();
    assert!(fourth.ca.has_signed(&fourth.admin.certificate) && !third.ca.has_signed(&fourth.admin.certificate));
}

#[test]
fn a_lost_or_ended_authority_is_told_and_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    load(dir, &options(), now()).unwrap();
    let much_later = now() + SignedDuration::from_hours(24 * 3651);
    assert!(matches!(load(dir, &options(), much_later), Err(Error::Ended { .. })));
    std::fs::remove_file(dir.join("ca.key")).unwrap();
    let error = load(dir, &options(), now()).err().unwrap().to_string();
    assert!(error.contains("ca.crt is there but") && error.contains("ca.key is not"), "{error}");
    // A crash of the very first start, between key and certificate.
    let fresh = tempfile::tempdir().unwrap();
    std::fs::write(fresh.path().join("ca.key"), "half").unwrap();
    load(fresh.path(), &options(), now()).unwrap();
}
