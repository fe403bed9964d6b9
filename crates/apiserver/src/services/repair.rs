//! Mends what Services and IPAddress objects say of each other, as upstream's
//! `ipallocator-repair-controller`: after a crash between the two writes, after somebody took an
//! object away, and for Services from before there were such objects.
//!
//! Looks at the books every few minutes, and at once when damage was seen. Reads an object only
//! where the books disagree.

use super::ranges;
use super::taken::Record;
use crate::object::Object;
use crate::server::Server;
use client::events::{Happening, ObjectRef, Recorder, Severity, Style};
use client::{Api as _, Error, Request, Verb};
use jiff::SignedDuration;
use meta::{GroupVersionKind, GroupVersionResource, Reason};
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const PERIOD: Duration = Duration::from_secs(180);
/// Damage seldom comes alone.
const SETTLE: Duration = Duration::from_secs(1);
/// An object this young may belong to a Service that is just being written.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
const SERVICE: GroupVersionKind = GroupVersionKind::of("", "v1", "Service");
const ADDRESS: GroupVersionKind = GroupVersionKind::of("networking.k8s.io", "v1", "IPAddress");
const RANGES: GroupVersionResource = GroupVersionResource::of("networking.k8s.io", "v1", "servicecidrs");

/// What is wrong with an address of a Service.
enum Fault {
    OutOfRange,
    Missing,
    /// The object is for something else, or for a Service that is gone.
    Reference,
    /// Two Services have it.
    Twice,
    Labels,
}

impl Server {
    /// Runs for as long as the server does.
    pub(crate) async fn keep_addresses(self: Arc<Self>) {
        let Some(own) = self.as_client() else { return };
        let recorder = Recorder::new(Arc::new(own), &self.env, "ipallocator-repair-controller", "", Style::Series);
        loop {
            if let Err(error) = self.repair_addresses(&recorder).await {
                warn!(%error, "cannot repair the addresses of services; trying again later");
            }
            let clock = &self.env.clock;
            // Time over or damage seen: both mean to look again.
            let _ = clock.timeout(PERIOD, self.services.damage.notified()).await;
            clock.sleep(SETTLE).await;
        }
    }

    async fn repair_addresses(&self, recorder: &Recorder) -> Result<(), Error> {
        self.restore_default_range().await?;
        for (key, address, fault) in self.faults() {
            self.mend(&key, address, &fault, recorder).await?;
        }
        for (address, record) in self.strays() {
            self.clear_away(address, &record, recorder).await?;
        }
        Ok(())
    }

