//! The IPAddress objects of Services: written before the Service that has the address, taken away
//! after it. They go the way of every write, in the name of the server itself.

use super::allocated;
use super::taken::{Record, addresses_of};
use crate::local::Local;
use crate::object::{Index, Object};
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use client::{Api as _, Error, Request, Verb};
use meta::{GroupVersionResource, Reason, User};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use store::Expect;
use tracing::warn;

pub(super) const GROUP: &str = "networking.k8s.io";
const ADDRESSES: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "ipaddresses");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";

/// What an IPAddress says of itself.
pub(super) fn record(object: &Value) -> Record {
    let parent = &object["spec"]["parentRef"];
    let text = |field: &str| parent[field].as_str().unwrap_or_default();
    let is_service = text("group").is_empty() && text("resource") == "services";
    let labels = &object["metadata"]["labels"];
    let managed = labels[MANAGED_BY] == ALLOCATOR;
    Record {
        service: is_service.then(|| Object::key(text("namespace"), text("name"))),
        managed,
        labelled: managed && labels[FAMILY] == "IPv4",
    }
}

/// A Service on its way to the store.
pub(crate) struct Backing {
    key: String,
    /// The addresses whose objects were made for this write.
    made: Vec<u32>,
    before: Option<Arc<Object>>,
}

impl Server {
    /// The server itself as a client: what it writes by itself goes the way of every write.
    pub(crate) fn as_client(&self) -> Option<Local> {
        let user = User::new(auth::names::API_SERVER, &[auth::names::MASTERS, auth::names::AUTHENTICATED]);
        Some(Local::new(self.own()?, user))
    }

    /// Before a Service is written: sees to it that each of its addresses has its object. None for
    /// other kinds.
    pub(crate) async fn back(
        &self,
        resource: &Resource,
        index: &Index,
        json: &[u8],
        expect: &Expect,
    ) -> Result<Option<Backing>, CommitError> {
        if !resource.is("", "services") {
            return Ok(None);
        }
        let key = Object::key(&index.namespace, &index.name);
        let before = resource.collection.as_ref().and_then(|all| all.get(&key));
        let mut backing = Backing { key, made: Vec::new(), before };
        if matches!(expect, Expect::Absent) && backing.before.is_some() {
            // The write will be refused.
            return Ok(Some(backing));
        }
        for address in parsed(json) {
            if let Err(why) = self.back_one(resource, index, address, &mut backing).await {
                self.remove_addresses(&backing.made).await;
                self.settle(resource, &index.namespace, &index.name);
                return Err(why);
            }
        }
        Ok(Some(backing))
    }

    async fn back_one(
        &self,
        resource: &Resource,
        index: &Index,
        address: u32,
        backing: &mut Backing,
    ) -> Result<(), CommitError> {
        let known = self.services.book().taken.object(address).cloned();
        if known.is_some_and(|record| record.service.as_deref() == Some(&backing.key)) {
            return Ok(());
        }
        match self.make_address(address, (&index.namespace, &index.name)).await {
            Ok(()) => backing.made.push(address),
            Err(error) if error.is(Reason::AlreadyExists) => {
                let error = allocated(&Ipv4Addr::from(address).to_string());
                let kind = &resource.kind;
                let status = meta::field::invalid(&kind.group, &kind.kind, &index.name, &[error]);
                return Err(CommitError::Failed(status));
            }
            Err(Error::Status(status)) => return Err(CommitError::Failed(*status)),
            Err(other) => return Err(CommitError::Failed(meta::Status::internal(other))),
        }
        Ok(())
    }

    /// After a Service was written, or was not.
    pub(crate) async fn end_backing(&self, resource: &Resource, backing: Backing, written: bool) {
        match (&backing.before, written) {
            (Some(before), true) => self.drop_addresses(resource, &backing.key, before).await,
            (None, true) => {}
            (_, false) => self.remove_addresses(&backing.made).await,
        }
    }

    pub(super) async fn make_address(&self, address: u32, (namespace, name): (&str, &str)) -> Result<(), Error> {
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
            "metadata": {
                "name": Ipv4Addr::from(address).to_string(),
                "labels": {FAMILY: "IPv4", MANAGED_BY: ALLOCATOR},
            },
            "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}},
        });
        let Some(own) = self.as_client() else { return Ok(()) };
        own.call(Request::new(Verb::Create, ADDRESSES).body(object.to_string())).await.map(drop)
    }

    pub(super) async fn remove_address(&self, address: u32) -> Result<(), Error> {
        let Some(own) = self.as_client() else { return Ok(()) };
        let name = Ipv4Addr::from(address).to_string();
        match own.call(Request::new(Verb::Delete, ADDRESSES).name(name)).await {
            Err(error) if !error.is(Reason::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes away what a Service had before and has no more.
    pub(crate) async fn drop_addresses(&self, resource: &Resource, key: &str, had: &Object) {
        if !resource.is("", "services") {
            return;
        }
        let over: Vec<u32> = {
            let taken = &self.services.book().taken;
            let is_over = |address: &u32| {
                // Somebody may have it again already.
                taken.address_owner(*address).is_none()
                    && taken.object(*address).is_some_and(|record| record.service.as_deref() == Some(key))
            };
            parsed(&had.json).into_iter().filter(is_over).collect()
        };
        self.remove_addresses(&over).await;
    }

    /// What cannot be taken away now, repair finds.
    pub(crate) async fn remove_addresses(&self, addresses: &[u32]) {
        for address in addresses {
            if let Err(error) = self.remove_address(*address).await {
                warn!(address = %Ipv4Addr::from(*address), %error, "cannot give back the address of a service");
            }
        }
    }
}

/// The addresses of a Service's bytes; nothing else of them is read.
pub(super) fn parsed(json: &[u8]) -> Vec<u32> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(default)]
        spec: Spec,
    }
    #[derive(serde::Deserialize, serde::Serialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        #[serde(rename = "clusterIP")]
        address: String,
        #[serde(rename = "clusterIPs")]
        addresses: Vec<String>,
    }
    let Ok(Envelope { spec }) = serde_json::from_slice(json) else { return Vec::new() };
    addresses_of(&json!({"spec": spec}))
}
