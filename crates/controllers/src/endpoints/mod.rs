//! Endpoints: the addresses of a Service in the form that the first API had. One object per Service
//! that has a selector.

mod plan;
#[cfg(test)]
mod tests;

use crate::action::{Action, Delete, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::services::{self, TargetRef};
use crate::views::{PodView, ServiceView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use meta::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "endpoints-controller",
    identity: "endpoint-controller",
    component: "endpoint-controller",
    workers: 5,
    retry: RETRY,
    build,
};

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
/// Endpoints with it are somebody's lock, not addresses.
pub(crate) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoints {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub subsets: Vec<Subset>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subset {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "meta::null_as_default")]
    pub addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "meta::null_as_default")]
    pub not_ready_addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "meta::null_as_default")]
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Address {
    pub ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Port {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub port: i32,
    pub protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

struct Observed {
    service: Arc<Item<ServiceView>>,
    pods: Vec<Arc<Item<PodView>>>,
    /// What stands, as read and as it is.
    standing: Option<(Endpoints, Value)>,
}

struct AllEndpoints {
    services: Arc<Cache<ServiceView>>,
    pods: Arc<Cache<PodView>>,
    endpoints: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let services = rig.cache::<ServiceView>(&resource::SERVICES);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let endpoints = rig.cache::<()>(&resource::ENDPOINTS);
    rig.on_itself(&services);
    let all = services.clone();
    rig.on(&pods, move |change, queue| services::pod_changed(&all, change, queue));
    rig.on(&endpoints, |change, queue| {
        // Those made by hand are no business of ours.
        let ours =
            change.latest().filter(|item| item.meta.labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1));
        ours.into_iter().for_each(|item| queue.add(item.key.clone()));
    });
    Box::new(AllEndpoints { services, pods, endpoints })
}

impl Room for AllEndpoints {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let standing = self.endpoints.get_key(key);
        let Some(service) = self.services.get_key(key) else {
            let leftover = standing.filter(|item| !item.meta.annotations.contains_key(LEADER));
            let delete = |item: Arc<Item<()>>| Delete::new(&resource::ENDPOINTS, &item.key, &item.meta.uid);
            return Ok(Plan::of(leftover.map(|item| Action::Delete(vec![delete(item)])).into_iter().collect()));
        };
        if !service.view.selects() {
            return Ok(Plan::nothing());
        }
        let unreadable = |why| RoomError::Decode { key: key.clone(), why };
        let standing = match standing {
            Some(item) => Some((item.decode().map_err(unreadable)?, item.decode().map_err(unreadable)?)),
            None => None,
        };
        let mut pods = services::reachable(&self.pods, &service);
        pods.retain(|pod| !pod.meta.is_deleting());
        Ok(plan::plan(&Observed { service, pods, standing }))
    }
}
