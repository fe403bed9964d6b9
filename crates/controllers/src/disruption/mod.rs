//! PodDisruptionBudgets: how many of the pods they guard are healthy, how many have to be, and so how
//! many may be disrupted now. Evictions themselves are the API server's: it takes from the number
//! that stands here, and notes the pod in `disruptedPods`.
//!
//! Also takes back the mark of a disruption that never came.

mod plan;
mod scale;
#[cfg(test)]
mod tests;

use crate::action::{Action, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{PodView, SelectorView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, WorkQueue};
use jiff::SignedDuration;
use meta::conditions::{self, Condition};
use scale::{Scales, Told};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const DEF: Def = Def {
    name: "disruption-controller",
    identity: "disruption-controller",
    component: "controllermanager",
    workers: 1,
    retry: RETRY,
    build,
};

/// A pod about to be disrupted goes within this time, or it was not to go after all.
const DISRUPTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);
/// Keys of pods; no budget has such a name.
const POD: &str = "pod:";

struct Disruption {
    budgets: Arc<Cache<SelectorView>>,
    pods: Arc<Cache<PodView>>,
    scales: Arc<Scales>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let budgets = rig.cache::<SelectorView>(&resource::DISRUPTION_BUDGETS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on_itself(&budgets);
    let all = Arc::downgrade(&budgets);
    rig.on(&pods, move |change, queue| {
        if let Some(budgets) = all.upgrade() {
            pod_changed(&budgets, change, queue);
        }
    });
    Box::new(Disruption { budgets, pods, scales: Arc::new(Scales::new(rig)) })
}

fn pod_changed(budgets: &Cache<SelectorView>, change: &Change<PodView>, queue: &WorkQueue<Key>) {
    let Some(pod) = change.latest() else { return };
    let was_marked = change.old.as_ref().is_some_and(|old| old.view.disrupted_since.is_some());
    if pod.view.disrupted_since.is_some() && !was_marked {
        queue.add(Key::new(&pod.meta.namespace, &format!("{POD}{}", pod.meta.name)));
    }
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view.ready == new.view.ready
        && old.view.phase == new.view.phase
        && old.meta.labels == new.meta.labels
        && old.meta.is_deleting() == new.meta.is_deleting()
        && old.meta.controller() == new.meta.controller()
    {
        return;
    }
    for budget in budgets.list_in(&pod.meta.namespace) {
        if change.states().any(|pod| budget.view.selector.matches(&pod.meta.labels)) {
            queue.add(budget.key.clone());
        }
    }
}

impl Room for Disruption {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        if let Some(name) = key.name().strip_prefix(POD) {
            return Ok(self.pods.get(key.namespace(), name).map_or_else(Plan::nothing, |pod| unmark(&pod, now)));
        }
        let Some(budget) = self.budgets.get_key(key).filter(|budget| !budget.meta.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let object: Value = budget.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let guarded = |pod: &Arc<Item<PodView>>| budget.view.selector.matches(&pod.meta.labels);
        let pods: Vec<_> = self.pods.list_in(key.namespace()).into_iter().filter(guarded).collect();
        let asks = if plan::counts_scale(&object) { self.scales.asks(&pods) } else { BTreeMap::new() };
        if asks.is_empty() {
            return Ok(plan::plan(&object, &pods, &|pods| self.scales.expected(pods, &Told::new()), now));
        }
        let scales = self.scales.clone();
        let (uids, requests): (Vec<String>, Vec<_>) = asks.into_iter().unzip();
        Ok(Plan::of(vec![Action::Ask(requests)]).then(move |outcome| {
            let answers = uids.into_iter().zip(&outcome.answers);
            let told: Told = answers.map(|(uid, answer)| (uid.clone(), scale::read(answer, &uid))).collect();
            let plan = plan::plan(&object, &pods, &|pods| scales.expected(pods, &told), now);
            // Nothing will tell of that the server answers again.
            if told.values().any(Result::is_err) { plan.unfinished() } else { plan }
        }))
    }
}

/// A pod that was to go and stands after all is marked no more.
fn unmark(pod: &Item<PodView>, now: Timestamp) -> Plan {
    let Some(since) = pod.view.disrupted_since.filter(|_| !pod.meta.is_deleting() && !pod.view.is_finished()) else {
        return Plan::nothing();
    };
    let left = DISRUPTION_TIMEOUT - now.duration_since(since);
    if left > SignedDuration::ZERO {
        return Plan::nothing().again(Duration::try_from(left).ok());
    }
    let mut list = json!([]);
    let new = Condition { kind: "DisruptionTarget", status: "False", reason: "", message: "", observed_generation: 0 };
    conditions::set(&mut list, new, now);
    for field in ["reason", "message"] {
        list[0][field] = Value::Null;
    }
    let body = json!({"metadata": {"uid": pod.meta.uid}, "status": {"conditions": list}});
    Plan::of(vec![Action::Patch(Patch::strategic(&resource::PODS, &pod.key, body).subresource("status"))])
}