    /// The range the server works with has its object, whoever took it away.
    async fn restore_default_range(&self) -> Result<(), Error> {
        let Some(own) = self.as_client().filter(|_| !self.services.book().ranges.has_default()) else {
            return Ok(());
        };
        let range = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": ranges::DEFAULT},
            "spec": {"cidrs": [self.settings.service_cidr]},
        });
        match own.call(Request::new(Verb::Create, RANGES).body(range.to_string())).await {
            Err(error) if !error.is(Reason::AlreadyExists) => Err(error),
            _ => Ok(()),
        }
    }

    fn faults(&self) -> Vec<(String, u32, Fault)> {
        let book = self.services.book();
        let judge = |key: &str, address: u32| {
            if !book.ranges.have(address) {
                return Some(Fault::OutOfRange);
            }
            let Some(record) = book.taken.object(address) else { return Some(Fault::Missing) };
            match record.service.as_deref() {
                None => Some(Fault::Reference),
                Some(parent) if parent == key => (!record.labelled).then_some(Fault::Labels),
                Some(parent) if book.taken.holds(parent, address) => Some(Fault::Twice),
                Some(_) => Some(Fault::Reference),
            }
        };
        let all = book.taken.services();
        all.filter_map(|(key, address)| Some((key.to_owned(), address, judge(key, address)?))).collect()
    }

    /// Objects of ours whose Service does not have the address.
    fn strays(&self) -> Vec<(u32, Record)> {
        let book = self.services.book();
        let is_stray = |address: u32, record: &Record| {
            let held = record.service.as_ref().is_some_and(|key| book.taken.holds(key, address));
            record.managed && !held
        };
        let all = book.taken.objects();
        all.filter(|(address, record)| is_stray(*address, record)).map(|(at, record)| (at, record.clone())).collect()
    }

    fn stored(&self, group: &str, resource: &str, key: &str) -> Option<Arc<Object>> {
        self.resources.find(group, "v1", resource)?.collection.as_ref()?.get(key)
    }

    async fn mend(&self, key: &str, address: u32, fault: &Fault, recorder: &Recorder) -> Result<(), Error> {
        // A write under way holds addresses too: only what is stored counts.
        let Some(service) = self.stored("", "services", key) else { return Ok(()) };
        let (namespace, name) = (&service.index.namespace, &service.index.name);
        if !super::objects::parsed(&service.json).contains(&address) {
            return Ok(());
        }
        let ip = Ipv4Addr::from(address);
        let wrong = "has a wrong reference; repairing";
        let (reason, message) = match fault {
            Fault::OutOfRange => (
                "ClusterIPOutOfRange",
                format!("Cluster IP [IPv4]: {ip} is not within any configured Service CIDR; please recreate service"),
            ),
            Fault::Missing => ("ClusterIPNotAllocated", format!("Cluster IP [IPv4]: {ip} is not allocated; repairing")),
            Fault::Reference => {
                ("ClusterIPNotAllocated", format!("the ClusterIP [IPv4]: {ip} for Service {namespace}/{name} {wrong}"))
            }
            Fault::Twice => (
                "ClusterIPAlreadyAllocated",
                format!("Cluster IP [IPv4]:{ip} was assigned to multiple services; please recreate service"),
            ),
            Fault::Labels => ("", String::new()),
        };
        if !reason.is_empty() {
            let about = ObjectRef::of(&SERVICE, &meta_of(&service));
            let happening = Happening::new(about, Severity::Warning, reason, message);
            recorder.record(happening.action("ClusterIPAllocation"));
        }
        match fault {
            Fault::OutOfRange | Fault::Twice => return Ok(()),
            Fault::Reference | Fault::Labels => self.remove_address(address).await?,
            Fault::Missing => {}
        }
        self.make_address(address, (namespace, name)).await
    }

    async fn clear_away(&self, address: u32, record: &Record, recorder: &Recorder) -> Result<(), Error> {
        let ip = Ipv4Addr::from(address).to_string();
        let Some(object) = self.stored("networking.k8s.io", "ipaddresses", &Object::key("", &ip)) else {
            return Ok(());
        };
        let meta = meta_of(&object);
        let made = meta.creation_timestamp.as_deref().and_then(|text| meta::time::parse(text).ok());
        let is_young = made.is_some_and(|made| self.env.clock.now().duration_since(made) <= GRACE);
        let (reason, message) = match &record.service {
            None => {
                let parent = &object.value().unwrap_or_default()["spec"]["parentRef"];
                let text = |field: &str| parent[field].as_str().unwrap_or_default().to_owned();
                let shown = [text("group"), text("resource"), text("namespace"), text("name")].join(" ");
                let what = format!("appears to have been modified, not referencing a Service &{{{shown}}}");
                ("IPAddressNotAllocated", format!("IPAddress {ip} {what}: cleaning up"))
            }
            Some(_) if is_young => return Ok(()),
            Some(key) if self.stored("", "services", key).is_none() => (
                "IPAddressNotAllocated",
                format!("IPAddress: {ip} for Service {key} appears to have leaked: cleaning up"),
            ),
            Some(key) => (
                "IPAddressWrongReference",
                format!("IPAddress: {ip} for Service {key} has a wrong reference; cleaning up"),
            ),
        };
        let about = ObjectRef::of(&ADDRESS, &meta);
        recorder.record(Happening::new(about, Severity::Warning, reason, message).action("IPAddressAllocation"));
        self.remove_address(address).await
    }
}

fn meta_of(object: &Object) -> meta::ObjectMeta {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: meta::ObjectMeta,
    }
    // What is stored was read before; an Event about nothing would be dropped.
    serde_json::from_slice::<Envelope>(&object.json).map(|envelope| envelope.metadata).unwrap_or_default()
}
