//! DynamicResources: a pod goes where its claims of devices are, or can be, allocated. What is decided
//! here `crate::claims` writes before it binds the pod.

mod allocator;
mod pools;
#[cfg(test)]
mod tests;

pub use allocator::Given;

use crate::cluster::{DeviceClaimView, DeviceId, Nodes, SliceView, owner_is};
use crate::framework::{Case, Plugin, Prepared, Rejection};
use crate::news::{DEVICE_CLAIM, DEVICE_CLASS, DEVICES, NODE_ADD, NODE_LABEL, News, Subject};
use crate::node::Node;
use crate::pod::{NodeRequirement, NodeTerm, PodClaim, PodItem};
use crate::snapshot::Snapshot;
use allocator::{Claim, allocate};
use client::cache::{Item, Key};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NOT_HERE: &str = "resourceclaim not available on the node";
const NO_DEVICES: &str = "cannot allocate all claims";

pub const PLUGIN: Plugin = Plugin::spanning(
    "DynamicResources",
    prepare,
    0,
    NODE_ADD | NODE_LABEL | DEVICE_CLAIM | DEVICE_CLASS | DEVICES,
    may_help,
);

/// What is to be written of a claim before its pod can go to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub key: Key,
    pub uid: String,
    /// None: it has its devices.
    pub given: Option<Given>,
}

/// The claims of a pod.
struct Ready {
    claims: Vec<Claim>,
    /// Those without devices.
    waiting: Vec<Claim>,
    slices: Vec<Arc<Item<SliceView>>>,
    /// Devices that other claims have, or are just being given.
    taken: BTreeSet<DeviceId>,
}

fn refuse(why: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::of(why).is_final()
}

/// The pod's claims, or why it cannot be scheduled as they stand.
pub fn claims_of(case: &Case<'_>) -> Result<Vec<Claim>, String> {
    let mut claims = Vec::with_capacity(case.pod.view.claims.len());
    let (namespace, pod) = (&case.pod.meta.namespace, &case.pod.meta.name);
    for claim in &case.pod.view.claims {
        let PodClaim::Named { name, is_own } = claim else {
            return Err(format!("pod \"{namespace}/{pod}\": ResourceClaim not created yet"));
        };
        let Some(claim) = case.cluster.device_claims.get(namespace, name) else {
            return Err(format!("resourceclaim.resource.k8s.io \"{name}\" not found"));
        };
        if claim.meta.is_deleting() {
            return Err(format!("resourceclaim \"{name}\" is being deleted"));
        }
        if *is_own && !owner_is(&claim, &case.pod.meta.uid) {
            return Err(format!(
                "ResourceClaim {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
            ));
        }
        claims.push(claim);
    }
    Ok(claims)
}

fn prepare(case: &Case<'_>, _snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    Ok(read(case)?.map(|ready| Box::new(ready) as Box<dyn Prepared>))
}

fn read(case: &Case<'_>) -> Result<Option<Ready>, Rejection> {
    if case.pod.view.claims.is_empty() {
        return Ok(None);
    }
    let claims = claims_of(case).map_err(refuse)?;
    let mut ready = Ready { waiting: Vec::new(), slices: Vec::new(), taken: BTreeSet::new(), claims };
    let assumed = case.cluster.assumed();
    for claim in ready.claims.iter().filter(|claim| claim.view.allocation.is_none()) {
        if assumed.devices.contains_key(&claim.meta.uid) {
            return Err(refuse(format!("resource claim {} is in the process of being allocated", claim.key)));
        }
        check_classes(case, claim)?;
        ready.waiting.push(claim.clone());
    }
    if !ready.waiting.is_empty() {
        let known = case.cluster.device_claims.list();
        let allocated = known.iter().filter_map(|claim| claim.view.allocation.as_ref());
        ready.taken =
            allocated.flat_map(|one| &one.devices).chain(assumed.devices.values().flatten()).cloned().collect();
        ready.slices = case.cluster.slices.list();
    }
    Ok(Some(ready))
}

fn check_classes(case: &Case<'_>, claim: &Item<DeviceClaimView>) -> Result<(), Rejection> {
    for request in &claim.view.requests {
        if request.wanted.is_empty() {
            return Err(refuse(format!(
                "resource claim {}, request {}: unknown request type",
                claim.key, request.name
            )));
        }
        for wanted in &request.wanted {
            if case.cluster.device_classes.get("", &wanted.class).is_none() {
                let name = match request.is_choice {
                    true => format!("{}/{}", request.name, wanted.name),
                    false => request.name.clone(),
                };
                return Err(refuse(format!("request {name}: device class {} does not exist", wanted.class)));
            }
        }
    }
    Ok(())
}

