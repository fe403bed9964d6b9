//! The cluster's names, answered from the caches: what exists, and which records it has. The
//! schema is upstream's DNS specification 1.1.0, in the words of kubeadm's CoreDNS configuration:
//! `pods insecure`, a time to live of 30 seconds.

use crate::views::{BY_ADDRESS, BY_SERVICE, Kind, Port, ServiceView, SliceView, service_of};
use client::{Cache, Caches, Selection, resource_of};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const TTL: u32 = 30;
const SCHEMA_VERSION: &str = "1.1.0";
const SCHEMA_TTL: u32 = 28_800;

/// What a question gets.
#[derive(Debug)]
pub(crate) enum Answer {
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name exists, but has no record of this type.
    NoData,
    NoName,
    /// The name stands for another one, which is to be looked up.
    Alias {
        record: Box<Record>,
        target: Name,
    },
    /// Not a name of the cluster.
    NotOurs,
    /// The caches have not been filled yet.
    NotReady,
}

pub(crate) struct Zone {
    domain: Name,
    own: Ipv4Addr,
    namespaces: Arc<Cache<()>>,
    services: Arc<Cache<ServiceView>>,
    slices: Arc<Cache<SliceView>>,
}

/// Something that an address or SRV record can be made of.
struct Host {
    address: IpAddr,
    port: Option<u16>,
    /// Under the service's name; None: the service itself.
    label: Option<String>,
}

enum Found {
    Hosts(Vec<Host>),
    External(String),
    /// The name exists above others.
    Nothing,
    NoName,
}

