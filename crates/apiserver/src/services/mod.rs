//! Cluster addresses and node ports of Services: gives them out, keeps track of whose they are.
//!
//! What is taken follows from the Services themselves, as the store's sink shows them; a write
//! under way holds what it was given until it is committed or fails. Each address has an IPAddress
//! object, written before its Service ([`objects`]) and mended where it is not as it should be
//! ([`repair`]). The values are not checked for form here: that is the strategy's.

mod objects;
mod ranges;
mod repair;
mod taken;

use crate::access::Observer;
use crate::object::Object;
use crate::resources::Resource;
use base::Rng;
use meta::field::{ErrorList, FieldError, Path};
use ranges::{Ranges, Span};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use taken::Taken;
use tokio::sync::Notify;

const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
/// Dynamic node ports and addresses leave the start of their range to those who choose one
/// themselves (upstream: between 16 and 128 ports, and 16 and 256 addresses).
const STATIC_PORTS: u16 = 86;
const STATIC_ADDRESSES: u32 = 256;
/// Random tries before the range is searched from its start.
const RANDOM_TRIES: usize = 32;

/// Shared by the server and its sink.
#[derive(Clone)]
pub struct Services {
    book: Arc<Mutex<Book>>,
    /// Something was seen that wants repair.
    damage: Arc<Notify>,
}

struct Book {
    ranges: Ranges,
    taken: Taken,
}

