//! Which endpoints stand in which slice: those that stay stay where they are, the new ones fill what
//! is touched anyway, so that as few slices as possible change. Pure.

use super::{Endpoint, Port, Slice, Standing};
use crate::action::{Action, Create, Delete, Update};
use crate::kinds::resource;
use client::Key;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the slices of one Service and manager are to say.
pub(super) struct Wanted {
    pub namespace: String,
    /// Slices are named after it.
    pub base_name: String,
    pub owner: Value,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// A slice that has others is to be changed; else they go along with other changes.
    pub annotations_are_all: bool,
    /// Endpoints in one slice.
    pub capacity: usize,
    /// Endpoints by address type and ports. A type without endpoints stands with an empty group, and
    /// gets one empty slice.
    pub groups: BTreeMap<Group, Vec<Endpoint>>,
}

/// What makes an endpoint the same though its state changed.
type Identity = (Vec<String>, Option<String>, Option<String>);

fn identity(endpoint: &Endpoint) -> Identity {
    let uid = endpoint.target_ref.as_ref().map(|target| target.uid.clone());
    (endpoint.addresses.clone(), endpoint.hostname.clone(), uid)
}

pub(super) fn allocate(mut wanted: Wanted, standing: Vec<Standing>) -> Vec<Action> {
    let mut by_group: BTreeMap<Group, Vec<Standing>> = BTreeMap::new();
    for it in standing {
        let mut ports = it.slice.ports.clone();
        ports.sort();
        by_group.entry((it.slice.address_type.clone(), ports)).or_default().push(it);
    }
    let mut changes = Changes::default();
    for (group, endpoints) in std::mem::take(&mut wanted.groups) {
        let standing = by_group.remove(&group).unwrap_or_default();
        allocate_group(&wanted, &group, endpoints, standing, &mut changes);
    }
    changes.spare.extend(by_group.into_values().flatten());
    changes.finish(&wanted)
}

/// An address type and the ports of its endpoints.
type Group = (String, Vec<Port>);

/// What is to be written.
#[derive(Default)]
struct Changes {
    updates: Vec<Action>,
    fresh: Vec<(Group, Vec<Endpoint>)>,
    /// Slices that say nothing any more.
    spare: Vec<Standing>,
}

impl Changes {
    /// A slice that is no longer needed says something new rather than go while another comes:
    /// watchers then see one change.
    fn finish(mut self, wanted: &Wanted) -> Vec<Action> {
        let mut creates = Vec::new();
        for (group, endpoints) in self.fresh {
            match self.spare.iter().position(|it| it.slice.address_type == group.0) {
                Some(at) => {
                    let mut standing = self.spare.swap_remove(at);
                    standing.object["ports"] = json!(group.1);
                    self.updates.push(update(wanted, Refill { standing, endpoints, changed: true }));
                }
                None => creates.push(create(wanted, &group, &endpoints)),
            }
        }
        let delete = |it: &Standing| {
            let meta = &it.slice.metadata;
            Delete::new(&resource::ENDPOINT_SLICES, &Key::of(meta), &meta.uid)
        };
        let mut actions = self.updates;
        if !creates.is_empty() {
            actions.push(Action::Create(creates));
        }
        if !self.spare.is_empty() {
            actions.push(Action::Delete(self.spare.iter().map(delete).collect()));
        }
        actions
    }
}

/// A slice being refilled.
struct Refill {
    standing: Standing,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

fn allocate_group(
    wanted: &Wanted,
    group: &Group,
    endpoints: Vec<Endpoint>,
    standing: Vec<Standing>,
    changes: &mut Changes,
) {
    let mut new: BTreeMap<Identity, Endpoint> = endpoints.into_iter().map(|it| (identity(&it), it)).collect();
    let is_empty = new.is_empty();
    let mut refills: Vec<Refill> = standing.into_iter().map(|it| keep(wanted, it, &mut new)).collect();
    // First those that change anyway, then the fullest that still has room for all.
    refills.sort_by_key(|refill| (!refill.changed, std::cmp::Reverse(refill.endpoints.len())));
    let mut left: Vec<Endpoint> = new.into_values().collect();
    for refill in refills.iter_mut() {
        let room = wanted.capacity.saturating_sub(refill.endpoints.len());
        // A slice that would not change otherwise takes what would not fill one of its own.
        let remainder = left.len() % wanted.capacity;
        let taken = match refill.changed {
            true => room.min(left.len()),
            false if room >= remainder => remainder,
            false => 0,
        };
        if taken > 0 {
            refill.endpoints.extend(left.drain(..taken));
            refill.changed = true;
        }
    }
    let mut kept = 0;
    for refill in refills {
        // One empty slice says that there is nothing; more say no more.
        if refill.endpoints.is_empty() && !(is_empty && kept == 0) {
            changes.spare.push(refill.standing);
            continue;
        }
        kept += 1;
        if refill.changed {
            changes.updates.push(update(wanted, refill));
        }
    }
    changes.fresh.extend(left.chunks(wanted.capacity).map(|piece| (group.clone(), piece.to_vec())));
    if is_empty && kept == 0 {
        changes.fresh.push((group.clone(), Vec::new()));
    }
}

/// Keeps the endpoints that are still wanted, in their new state.
fn keep(wanted: &Wanted, standing: Standing, new: &mut BTreeMap<Identity, Endpoint>) -> Refill {
    let Slice { metadata, endpoints, .. } = &standing.slice;
    let kept: Vec<Endpoint> = endpoints.iter().filter_map(|old| new.remove(&identity(old))).collect();
    let is_annotated_otherwise = wanted.annotations_are_all && metadata.annotations != wanted.annotations;
    let changed = kept != *endpoints || metadata.labels != wanted.labels || is_annotated_otherwise;
    Refill { endpoints: kept, changed, standing }
}

fn update(wanted: &Wanted, refill: Refill) -> Action {
    let key = Key::of(&refill.standing.slice.metadata);
    let mut object = refill.standing.object;
    object["endpoints"] = json!(refill.endpoints);
    object["metadata"]["labels"] = json!(wanted.labels);
    if wanted.annotations_are_all {
        object["metadata"]["annotations"] = json!({});
    }
    for (name, value) in &wanted.annotations {
        object["metadata"]["annotations"][name] = json!(value);
    }
    Action::Update(Update { resource: resource::ENDPOINT_SLICES, key, subresource: None, object })
}

fn create(wanted: &Wanted, (address_type, ports): &Group, endpoints: &[Endpoint]) -> Create {
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", wanted.base_name), "labels": wanted.labels,
            "annotations": wanted.annotations, "ownerReferences": [wanted.owner],
        },
        "addressType": address_type, "ports": ports, "endpoints": endpoints,
    });
    Create::new(&resource::ENDPOINT_SLICES, &wanted.namespace, object)
}
