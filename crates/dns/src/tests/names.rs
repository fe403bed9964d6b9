//! Every sort of name and what it gets.

use super::populated;
use crate::zone::{Answer, Zone};
use base::Env;
use client::Caches;
use hickory_proto::rr::{Name, Record, RecordType};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// `NAME TTL TYPE DATA`, sorted, additional records after a bar.
fn print(answer: Answer) -> Vec<String> {
    let line = |record: &Record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data);
    match answer {
        Answer::Records { answers, additionals } => {
            let mut lines: Vec<_> = answers.iter().map(line).collect();
            lines.extend(additionals.iter().map(|record| format!("| {}", line(record))));
            lines.sort();
            lines
        }
        Answer::Alias { record, target } => vec![line(&record), format!("-> {target}")],
        Answer::NoData => vec!["NODATA".into()],
        Answer::NoName => vec!["NXDOMAIN".into()],
        Answer::NotOurs => vec!["FORWARD".into()],
        Answer::NotReady => vec!["NOT READY".into()],
    }
}

/// Name, type, and the records that are given.
const CASES: &[(&str, &str, &[&str])] = &[
    ("web.ns.svc.cluster.local.", "A", &["web.ns.svc.cluster.local. 30 A 10.96.0.5"]),
    ("WEB.ns.SVC.cluster.LOCAL.", "A", &["WEB.ns.SVC.cluster.LOCAL. 30 A 10.96.0.5"]),
    ("web.ns.svc.cluster.local.", "AAAA", &["NODATA"]),
    ("web.ns.svc.cluster.local.", "MX", &["NODATA"]),
    ("web.ns.svc.cluster.local.", "CNAME", &["NODATA"]),
    ("both.ns.svc.cluster.local.", "AAAA", &["both.ns.svc.cluster.local. 30 AAAA fd00::6"]),
    ("nothing.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("nothing.ns.svc.cluster.local.", "TXT", &["NXDOMAIN"]),
    ("web.other.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("web.ns.cluster.local.", "A", &["NXDOMAIN"]),
    ("a.b.c.web.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("ns.svc.cluster.local.", "A", &["NODATA"]),
    ("empty.svc.cluster.local.", "A", &["NODATA"]),
    ("other.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("svc.cluster.local.", "A", &["NODATA"]),
    ("cluster.local.", "A", &["NODATA"]),
    (
        "cluster.local.",
        "NS",
        &["cluster.local. 30 NS ns.dns.cluster.local.", "| ns.dns.cluster.local. 30 A 10.96.0.10"],
    ),
    ("ns.dns.cluster.local.", "A", &["ns.dns.cluster.local. 30 A 10.96.0.10"]),
    ("dns-version.cluster.local.", "TXT", &["dns-version.cluster.local. 28800 TXT 1.1.0"]),
    (
        "_http._tcp.web.ns.svc.cluster.local.",
        "SRV",
        &[
            "_http._tcp.web.ns.svc.cluster.local. 30 SRV 0 100 80 web.ns.svc.cluster.local.",
            "| web.ns.svc.cluster.local. 30 A 10.96.0.5",
        ],
    ),
    ("_http._udp.web.ns.svc.cluster.local.", "SRV", &["NXDOMAIN"]),
    ("_nothing._tcp.web.ns.svc.cluster.local.", "SRV", &["NXDOMAIN"]),
    ("_http._tcp.web.ns.svc.cluster.local.", "A", &["_http._tcp.web.ns.svc.cluster.local. 30 A 10.96.0.5"]),
    (
        "web.ns.svc.cluster.local.",
        "SRV",
        &[
            "web.ns.svc.cluster.local. 30 SRV 0 50 80 web.ns.svc.cluster.local.",
            "web.ns.svc.cluster.local. 30 SRV 0 50 9090 web.ns.svc.cluster.local.",
            "| web.ns.svc.cluster.local. 30 A 10.96.0.5",
        ],
    ),
    (
        "db.ns.svc.cluster.local.",
        "A",
        &[
            "db.ns.svc.cluster.local. 30 A 10.244.0.2",
            "db.ns.svc.cluster.local. 30 A 10.244.0.3",
            "db.ns.svc.cluster.local. 30 A 10.244.0.4",
        ],
    ),
    (
        "_pg._tcp.db.ns.svc.cluster.local.",
        "SRV",
        &[
            "_pg._tcp.db.ns.svc.cluster.local. 30 SRV 0 33 5432 10-244-0-4.db.ns.svc.cluster.local.",
            "_pg._tcp.db.ns.svc.cluster.local. 30 SRV 0 33 5432 db-0.db.ns.svc.cluster.local.",
            "_pg._tcp.db.ns.svc.cluster.local. 30 SRV 0 33 5432 db-1.db.ns.svc.cluster.local.",
            "| 10-244-0-4.db.ns.svc.cluster.local. 30 A 10.244.0.4",
            "| db-0.db.ns.svc.cluster.local. 30 A 10.244.0.2",
            "| db-1.db.ns.svc.cluster.local. 30 A 10.244.0.3",
        ],
    ),
    ("db-1.db.ns.svc.cluster.local.", "A", &["db-1.db.ns.svc.cluster.local. 30 A 10.244.0.3"]),
    ("10-244-0-4.db.ns.svc.cluster.local.", "A", &["10-244-0-4.db.ns.svc.cluster.local. 30 A 10.244.0.4"]),
    ("10-244-0-9.web.ns.svc.cluster.local.", "A", &["10-244-0-9.web.ns.svc.cluster.local. 30 A 10.244.0.9"]),
    ("db-9.db.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("nobody.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("portless.ns.svc.cluster.local.", "A", &["portless.ns.svc.cluster.local. 30 A 10.244.0.7"]),
    ("portless.ns.svc.cluster.local.", "SRV", &["NODATA"]),
    ("away.ns.svc.cluster.local.", "A", &["away.ns.svc.cluster.local. 30 CNAME db.example.com.", "-> db.example.com."]),
    ("away.ns.svc.cluster.local.", "CNAME", &["away.ns.svc.cluster.local. 30 CNAME db.example.com."]),
    ("away.ns.svc.cluster.local.", "SRV", &["NODATA"]),
    ("x.away.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("numeric.ns.svc.cluster.local.", "A", &["NXDOMAIN"]),
    ("10-244-0-5.ns.pod.cluster.local.", "A", &["10-244-0-5.ns.pod.cluster.local. 30 A 10.244.0.5"]),
    ("fd00--5.ns.pod.cluster.local.", "AAAA", &["fd00--5.ns.pod.cluster.local. 30 AAAA fd00::5"]),
    ("10-244-0-5.other.pod.cluster.local.", "A", &["NXDOMAIN"]),
    ("10-244-0-500.ns.pod.cluster.local.", "A", &["NXDOMAIN"]),
    ("ns.pod.cluster.local.", "A", &["NODATA"]),
    ("5.0.96.10.in-addr.arpa.", "PTR", &["5.0.96.10.in-addr.arpa. 30 PTR web.ns.svc.cluster.local."]),
    ("5.0.96.10.in-addr.arpa.", "A", &["NODATA"]),
    ("2.0.244.10.in-addr.arpa.", "PTR", &["2.0.244.10.in-addr.arpa. 30 PTR db-0.db.ns.svc.cluster.local."]),
    ("4.0.244.10.in-addr.arpa.", "PTR", &["FORWARD"]),
    ("0.244.10.in-addr.arpa.", "PTR", &["FORWARD"]),
    ("example.com.", "A", &["FORWARD"]),
    ("notcluster.local.", "A", &["FORWARD"]),
    (".", "NS", &["FORWARD"]),
];

#[tokio::test]
async fn names_get_the_records_of_the_specification() {
    let env = Env::real();
    let caches = Caches::new(Arc::new(populated()), &env);
    let zone = Zone::new(&caches, Name::from_ascii("cluster.local.").unwrap(), Ipv4Addr::new(10, 96, 0, 10));
    let question = |name: &str| Name::from_ascii(name).unwrap();
    assert_eq!(print(zone.resolve(&question("web.ns.svc.cluster.local."), RecordType::A)), ["NOT READY"]);
    zone.ready().await;
    for (name, kind, expected) in CASES {
        let kind: RecordType = kind.parse().unwrap();
        assert_eq!(print(zone.resolve(&question(name), kind)), *expected, "{name} {kind}");
    }
    let soa = print(zone.resolve(&question("cluster.local."), RecordType::SOA)).remove(0);
    assert!(soa.starts_with("cluster.local. 30 SOA ns.dns.cluster.local. hostmaster.cluster.local. "), "{soa}");
    assert!(soa.ends_with(" 7200 1800 86400 30"), "{soa}");
}
