//! A metrics API that no node has to fill: the pods that a question is about share the load that the
//! player sets, each up to what it can take.
//!
//! It also remembers when autoscalers may have lost what they know of the past; whoever judges them
//! has to know that too.

use crate::ledger::Ledger;
use base::Clock;
use client::{Error, List, Request, Response};
use meta::labels::Selector;
use meta::{Reason, Status, conditions, time};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Thousandths of a processor that a pod can use.
pub const MOST: i64 = 250;
const GROUP: &str = "metrics.k8s.io";

#[derive(Default)]
struct State {
    /// In thousandths of a processor.
    load: i64,
    is_silent: bool,
    unsure: Option<Instant>,
}

#[derive(Default)]
pub struct Meter(Mutex<State>);

impl Meter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_load(&self, load: i64) {
        self.state().load = load;
    }

    pub fn load(&self) -> i64 {
        self.state().load
    }

    /// While it is silent, nobody gets an answer.
    pub fn set_silent(&self, is_silent: bool) {
        self.state().is_silent = is_silent;
    }

    /// Autoscalers know no longer, or never learned, what they did up to this moment.
    pub fn forget(&self, until: Instant) {
        let mut state = self.state();
        state.unsure = state.unsure.max(Some(until));
    }

    /// When that was last.
    pub fn forgotten(&self) -> Option<Instant> {
        self.state().unsure
    }

    /// Whether a request is for this API.
    pub fn serves(request: &Request) -> bool {
        &*request.resource.group == GROUP
    }

    /// The answer to a list of PodMetrics.
    pub fn answer(&self, ledger: &Ledger, clock: &Clock, request: &Request) -> Result<Response, Error> {
        let (load, is_silent) = (self.load(), self.state().is_silent);
        if is_silent {
            let why = "the server is currently unable to handle the request";
            return Err(Status::failure(Reason::ServiceUnavailable, why).into());
        }
        let selector = request.options.label_selector.as_deref().unwrap_or_default();
        let selector = Selector::parse(selector).map_err(|why| Error::Decode(why.to_string()))?;
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let mut pods = ledger.values(&format!("/registry/pods/{namespace}/"));
        pods.retain(|pod| is_ready(pod) && selector.matches(&labels(pod)));
        let share = share(load, pods.len());
        let measured = |pod: &Value| {
            let each = pod["spec"]["containers"].as_array().into_iter().flatten();
            let each =
                each.map(|one| json!({"name": one["name"], "usage": {"cpu": format!("{share}m"), "memory": "9Mi"}}));
            json!({
                "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
                "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
                "timestamp": time::format(clock.now()), "window": "15s", "containers": each.collect::<Vec<_>>(),
            })
        };
        let items = pods.iter().map(|pod| measured(pod).to_string().into()).collect();
        Ok(Response::List(List { items, ..List::default() }))
    }
}

/// What each of so many pods uses.
pub fn share(load: i64, pods: usize) -> i64 {
    let pods = i64::try_from(pods).unwrap_or(i64::MAX);
    load.checked_div(pods).unwrap_or(0).min(MOST)
}

fn labels(pod: &Value) -> BTreeMap<String, String> {
    let labels = pod["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running"
        && pod["metadata"]["deletionTimestamp"].is_null()
        && conditions::is_true(&pod["status"]["conditions"], "Ready")
}
