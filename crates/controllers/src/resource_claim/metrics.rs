//! Upstream's metrics of claims, by upstream's names.

use super::{FOR_ENTRY, list};
use base::metrics::{Counter, Family, Gauge};
use client::{Change, Item};
use serde_json::Value;

type Labels = Vec<(&'static str, &'static str)>;

#[derive(Clone)]
pub struct Metrics {
    creates: Family<Labels, Counter>,
    claims: Family<Labels, Gauge>,
}

fn flag(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

impl Metrics {
    pub fn register(registry: &base::metrics::Metrics) -> Self {
        Metrics {
            creates: registry.register(
                "dynamic_resource_allocation_resourceclaim_creates",
                "Number of ResourceClaims creation requests, by their outcome and by admin access.",
                Family::default(),
            ),
            claims: registry.register(
                "dynamic_resource_allocation_resource_claims",
                "Number of ResourceClaims, by whether they are allocated, by admin access and by who made them.",
                Family::default(),
            ),
        }
    }

    pub fn created(&self, is_admin: bool, succeeded: bool) {
        let status = if succeeded { "success" } else { "failure" };
        self.creates.get_or_create(&vec![("status", status), ("admin_access", flag(is_admin))]).inc();
    }

    pub fn changed(&self, change: &Change<()>) {
        for (item, by) in [(&change.old, -1), (&change.new, 1)] {
            if let Some(item) = item {
                self.claims.get_or_create(&labels(item)).inc_by(by);
            }
        }
    }
}

fn labels(item: &Item<()>) -> Labels {
    let claim: Value = item.decode().unwrap_or_default();
    let requests = list(&claim, "/spec/devices/requests").iter();
    let is_admin = requests.into_iter().any(|request| request["exactly"]["adminAccess"] == true);
    let is_made = item.meta.annotations.contains_key(FOR_ENTRY);
    let source = if is_made { "resource_claim_template" } else { "" };
    let is_allocated = !claim["status"]["allocation"].is_null();
    vec![("allocated", flag(is_allocated)), ("admin_access", flag(is_admin)), ("source", source)]
}
