//! Clears old requests away: nobody looks at them again. Those of pods are kept for half an hour,
//! whatever became of them: the kubelet has long taken what it asked for, or given up.

use super::Request;
use crate::action::{Action, Delete, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key};
use jiff::SignedDuration;
use meta::{GroupVersionResource, ObjectMeta, time};
use std::sync::Arc;
use std::time::Duration;

pub const CLEANER: Def = Def {
    name: "certificatesigningrequest-cleaner-controller",
    identity: "certificate-controller",
    component: "certificate-controller",
    workers: 1,
    retry: RETRY,
    build,
};

pub const POD_CLEANER: Def = Def {
    name: "podcertificaterequest-cleaner-controller",
    identity: "podcertificaterequestcleaner",
    component: "podcertificaterequestcleaner",
    workers: 1,
    retry: RETRY,
    build: build_for_pods,
};

/// Decided requests are kept for an hour, undecided ones for a day.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
const PENDING: SignedDuration = SignedDuration::from_hours(24);
const OF_POD: SignedDuration = SignedDuration::from_mins(30);

struct Cleaner {
    requests: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let requests = rig.cache::<()>(&resource::CERTIFICATE_REQUESTS);
    rig.on_itself(&requests);
    Box::new(Cleaner { requests })
}

impl Room for Cleaner {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.requests.get_key(key) else { return Ok(Plan::nothing()) };
        let request: Request = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let resource = &resource::CERTIFICATE_REQUESTS;
        Ok(due(&request).map_or_else(Plan::nothing, |due| delete_at(due, resource, &item.meta, now)))
    }
}

struct PodCleaner {
    requests: Arc<Cache<()>>,
}

fn build_for_pods(rig: &Rig) -> Box<dyn Room> {
    let requests = rig.cache_if_served::<()>(&resource::POD_CERTIFICATE_REQUESTS);
    rig.on_itself(&requests);
    Box::new(PodCleaner { requests })
}

impl Room for PodCleaner {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.requests.get_key(key) else { return Ok(Plan::nothing()) };
        let created = item.meta.creation_timestamp.as_deref().and_then(|text| time::parse(text).ok());
        let due = created.and_then(|created| created.checked_add(OF_POD).ok());
        let resource = &resource::POD_CERTIFICATE_REQUESTS;
        Ok(due.map_or_else(Plan::nothing, |due| delete_at(due, resource, &item.meta, now)))
    }
}

fn delete_at(due: Timestamp, resource: &GroupVersionResource, meta: &ObjectMeta, now: Timestamp) -> Plan {
    if due > now {
        return Plan::nothing().again(Duration::try_from(due.duration_since(now)).ok());
    }
    Plan::of(vec![Action::Delete(vec![Delete::new(resource, &Key::of(meta), &meta.uid)])])
}

/// When the request goes.
fn due(request: &Request) -> Option<Timestamp> {
    let decided = ["Approved", "Denied", "Failed"].iter().filter_map(|kind| {
        let condition = meta::conditions::find(&request.status.conditions, kind)?;
        let told = condition["lastUpdateTime"].as_str().or(condition["lastTransitionTime"].as_str())?;
        time::parse(told).ok()
    });
    let issued = !request.status.certificate.is_empty();
    let waits_for_signature = request.is_approved() && !issued && !request.has("Failed");
    let created = time::parse(request.metadata.creation_timestamp.as_deref()?).ok()?;
    match decided.min() {
        Some(decided) if !waits_for_signature => decided.checked_add(DECIDED).ok(),
        _ => created.checked_add(PENDING).ok(),
    }
}
