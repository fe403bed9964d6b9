//! Against the real kernel, in namespaces that end with the test. Need root.

mod links;
mod nftables;

use super::namespace::Namespace;
use super::{Ipv4Net, tag};

pub(super) fn namespace() -> Namespace {
    Namespace::create().expect("a network namespace: these tests need root")
}

#[test]
fn networks_are_parsed_and_know_their_bounds() {
    let network: Ipv4Net = "10.244.3.9/24".parse().unwrap();
    assert_eq!(network.to_string(), "10.244.3.0/24");
    assert_eq!(network.last().to_string(), "10.244.3.255");
    assert!(network.contains("10.244.3.77".parse().unwrap()));
    assert!(!network.contains("10.244.4.0".parse().unwrap()));
    assert!(Ipv4Net::ANY.contains("1.2.3.4".parse().unwrap()));
    for bad in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/64", "10.0.0/8"] {
        assert!(bad.parse::<Ipv4Net>().is_err(), "{bad}");
    }
}

#[test]
fn instances_have_different_tags() {
    assert_eq!(tag("a"), tag("a"));
    assert_ne!(tag("3f2a9c01"), tag("3f2a9c02"));
}