impl Zone {
    pub fn new(caches: &Caches, domain: Name, own: Ipv4Addr) -> Self {
        Zone {
            domain,
            own,
            namespaces: caches.watch(Selection::all(resource_of::<Namespace>())),
            services: caches.watch(Selection::all(resource_of::<Service>())),
            slices: caches.watch(Selection::all(resource_of::<EndpointSlice>())),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.namespaces.is_synced() && self.services.is_synced() && self.slices.is_synced()
    }

    pub async fn ready(&self) {
        self.namespaces.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
    }

    pub fn resolve(&self, name: &Name, kind: RecordType) -> Answer {
        if self.domain.zone_of(name) {
            if !self.is_ready() {
                return Answer::NotReady;
            }
            return self.resolve_ours(name, kind);
        }
        match reverse_address(name) {
            Some(address) if self.is_ready() => self.resolve_reverse(name, kind, address),
            _ => Answer::NotOurs,
        }
    }

    fn resolve_ours(&self, name: &Name, kind: RecordType) -> Answer {
        let labels = self.labels(name);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels[..] {
            [] => self.resolve_apex(name, kind),
            ["dns-version"] if kind == RecordType::TXT => {
                let text = RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()]));
                records(vec![Record::from_rdata(name.clone(), SCHEMA_TTL, text)])
            }
            ["dns-version"] => Answer::NoData,
            ["ns", "dns"] => self.addresses(name, kind, &[host(IpAddr::V4(self.own))]),
            _ => match self.find(&labels) {
                Found::NoName => Answer::NoName,
                Found::Nothing => Answer::NoData,
                Found::External(target) => external(name, kind, &target),
                Found::Hosts(hosts) if kind == RecordType::SRV => self.srv(name, &labels, &hosts),
                Found::Hosts(hosts) => self.addresses(name, kind, &hosts),
            },
        }
    }

    /// The labels before the zone's, in lower case.
    fn labels(&self, name: &Name) -> Vec<String> {
        let count = usize::from(name.num_labels().saturating_sub(self.domain.num_labels()));
        name.iter().take(count).map(|label| String::from_utf8_lossy(label).to_lowercase()).collect()
    }

    fn resolve_apex(&self, name: &Name, kind: RecordType) -> Answer {
        match (kind, self.under(&["ns", "dns"])) {
            (RecordType::SOA, _) => records(vec![self.soa()]),
            (RecordType::NS, Some(server)) => Answer::Records {
                answers: vec![Record::from_rdata(name.clone(), TTL, RData::NS(NS(server.clone())))],
                additionals: vec![Record::from_rdata(server, TTL, address_data(IpAddr::V4(self.own)))],
            },
            _ => Answer::NoData,
        }
    }

    /// The record that says how long an absence may be remembered.
    pub fn soa(&self) -> Record {
        let server = self.under(&["ns", "dns"]).unwrap_or_else(Name::root);
        let mailbox = self.under(&["hostmaster"]).unwrap_or_else(Name::root);
        let serial = u32::try_from(self.services.seen().max(self.slices.seen()) & 0xffff_ffff).unwrap_or(1);
        let soa = SOA::new(server, mailbox, serial, 7200, 1800, 86_400, TTL);
        Record::from_rdata(self.domain.clone(), TTL, RData::SOA(soa))
    }

    /// A name within the zone; None where it would be too long to be one.
    fn under(&self, labels: &[&str]) -> Option<Name> {
        Name::from_labels(labels.iter().map(|label| label.as_bytes())).ok()?.append_domain(&self.domain).ok()
    }

    fn find(&self, labels: &[&str]) -> Found {
        let (kind, labels) = match labels {
            [rest @ .., kind @ ("svc" | "pod")] => (*kind, rest),
            _ => return Found::NoName,
        };
        let Some((namespace, labels)) = labels.split_last() else { return Found::Nothing };
        if self.namespaces.get("", namespace).is_none() {
            return Found::NoName;
        }
        match (kind, labels) {
            (_, []) => Found::Nothing,
            ("pod", [pod]) => pod_address(pod).map_or(Found::NoName, |address| Found::Hosts(vec![host(address)])),
            ("svc", [service]) => self.find_service(namespace, service, |_| true, None),
            ("svc", [endpoint, service]) => self.find_service(namespace, service, |_| true, Some(endpoint)),
            ("svc", [port, protocol, service]) => {
                let (port, protocol) = (plain(port), plain(protocol));
                self.find_service(namespace, service, |found| found.name == port && found.protocol == protocol, None)
            }
            _ => Found::NoName,
        }
    }

    fn find_service(
        &self,
        namespace: &str,
        name: &str,
        wanted: impl Fn(&Port) -> bool,
        endpoint: Option<&str>,
    ) -> Found {
        let Some(service) = self.services.get(namespace, name) else { return Found::NoName };
        let hosts = match &service.view.kind {
            // An alias has neither endpoints nor ports of its own.
            Kind::External(target) => {
                let plain_question =
                    endpoint.is_none() && wanted(&Port { name: String::new(), protocol: String::new(), number: None });
                let is_name = target.parse::<IpAddr>().is_err();
                return if plain_question && is_name { Found::External(target.clone()) } else { Found::NoName };
            }
            Kind::Addresses(addresses) if endpoint.is_none() => {
                let ports = service.view.ports.iter().filter(|port| wanted(port));
                let on_port = |port: &Port| {
                    let number = port.number;
                    addresses.iter().map(move |address| Host { address: *address, port: number, label: None })
                };
                ports.flat_map(on_port).collect()
            }
            Kind::Addresses(_) | Kind::Headless => self.endpoints(namespace, name, wanted, endpoint),
        };
        if hosts.is_empty() { Found::NoName } else { Found::Hosts(hosts) }
    }

    fn endpoints(
        &self,
        namespace: &str,
        service: &str,
        wanted: impl Fn(&Port) -> bool,
        label: Option<&str>,
    ) -> Vec<Host> {
        let mut hosts = Vec::new();
        for slice in self.slices.by_index(BY_SERVICE, &format!("{namespace}/{service}")) {
            for endpoint in &slice.view.endpoints {
                let own_label = endpoint.label();
                if label.is_some_and(|label| label != own_label) {
                    continue;
                }
                for port in slice.view.ports.iter().filter(|port| wanted(port)) {
                    hosts.push(Host { address: endpoint.address, port: port.number, label: Some(own_label.clone()) });
                }
            }
        }
        hosts
    }

    fn addresses(&self, name: &Name, kind: RecordType, hosts: &[Host]) -> Answer {
        let mut answers: Vec<Record> = Vec::new();
        for host in hosts {
            let data = address_data(host.address);
            if data.record_type() == kind && !answers.iter().any(|answer| answer.data == data) {
                answers.push(Record::from_rdata(name.clone(), TTL, data));
            }
        }
        if answers.is_empty() { Answer::NoData } else { records(answers) }
    }

    fn srv(&self, name: &Name, labels: &[&str], hosts: &[Host]) -> Answer {
        // The service's own labels: `service.namespace.svc` at the end.
        let service = &labels[labels.len().saturating_sub(3)..];
        let weight = u16::try_from(100 / hosts.len().max(1)).unwrap_or(0).max(1);
        let (mut answers, mut additionals): (Vec<Record>, Vec<Record>) = (Vec::new(), Vec::new());
        for host in hosts {
            let label: Vec<&str> = host.label.iter().map(String::as_str).collect();
            let (Some(port), Some(target)) = (host.port, self.under(&[&label, service].concat())) else { continue };
            let data = RData::SRV(SRV::new(0, weight, port, target.clone()));
            if !answers.iter().any(|answer| answer.data == data) {
                answers.push(Record::from_rdata(name.clone(), TTL, data));
            }
            let address = Record::from_rdata(target, TTL, address_data(host.address));
            if !additionals.contains(&address) {
                additionals.push(address);
            }
        }
        if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals } }
    }

    fn resolve_reverse(&self, name: &Name, kind: RecordType, address: IpAddr) -> Answer {
        let text = address.to_string();
        let mut targets = Vec::new();
        if let Some(service) = self.services.by_index(BY_ADDRESS, &text).first() {
            targets.extend(self.under(&[service.key.name(), service.key.namespace(), "svc"]));
        } else {
            for slice in self.slices.by_index(BY_ADDRESS, &text) {
                for endpoint in slice.view.endpoints.iter().filter(|endpoint| endpoint.address == address) {
                    let Some(hostname) = &endpoint.hostname else { continue };
                    targets.extend(self.under(&[hostname, service_of(&slice), slice.key.namespace(), "svc"]));
                }
            }
        }
        targets.dedup();
        match (targets.is_empty(), kind) {
            (true, _) => Answer::NotOurs,
            (false, RecordType::PTR) => {
                let answer = |target| Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(target)));
                records(targets.into_iter().map(answer).collect())
            }
            (false, _) => Answer::NoData,
        }
    }
}

fn host(address: IpAddr) -> Host {
    Host { address, port: None, label: None }
}

fn records(answers: Vec<Record>) -> Answer {
    Answer::Records { answers, additionals: vec![] }
}

fn external(name: &Name, kind: RecordType, target: &str) -> Answer {
    let Ok(mut target) = Name::from_ascii(target) else { return Answer::NoName };
    target.set_fqdn(true);
    let record = Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target.clone())));
    match kind {
        RecordType::CNAME => records(vec![record]),
        RecordType::A | RecordType::AAAA => Answer::Alias { record: Box::new(record), target },
        // Upstream follows aliases for addresses alone.
        _ => Answer::NoData,
    }
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// A port's or protocol's label without its underscore.
fn plain(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// `10-244-0-5` as an address.
fn pod_address(label: &str) -> Option<IpAddr> {
    let four = label.matches('-').count() == 3 && !label.contains("--");
    label.replace('-', if four { "." } else { ":" }).parse().ok()
}

fn reverse_address(name: &Name) -> Option<IpAddr> {
    let labels = name.num_labels();
    if labels != 6 && labels != 34 {
        return None;
    }
    let network = name.parse_arpa_name().ok()?;
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}
