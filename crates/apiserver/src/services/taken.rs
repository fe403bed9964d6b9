//! Which addresses and node ports are taken, and by whom; and which IPAddress objects there are.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Default)]
pub struct Taken {
    addresses: BTreeMap<u32, String>,
    ports: BTreeMap<(u16, String), String>,
    /// Keys of both maps by owner.
    owners: BTreeMap<String, Holdings>,
    objects: BTreeMap<u32, Record>,
}

/// What one Service has.
#[derive(Default)]
struct Holdings {
    addresses: Vec<u32>,
    ports: Vec<(u16, String)>,
}

/// What an IPAddress object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The Service it is for (`namespace/name`); None: for something else.
    pub service: Option<String>,
    /// The server made it for a Service: it carries the allocator's label.
    pub managed: bool,
    /// All labels are as the server sets them.
    pub labelled: bool,
}

/// The addresses that a Service says it has.
pub fn addresses_of(service: &Value) -> Vec<u32> {
    let spec = &service["spec"];
    let mut found = Vec::new();
    let all = spec["clusterIPs"].as_array().into_iter().flatten();
    for text in std::iter::once(&spec["clusterIP"]).chain(all).filter_map(Value::as_str) {
        let address = text.parse::<Ipv4Addr>().ok().map(u32::from);
        found.extend(address.filter(|address| !found.contains(address)));
    }
    found
}

impl Taken {
    pub fn address_owner(&self, address: u32) -> Option<&str> {
        self.addresses.get(&address).map(String::as_str)
    }

    pub fn port_owner(&self, port: u16, protocol: &str) -> Option<&str> {
        self.ports.get(&(port, protocol.to_owned())).map(String::as_str)
    }

    /// Whether `key` may have the address: no other Service has it, and no object says so either.
    pub fn is_free_for(&self, address: u32, key: &str) -> bool {
        self.address_owner(address).is_none_or(|owner| owner == key)
            && self.objects.get(&address).is_none_or(|record| record.service.as_deref() == Some(key))
    }

    pub fn object(&self, address: u32) -> Option<&Record> {
        self.objects.get(&address)
    }

    pub fn objects(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.objects.iter().map(|(address, record)| (*address, record))
    }

    pub fn observe_object(&mut self, address: u32, record: Option<Record>) {
        match record {
            Some(record) => self.objects.insert(address, record),
            None => self.objects.remove(&address),
        };
    }

    /// Every Service with each of its addresses.
    pub fn services(&self) -> impl Iterator<Item = (&str, u32)> {
        self.owners.iter().flat_map(|(key, held)| held.addresses.iter().map(|address| (key.as_str(), *address)))
    }

    pub fn holds(&self, key: &str, address: u32) -> bool {
        self.owners.get(key).is_some_and(|held| held.addresses.contains(&address))
    }

    /// Adds what a Service says it has to what `owner` holds.
    pub fn add(&mut self, owner: &str, service: &Value) {
        let held = self.owners.entry(owner.to_owned()).or_default();
        for address in addresses_of(service) {
            self.addresses.insert(address, owner.to_owned());
            held.addresses.push(address);
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let number = port["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
            if let Some(number) = number {
                let key = (number, port["protocol"].as_str().unwrap_or("TCP").to_owned());
                self.ports.insert(key.clone(), owner.to_owned());
                held.ports.push(key);
            }
        }
    }

    pub fn release(&mut self, owner: &str) {
        let Some(Holdings { addresses, ports }) = self.owners.remove(owner) else { return };
        for address in addresses {
            if self.addresses.get(&address).is_some_and(|held| held == owner) {
                self.addresses.remove(&address);
            }
        }
        for port in ports {
            if self.ports.get(&port).is_some_and(|held| held == owner) {
                self.ports.remove(&port);
            }
        }
    }
}
