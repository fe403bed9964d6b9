//! Which addresses and node ports are taken, and by whom.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Default)]
pub struct Taken {
    addresses: BTreeMap<u32, String>,
    ports: BTreeMap<(u16, String), String>,
    /// Keys of both maps by owner.
    owners: BTreeMap<String, Holdings>,
}

/// What one Service has.
#[derive(Default)]
struct Holdings {
    addresses: Vec<u32>,
    ports: Vec<(u16, String)>,
}

impl Taken {
    pub fn address_owner(&self, address: u32) -> Option<&str> {
        self.addresses.get(&address).map(String::as_str)
    }

    pub fn port_owner(&self, port: u16, protocol: &str) -> Option<&str> {
        self.ports.get(&(port, protocol.to_owned())).map(String::as_str)
    }

    /// Adds what a Service says it has to what `owner` holds.
    pub fn add(&mut self, owner: &str, service: &Value) {
        let held = self.owners.entry(owner.to_owned()).or_default();
        let address = service["spec"]["clusterIP"].as_str().and_then(|text| text.parse::<Ipv4Addr>().ok());
        if let Some(address) = address.map(u32::from) {
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