impl Services {
    /// `cidr` is the server's own service range.
    ///
    /// # Errors
    /// Not an IPv4 range, or one too large or too small.
    pub fn new(cidr: &str) -> Result<Self, String> {
        let own = Span::parse(cidr).filter(|span| span.last - span.first < 1 << 24);
        let ranges = Ranges::new(own.ok_or_else(|| format!("{cidr:?} is no IPv4 range"))?);
        let book = Book { ranges, taken: Taken::default() };
        Ok(Services { book: Arc::new(Mutex::new(book)), damage: Arc::default() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills in what `service` shall get and holds it for `key` (`namespace/name`). After a failed
    /// write, [`Services::settle`] gives it back.
    pub(crate) fn assign(&self, service: &mut Value, old: Option<&Value>, key: &str, rng: &Rng) -> ErrorList {
        if let Some(old) = old {
            keep_assigned(service, old);
        }
        let mut book = self.book();
        let mut errors = ErrorList::new();
        book.assign_address(service, key, rng, &mut errors);
        assign_ports(&mut book.taken, service, key, rng, &mut errors);
        if errors.is_empty() {
            book.taken.add(key, service);
        }
        errors
    }

    /// What `key` holds is what its stored object says, and nothing else.
    pub(crate) fn settle(&self, key: &str, stored: Option<&Value>) {
        let taken = &mut self.book().taken;
        taken.release(key);
        if let Some(service) = stored {
            taken.add(key, service);
        }
    }

    fn observe_address(&self, name: &str, object: Option<&Value>) {
        let Some(address) = name.parse::<Ipv4Addr>().ok().map(u32::from) else { return };
        let record = object.map(objects::record);
        let mut book = self.book();
        let service = record.as_ref().and_then(|record| record.service.clone());
        let is_wrong = book.taken.address_owner(address).is_some_and(|owner| service.as_deref() != Some(owner));
        book.taken.observe_object(address, record);
        if is_wrong {
            self.damage.notify_one();
        }
    }
}

impl Book {
    fn assign_address(&self, service: &mut Value, key: &str, rng: &Rng, errors: &mut ErrorList) {
        let spec = &mut service["spec"];
        if spec["type"] == "ExternalName" {
            return;
        }
        set_default(spec, "ipFamilyPolicy", json!("SingleStack"));
        set_default(spec, "ipFamilies", json!(["IPv4"]));
        let asked =
            spec["clusterIP"].as_str().or_else(|| spec["clusterIPs"][0].as_str()).unwrap_or_default().to_owned();
        let path = Path::new("spec").child("clusterIPs");
        let chosen = match asked.as_str() {
            "None" => asked,
            "" => match self.free_address(key, rng) {
                Some(address) => address.to_string(),
                None => {
                    let why = "failed to allocate a serviceIP: range is full";
                    return errors.push(FieldError::internal(&path, why));
                }
            },
            text => match text.parse::<Ipv4Addr>().ok().map(u32::from) {
                // What was once taken from a range stays, whatever becomes of the range.
                Some(address) if self.taken.holds(key, address) => asked,
                Some(address) if !self.ranges.open().any(|span| span.has(address)) => {
                    let why =
                        format!("failed to allocate IP {text}: the provided network does not contain the provided IP");
                    return errors.push(FieldError::invalid(&path, json!([text]), &why));
                }
                Some(address) if !self.taken.is_free_for(address, key) => return errors.push(allocated(text)),
                // A text that is no address is refused by validation.
                _ => asked,
            },
        };
        spec["clusterIP"] = chosen.clone().into();
        spec["clusterIPs"] = json!([chosen]);
    }

    fn free_address(&self, key: &str, rng: &Rng) -> Option<Ipv4Addr> {
        let is_free = |address: &u32| self.taken.is_free_for(*address, key);
        let from = |Span { first, last }| {
            let dynamic = first + STATIC_ADDRESSES.min((last - first) / 16);
            let drawn = (0..RANDOM_TRIES).map(|_| draw(rng, dynamic, last)).find(is_free);
            drawn.or_else(|| (dynamic..=last).chain(first..dynamic).find(is_free))
        };
        self.ranges.open().find_map(from).map(Ipv4Addr::from)
    }
}

/// The address is somebody else's.
fn allocated(address: &str) -> FieldError {
    let why = format!("failed to allocate IP {address}: provided IP is already allocated");
    FieldError::invalid(&Path::new("spec").child("clusterIPs"), json!([address]), &why)
}

impl Observer for Services {
    fn wants(&self, group: &str, resource: &str) -> bool {
        matches!((group, resource), ("", "services") | (objects::GROUP, "ipaddresses" | "servicecidrs"))
    }

    fn observe(&self, resource: &Resource, object: &Object, deleted: bool) {
        let value = object.value().ok().filter(|_| !deleted);
        let name = &object.index.name;
        match resource.kind.resource.as_ref() {
            "ipaddresses" => self.observe_address(name, value.as_ref()),
            "servicecidrs" => self.book().ranges.observe(name, value.as_ref()),
            _ => self.settle(&Object::key(&object.index.namespace, name), value.as_ref()),
        }
    }
}

fn draw(rng: &Rng, first: u32, last: u32) -> u32 {
    u32::try_from(rng.u64(u64::from(first)..=u64::from(last))).unwrap_or(first)
}

fn set_default(spec: &mut Value, field: &str, value: Value) {
    if spec[field].is_null() {
        spec[field] = value;
    }
}

fn has_node_ports(service: &Value) -> bool {
    match service["spec"]["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn assign_ports(taken: &mut Taken, service: &mut Value, key: &str, rng: &Rng, errors: &mut ErrorList) {
    let wants = has_node_ports(service);
    let path = Path::new("spec").child("ports");
    let Some(ports) = service["spec"]["ports"].as_array_mut() else { return };
    // TCP and UDP of one number may share a node port; two of the same protocol may not.
    let mut own: Vec<(u16, String)> = Vec::new();
    for (at, port) in ports.iter_mut().enumerate() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
        let here = path.index(at).child("nodePort");
        let asked = port["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let other = |number: u16| taken.port_owner(number, &protocol).is_some_and(|owner| owner != key);
        if asked != 0 {
            if !NODE_PORTS.contains(&asked) {
                let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                errors.push(FieldError::invalid(&here, asked, why));
            } else if other(asked) {
                errors.push(FieldError::invalid(&here, asked, "provided port is already allocated"));
            }
            own.push((asked, protocol));
            continue;
        }
        if !wants {
            continue;
        }
        let is_free =
            |number: &u16| !other(*number) && !own.iter().any(|(taken, of)| taken == number && *of == protocol);
        let (first, last) = (*NODE_PORTS.start(), *NODE_PORTS.end());
        let dynamic = first + STATIC_PORTS;
        let random = |_| u16::try_from(draw(rng, dynamic.into(), last.into())).unwrap_or(last);
        let chosen = (0..RANDOM_TRIES).map(random).find(is_free);
        match chosen.or_else(|| (dynamic..=last).chain(first..dynamic).find(is_free)) {
            Some(number) => {
                port["nodePort"] = number.into();
                own.push((number, protocol));
            }
            None => errors.push(FieldError::internal(&here, "failed to allocate a nodePort: range is full")),
        }
    }
}

/// An update that leaves out what the server once assigned keeps it; what the new type cannot have
/// goes.
fn keep_assigned(service: &mut Value, old: &Value) {
    let is_external = |service: &Value| service["spec"]["type"] == "ExternalName";
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (before, now) = (text(&old["spec"]["clusterIP"]), text(&service["spec"]["clusterIP"]));
    if !is_external(service) && !is_external(old) && now.is_empty() && service["spec"]["clusterIPs"][0].is_null() {
        for field in ["clusterIP", "clusterIPs"] {
            service["spec"][field] = old["spec"][field].clone();
        }
    }
    if is_external(service)
        && now == before
        && let Some(spec) = service["spec"].as_object_mut()
    {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(field);
        }
    }
    keep_node_ports(service, old);
}

fn keep_node_ports(service: &mut Value, old: &Value) {
    let wants = has_node_ports(service);
    let had: Vec<Value> = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let Some(ports) = service["spec"]["ports"].as_array_mut() else { return };
    for port in ports {
        let same = had.iter().find(|old| old["port"] == port["port"] && old["protocol"] == port["protocol"]);
        let Some(before) = same.map(|old| old["nodePort"].clone()).filter(|port| !port.is_null()) else { continue };
        if wants && port["nodePort"].as_u64().unwrap_or(0) == 0 {
            port["nodePort"] = before;
        } else if !wants
            && port["nodePort"] == before
            && let Some(port) = port.as_object_mut()
        {
            port.remove("nodePort");
        }
    }
}

#[cfg(test)]
mod tests;
