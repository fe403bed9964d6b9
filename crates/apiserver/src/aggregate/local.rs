//! The APIServices of what this server answers itself: one for each group and version, made at
//! start-up and, for custom resources, as definitions come and go.

use super::{RESOURCE, SERVICES, own_user};
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Media};
use client::{Request, Verb};
use futures_util::future::join_all;
use kinds::Stability;
use meta::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Upstream's place of custom resources' versions.
const CUSTOM_VERSION: u32 = 100;

impl Server {
    /// Makes what is missing, for all groups or for one, and takes away what is not served any more.
    pub(crate) async fn register_local(&self, group: Option<&str>) {
        let rows = self.resources.all();
        let is_meant = |row: &&Arc<Resource>| {
            row.kind.stability != Stability::Legacy && group.is_none_or(|group| row.kind.group == group)
        };
        // Of the many rows of a group one is enough for each of its versions.
        let wanted: BTreeMap<(&str, &str), &Resource> =
            rows.iter().filter(is_meant).map(|row| ((&*row.kind.version, &*row.kind.group), &**row)).collect();
        let Some(services) = self.resources.find(super::GROUP, "v1", RESOURCE) else { return };
        let Some(collection) = &services.collection else { return };
        let (objects, _) = collection.snapshot();
        let missing = wanted.values().filter(|row| !objects.contains_key(name(row).as_str()));
        let creates = missing.map(|row| self.call(Request::new(Verb::Create, SERVICES).body(service(row).to_string())));
        join_all(creates).await;
        let is_over = |name: &Arc<str>| {
            name.split_once('.').is_some_and(|(version, of)| {
                group.is_none_or(|group| group == of) && !wanted.contains_key(&(version, of))
            })
        };
        let over = objects.iter().filter(|(name, object)| is_over(name) && object.index.labels.contains_key(MANAGED));
        let deletes = over.map(|(name, _)| self.call(Request::new(Verb::Delete, SERVICES).name(name.as_ref())));
        join_all(deletes).await;
    }

    /// Failures are left to the next time: someone else may have been quicker.
    pub(crate) async fn call(&self, request: Request) -> Result<(), Status> {
        let user = own_user();
        let mut warnings = Vec::new();
        let mut caller = Caller { user: &user, user_agent: "kube-apiserver", warnings: &mut warnings, record: None };
        self.handle(&request, Media::Json, &mut caller).await.map(|_| ())
    }
}

fn name(row: &Resource) -> String {
    format!("{}.{}", row.kind.version, row.kind.group)
}

fn service(row: &Resource) -> Value {
    let kind = &row.kind;
    let custom = row.custom.is_some();
    let mut spec = json!({
        "version": kind.version,
        "groupPriorityMinimum": kind.group_priority.clamp(1, 20_000),
        "versionPriority": if custom { CUSTOM_VERSION } else { kind.version_priority.clamp(1, 1000) },
    });
    if !kind.group.is_empty() {
        spec["group"] = json!(kind.group);
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name(row), "labels": {MANAGED: if custom { "true" } else { "onstart" }}},
        "spec": spec,
    })
}
