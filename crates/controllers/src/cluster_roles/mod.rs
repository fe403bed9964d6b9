//! Aggregated ClusterRoles: their rules are those of the roles they select.

#[cfg(test)]
mod tests;

use crate::action::{Action, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key, Projection};
use meta::labels::Selector;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "clusterrole-aggregation-controller",
    identity: "clusterrole-aggregation-controller",
    component: "clusterrole-aggregation-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// Which roles a role takes its rules from; empty: it has its own.
struct RoleView {
    sources: Vec<Selector>,
}

impl Projection for RoleView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Role {
            #[serde(default)]
            aggregation_rule: Value,
        }
        let role: Role = serde_json::from_slice(object)?;
        let selectors = role.aggregation_rule["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
        // A selector that cannot be read selects nothing.
        let sources = selectors.iter().filter_map(|selector| Selector::from_json(selector).ok()).collect();
        Ok(RoleView { sources })
    }
}

struct Aggregator {
    roles: Arc<Cache<RoleView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let roles = rig.cache::<RoleView>(&resource::CLUSTER_ROLES);
    let all = Arc::downgrade(&roles);
    rig.on(&roles, move |change, queue| {
        let Some(roles) = all.upgrade() else { return };
        // Whatever changed may have been selected before or be selected now.
        for role in roles.list().iter().filter(|role| !role.view.sources.is_empty()) {
            let selects = |source: &Selector| change.states().any(|it| source.matches(&it.meta.labels));
            let itself = change.latest().is_some_and(|it| it.key == role.key);
            if itself || role.view.sources.iter().any(selects) {
                queue.add(role.key.clone());
            }
        }
    });
    Box::new(Aggregator { roles })
}

impl Room for Aggregator {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(role) = self.roles.get_key(key).filter(|role| !role.view.sources.is_empty()) else {
            return Ok(Plan::nothing());
        };
        let rules = |role: &client::Item<RoleView>| {
            let object: Value = role.decode().map_err(|why| RoomError::Decode { key: role.key.clone(), why })?;
            Ok::<_, RoomError>(object["rules"].as_array().cloned().unwrap_or_default())
        };
        let mut wanted: Vec<Value> = Vec::new();
        for source in self.roles.list() {
            let selected = role.view.sources.iter().any(|selector| selector.matches(&source.meta.labels));
            if !selected || source.key == *key {
                continue;
            }
            for rule in rules(&source)? {
                if !wanted.contains(&rule) {
                    wanted.push(rule);
                }
            }
        }
        if wanted == rules(&role)? {
            return Ok(Plan::nothing());
        }
        let body = json!({"metadata": {"resourceVersion": role.meta.resource_version}, "rules": wanted});
        Ok(Plan::of(vec![Action::Patch(Patch::merge(&resource::CLUSTER_ROLES, key, body))]))
    }
}