fn is_usable(claim: &Item<DeviceClaimView>, node: &Node) -> bool {
    let nodes = claim.view.allocation.as_ref().and_then(|allocation| allocation.nodes.as_ref());
    nodes.is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, node.labels())))
}

impl Ready {
    fn decide(&self, case: &Case<'_>, node: &Node) -> Result<Vec<Given>, Rejection> {
        if !self.claims.iter().all(|claim| is_usable(claim, node)) {
            return Err(refuse(NOT_HERE));
        }
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        match allocate(case.cluster, &self.waiting, &self.slices, &self.taken, node) {
            Ok(Some(given)) => Ok(given),
            Ok(None) => Err(refuse(NO_DEVICES)),
            Err(why) => Err(refuse(why)),
        }
    }
}

impl Prepared for Ready {
    fn filter(&self, case: &Case<'_>, snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        self.decide(case, snapshot.node(slot)).map(drop)
    }
}

/// Gives the pod's claims devices on the node that was chosen for it: nobody else gets them from here
/// on. The caller lets no other pod be decided on meanwhile.
pub fn reserve(case: &Case<'_>, node: &Node) -> Result<Vec<Reservation>, Rejection> {
    let Some(ready) = read(case)? else { return Ok(Vec::new()) };
    let given = ready.decide(case, node)?;
    let mut given: BTreeMap<&str, Given> =
        ready.waiting.iter().map(|claim| claim.meta.uid.as_str()).zip(given).collect();
    let mut assumed = case.cluster.assumed();
    let mut reservations = Vec::new();
    for claim in &ready.claims {
        let given = given.remove(claim.meta.uid.as_str());
        if let Some(given) = &given {
            let devices = given.picks.iter().filter(|pick| !pick.is_admin).map(|pick| pick.id.clone());
            assumed.devices.insert(claim.meta.uid.clone(), devices.collect());
        } else if claim.view.reserved_for.contains(&case.pod.meta.uid) {
            continue;
        }
        reservations.push(Reservation { key: claim.key.clone(), uid: claim.meta.uid.clone(), given });
    }
    Ok(reservations)
}

/// A claim of the pod that keeps it from nodes and that nobody else uses: without its devices it could
/// get others.
pub fn in_the_way(case: &Case<'_>, nodes: &[&Node]) -> Option<Claim> {
    let is_only_ours = |claim: &Claim| match claim.view.reserved_for.as_slice() {
        [] => true,
        [one] => *one == case.pod.meta.uid,
        _ => false,
    };
    let claims = claims_of(case).ok()?;
    let mut claims = claims.into_iter().filter(|claim| claim.view.allocation.is_some() && is_only_ours(claim));
    claims.find(|claim| nodes.iter().any(|node| !is_usable(claim, node)))
}

fn may_help(case: &Case<'_>, news: &News<'_>) -> bool {
    let Subject::DeviceClaim { old, new } = news.subject else { return true };
    let Ok(claims) = claims_of(case) else { return false };
    let is_freed = old.is_some_and(|old| old.view.allocation.is_some()) && new.view.allocation.is_none();
    let is_own = claims.iter().any(|claim| claim.meta.uid == new.meta.uid);
    is_freed || is_own && old.is_none_or(|old| old.view != new.view)
}

/// Whether all claims of the pod are there: before that it is not worth trying.
pub fn is_ready(case: &Case<'_>) -> bool {
    case.pod.view.claims.is_empty() || claims_of(case).is_ok()
}

/// What a claim was given, as its status says it. `claim` is the whole claim, `class` finds classes.
pub fn allocation(given: &Given, claim: &Value, class: impl Fn(&str) -> Option<Value>) -> Value {
    let mut devices = json!({});
    let results: Vec<Value> = given.picks.iter().map(|pick| result(pick, claim)).collect();
    if !results.is_empty() {
        devices["results"] = results.into();
    }
    let configs = configurations(given, claim, class);
    if !configs.is_empty() {
        devices["config"] = configs.into();
    }
    let mut allocation = json!({"devices": devices});
    if let Some(selector) = node_selector(&given.nodes) {
        allocation["nodeSelector"] = selector;
    }
    allocation
}

