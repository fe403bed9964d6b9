//! Ranges of service addresses: ready when they are made, and held by a finalizer while an address
//! in use would be left without any range.
//!
//! Gives out no address: the API server does.

mod prefix;
#[cfg(test)]
mod tests;

use crate::action::{Action, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::ServiceView;
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key, WorkQueue};
use jiff::SignedDuration;
use meta::conditions::{self, Condition};
use prefix::Prefix;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub const DEF: Def = Def {
    name: "service-cidr-controller",
    identity: "service-cidrs-controller",
    component: "service-cidr-controller",
    workers: 5,
    retry: RETRY,
    build,
};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// The range the cluster began with.
const DEFAULT: &str = "kubernetes";
/// A range that is going is let go of after this long: every server has seen it by then.
const GRACE: SignedDuration = SignedDuration::from_secs(10);
const IN_USE: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

struct Ranges {
    ranges: Arc<Cache<()>>,
    addresses: Arc<Cache<()>>,
    services: Arc<Cache<ServiceView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let ranges = rig.cache::<()>(&resource::SERVICE_CIDRS);
    let addresses = rig.cache::<()>(&resource::IP_ADDRESSES);
    let services = rig.cache::<ServiceView>(&resource::SERVICES);
    rig.on_itself(&ranges);
    // One that is going may have waited for this.
    let all = Arc::downgrade(&ranges);
    rig.on(&ranges, move |_, queue| wake_going(&all, queue));
    let all = Arc::downgrade(&ranges);
    rig.on(&addresses, move |_, queue| wake_going(&all, queue));
    let all = Arc::downgrade(&ranges);
    rig.on(&services, move |_, queue| wake_going(&all, queue));
    Box::new(Ranges { ranges, addresses, services })
}

fn wake_going(ranges: &Weak<Cache<()>>, queue: &WorkQueue<Key>) {
    let ranges = ranges.upgrade().map(|ranges| ranges.list()).unwrap_or_default();
    ranges.iter().filter(|range| range.meta.is_deleting()).for_each(|range| queue.add(range.key.clone()));
}

impl Room for Ranges {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.ranges.get_key(key) else { return Ok(Plan::nothing()) };
        let object: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        if !item.meta.is_deleting() {
            return Ok(begin(&item, &object, now));
        }
        let others = self.ranges.list().into_iter().filter(|other| other.key != *key && !other.meta.is_deleting());
        let others: Vec<Prefix> = others.flat_map(|other| prefixes(&other.decode().unwrap_or_default())).collect();
        Ok(end(&item, &object, &others, &self.taken(), now))
    }
}

impl Ranges {
    /// The addresses that are somebody's, said by themselves or by the service that has them.
    fn taken(&self) -> Vec<IpAddr> {
        let addresses = self.addresses.list().into_iter().map(|address| address.meta.name.clone());
        let mut texts: Vec<String> = addresses.collect();
        for service in self.services.list() {
            let service: Value = service.decode().unwrap_or_default();
            let own = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
            texts.extend(own.filter_map(|address| address.as_str().map(str::to_owned)));
        }
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }
}

fn prefixes(range: &Value) -> Vec<Prefix> {
    let texts = range["spec"]["cidrs"].as_array().into_iter().flatten();
    texts.filter_map(|text| Prefix::parse(text.as_str()?)).collect()
}

/// A range that is there to stay gets its finalizer and is called ready.
fn begin(item: &Item<()>, object: &Value, now: Timestamp) -> Plan {
    let mut actions = Vec::new();
    if !item.meta.finalizers.iter().any(|name| name == FINALIZER) {
        let mut finalizers = item.meta.finalizers.clone();
        finalizers.push(FINALIZER.to_owned());
        actions.push(finalize(item, &finalizers));
    }
    let message = match item.key.name() {
        DEFAULT => "Kubernetes default Service CIDR is ready",
        _ => "Kubernetes Service CIDR is ready",
    };
    if !conditions::is_true(&object["status"]["conditions"], "Ready") {
        actions.extend(say(item, object, ("True", "", message), now));
    }
    Plan::of(actions)
}

/// A range that is going stays while it alone has an address that is taken.
fn end(item: &Item<()>, object: &Value, others: &[Prefix], taken: &[IpAddr], now: Timestamp) -> Plan {
    if !item.meta.finalizers.iter().any(|name| name == FINALIZER) {
        return Plan::nothing();
    }
    let own = prefixes(object);
    let is_within = own.iter().all(|prefix| others.iter().any(|other| other.holds(prefix)));
    let has = |prefixes: &[Prefix], address: IpAddr| prefixes.iter().any(|prefix| prefix.has(address));
    if !is_within && taken.iter().any(|address| has(&own, *address) && !has(others, *address)) {
        return Plan::of(say(item, object, ("False", "Terminating", IN_USE), now).into_iter().collect());
    }
    let since = item.meta.deletion_timestamp.as_deref().and_then(|text| meta::time::parse(text).ok());
    let left = since.map_or(SignedDuration::ZERO, |since| GRACE - now.duration_since(since));
    if let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) {
        return Plan::nothing().again(Some(left));
    }
    let mut finalizers = item.meta.finalizers.clone();
    finalizers.retain(|name| name != FINALIZER);
    Plan::of(vec![finalize(item, &finalizers)])
}

fn finalize(item: &Item<()>, finalizers: &[String]) -> Action {
    let metadata = json!({"resourceVersion": item.meta.resource_version, "finalizers": finalizers});
    Action::Patch(Patch::merge(&resource::SERVICE_CIDRS, &item.key, json!({"metadata": metadata})))
}

/// Writes the condition `Ready`: its status, reason and message.
fn say(item: &Item<()>, object: &Value, ready: (&str, &str, &str), now: Timestamp) -> Option<Action> {
    let (status, reason, message) = ready;
    let mut all = object["status"]["conditions"].clone();
    let condition = Condition { kind: "Ready", status, reason, message, observed_generation: 0 };
    let changed = conditions::set(&mut all, condition, now);
    changed.then(|| Action::status(&resource::SERVICE_CIDRS, &item.key, json!({"conditions": all})))
}
