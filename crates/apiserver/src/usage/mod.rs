//! `metrics.k8s.io`: what nodes and pods use, as metrics-server tells it.
//!
//! Nothing is collected unless somebody asks. A question is answered from readings that are at most
//! fifteen seconds old; if there are none, the nodes are read first, and twice where the last time is
//! too long ago for a rate to mean anything. Who asks every fifteen seconds, as autoscalers do, gets the
//! same readings from one round for all, and an idle cluster does no work.
//!
//! A user's own APIService of this version comes before all of this.

mod readings;
mod rounds;
mod text;

pub(crate) use rounds::Rounds;

use crate::answer::{Answer, Listing};
use crate::filter::Filter;
use crate::object::{Index, Object};
use crate::resources::Resource;
use crate::server::Server;
use client::Request;
use meta::{GroupResource, Status, time};
use readings::{Rate, Rates};
use serde_json::{Value, json};
use std::sync::Arc;

const GROUP: &str = "metrics.k8s.io";

/// Whether a row is answered here.
pub(crate) fn serves(resource: &Resource) -> bool {
    resource.kind.group == GROUP
}

impl Server {
    /// GET and LIST of NodeMetrics and PodMetrics.
    pub(crate) async fn usage(&self, resource: &Arc<Resource>, request: &Request) -> Result<Answer, Status> {
        let (namespace, name) = (request.namespace.as_deref().unwrap_or_default(), request.name.as_deref());
        let metadata = self
            .resources
            .find("", "v1", &resource.kind.resource)
            .and_then(|row| row.collection.clone())
            .ok_or_else(Status::no_such_path)?;
        let Some(name) = name else {
            let filter = Filter::read(resource, request.namespace.as_deref(), None, &request.options)?;
            let (objects, _) = metadata.snapshot();
            let rates = self.rounds.rates(self).await;
            let shown = objects.values().filter(|object| filter.matches(object));
            let items = shown.filter_map(|object| self.measured(resource, object, &rates)).collect();
            let resource = resource.clone();
            return Ok(Answer::List(Listing { resource, revision: 0, items, continue_token: None, remaining: None }));
        };
        let asked = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let missing = |group: &str, what: &str| {
            let what = GroupResource { group: group.to_owned().into(), resource: what.to_owned().into() };
            Status::not_found(&what, &asked)
        };
        let object = metadata.get(&Object::key(namespace, name)).ok_or_else(|| missing("", &resource.kind.resource))?;
        let rates = self.rounds.rates(self).await;
        let measured = self.measured(resource, &object, &rates);
        let kind = resource.kind.kind.to_lowercase();
        let object = measured.ok_or_else(|| missing(GROUP, &kind))?;
        Ok(Answer::Object { object, created: false })
    }

    /// None: it is not known what the object uses.
    fn measured(&self, resource: &Resource, object: &Object, rates: &Rates) -> Option<Arc<Object>> {
        let index = &object.index;
        let mut value = match resource.kind.namespaced {
            false => {
                let rate = rates.nodes.get(&index.name)?;
                json!({"timestamp": time::format(rate.at), "window": window(rate), "usage": used(rate)})
            }
            true => {
                let containers = rates.pods.get(&(index.namespace.clone(), index.name.clone()))?;
                let earliest = containers.values().min_by_key(|rate| rate.at)?;
                let each = containers.iter().map(|(name, rate)| json!({"name": name, "usage": used(rate)}));
                let each: Vec<Value> = each.collect();
                json!({"timestamp": time::format(earliest.at), "window": window(earliest), "containers": each})
            }
        };
        let created = time::format(self.env.clock.now());
        value["kind"] = json!(resource.kind.kind);
        value["apiVersion"] = json!(resource.api_version());
        value["metadata"] = json!({"name": index.name, "creationTimestamp": created});
        if resource.kind.namespaced {
            value["metadata"]["namespace"] = json!(index.namespace);
        }
        if !index.labels.is_empty() {
            value["metadata"]["labels"] = json!(index.labels);
        }
        let own = Index { uid: String::new(), fields: Vec::new(), form: 0, ..index.clone() };
        Some(Arc::new(Object::new(0, resource.encode(&value).into(), own)))
    }
}

fn used(rate: &Rate) -> Value {
    let cpu = format!("{}n", rate.cpu_nanos);
    let cpu = meta::quantity::canonical(&cpu).map_or_else(|_| cpu.clone(), |text| text.into_owned());
    let memory = meta::quantity::Quantity::bytes(i64::try_from(rate.memory).unwrap_or(i64::MAX));
    json!({"cpu": cpu, "memory": memory.to_string()})
}

/// To the millisecond, as nobody measures better.
fn window(rate: &Rate) -> String {
    let millis = i64::try_from(rate.window.as_millis()).unwrap_or(i64::MAX);
    time::format_duration(millis.saturating_mul(1_000_000))
}