fn result(pick: &allocator::Pick, claim: &Value) -> Value {
    let mut result = json!({
        "request": pick.request,
        "driver": &*pick.id.driver,
        "pool": &*pick.id.pool,
        "device": &*pick.id.device,
    });
    if pick.is_admin {
        result["adminAccess"] = true.into();
    }
    let tolerations = &wanted(claim, &pick.request)["tolerations"];
    if tolerations.is_array() {
        result["tolerations"] = tolerations.clone();
    }
    result
}

/// A request or alternative of a claim, by its full name.
fn wanted<'c>(claim: &'c Value, name: &str) -> &'c Value {
    let find =
        |list: &'c Value, name: &str| -> Option<&'c Value> { list.as_array()?.iter().find(|one| one["name"] == *name) };
    let requests = &claim["spec"]["devices"]["requests"];
    let found = match name.split_once('/') {
        None => find(requests, name).map(|request| &request["exactly"]),
        Some((name, part)) => find(requests, name).and_then(|request| find(&request["firstAvailable"], part)),
    };
    found.unwrap_or(&Value::Null)
}

/// What drivers are told: of each class once, then of the claim.
fn configurations(given: &Given, claim: &Value, class: impl Fn(&str) -> Option<Value>) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut configs = Vec::new();
    let mut seen = BTreeSet::new();
    for (_, name) in given.classes.iter().filter(|(_, name)| seen.insert(name)) {
        let users: Vec<&str> =
            given.classes.iter().filter(|(_, one)| one == name).map(|(request, _)| request.as_str()).collect();
        for config in class(name).iter().flat_map(|class| list(&class["spec"]["config"])) {
            let mut entry = json!({"source": "FromClass", "opaque": config["opaque"]});
            if users.len() < given.classes.len() {
                entry["requests"] = json!(users);
            }
            configs.push(entry);
        }
    }
    for config in list(&claim["spec"]["devices"]["config"]) {
        let requests = list(&config["requests"]);
        let is_used = |(request, _): &(String, String)| {
            let whole = request.split_once('/').map_or(request.as_str(), |(whole, _)| whole);
            requests.iter().any(|one| *one == **request || *one == *whole)
        };
        if !requests.is_empty() && !given.classes.iter().any(is_used) {
            continue;
        }
        let mut entry = json!({"source": "FromClaim", "opaque": config["opaque"]});
        if !requests.is_empty() && requests.len() < given.classes.len() {
            entry["requests"] = json!(requests);
        }
        configs.push(entry);
    }
    configs
}

/// Where all of the devices can be used; None: anywhere.
fn node_selector(nodes: &[Nodes]) -> Option<Value> {
    let mut merged = NodeTerm::default();
    for nodes in nodes {
        match nodes {
            Nodes::One(name) => {
                let fields = [json!({"key": "metadata.name", "operator": "In", "values": [name]})];
                return Some(json!({"nodeSelectorTerms": [{"matchFields": fields}]}));
            }
            Nodes::Selected(terms) => {
                for term in terms.iter().take(1) {
                    merge(&mut merged.match_fields, &term.match_fields);
                    merge(&mut merged.match_expressions, &term.match_expressions);
                }
            }
            Nodes::All | Nodes::None => {}
        }
    }
    let show = |rules: &[NodeRequirement]| -> Vec<Value> { rules.iter().map(shown).collect() };
    let mut term = json!({});
    for (field, rules) in [("matchExpressions", &merged.match_expressions), ("matchFields", &merged.match_fields)] {
        if !rules.is_empty() {
            term[field] = show(rules).into();
        }
    }
    (term != json!({})).then(|| json!({"nodeSelectorTerms": [term]}))
}

fn merge(all: &mut Vec<NodeRequirement>, more: &[NodeRequirement]) {
    for rule in more {
        if !all.contains(rule) {
            all.push(rule.clone());
        }
    }
}

fn shown(rule: &NodeRequirement) -> Value {
    match rule.values.is_empty() {
        true => json!({"key": rule.key, "operator": rule.operator}),
        false => json!({"key": rule.key, "operator": rule.operator, "values": rule.values}),
    }
}

/// What a consumer is called in a claim's status.
pub fn consumer(pod: &PodItem) -> Value {
    json!({"resource": "pods", "name": pod.meta.name, "uid": pod.meta.uid})
}
