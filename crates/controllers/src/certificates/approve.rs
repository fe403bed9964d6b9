//! Approves what nodes ask for themselves, after asking whether they may.

use super::{Asked, KUBELET_CLIENT, KUBELET_SERVING, Request, Signer};
use crate::action::{Action, Create, Outcome, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::NodeView;
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key};
use meta::conditions::{self, Condition};
use serde_json::{Value, json};
use std::sync::Arc;

pub const APPROVING: Def = Def {
    name: "certificatesigningrequest-approving-controller",
    identity: "certificate-controller",
    component: "certificate-controller",
    workers: 5,
    retry: RETRY,
    build,
};

const NODE: &str = "system:node:";
const OWN: &str = "Auto approving self kubelet client certificate after SubjectAccessReview.";
const NEW: &str = "Auto approving kubelet client certificate after SubjectAccessReview.";
const SERVING: &str = "Auto approving kubelet serving certificate: its names are the addresses of the node.";

struct Approver {
    requests: Arc<Cache<()>>,
    nodes: Arc<Cache<NodeView>>,
    signer: Option<Arc<dyn Signer>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let requests = rig.cache::<()>(&resource::CERTIFICATE_REQUESTS);
    rig.on_itself(&requests);
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    Box::new(Approver { requests, nodes, signer: rig.options.signer.clone() })
}

impl Room for Approver {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let (Some(item), Some(signer)) = (self.requests.get_key(key), &self.signer) else {
            return Ok(Plan::nothing());
        };
        let unreadable = |why| RoomError::Decode { key: key.clone(), why };
        let request: Request = item.decode().map_err(unreadable)?;
        if !request.status.certificate.is_empty() || request.has("Approved") || request.has("Denied") {
            return Ok(Plan::nothing());
        }
        let object: Value = item.decode().map_err(unreadable)?;
        // Requests of other kinds, and odd ones, are for people to decide.
        let asked = request.pem().and_then(|pem| signer.check(&request.spec.signer_name, &pem, &request.usages()));
        let Ok(asked) = asked else { return Ok(Plan::nothing()) };
        let approval = Approval { key: key.clone(), object, now };
        Ok(match request.spec.signer_name.as_str() {
            KUBELET_CLIENT => client(approval, &request, &asked),
            KUBELET_SERVING => serving(approval, &request, &asked, &self.nodes),
            _ => Plan::nothing(),
        })
    }
}

/// An approval to be written, if it comes to that.
struct Approval {
    key: Key,
    object: Value,
    now: Timestamp,
}

impl Approval {
    fn give(mut self, message: &str) -> Plan {
        let (kind, reason) = ("Approved", "AutoApproved");
        let new = Condition { kind, status: "True", reason, message, observed_generation: 0 };
        let mut list = self.object["status"]["conditions"].take();
        conditions::set(&mut list, new, self.now);
        list.as_array_mut().into_iter().flatten().for_each(|condition| {
            condition["lastUpdateTime"] = json!(meta::time::format(self.now));
        });
        self.object["status"]["conditions"] = list;
        let resource = resource::CERTIFICATE_REQUESTS;
        Plan::of(vec![Action::Update(Update {
            resource,
            key: self.key,
            subresource: Some("approval"),
            object: self.object,
        })])
    }
}

/// A node renews its own certificate, or one is made for a node that joins.
fn client(approval: Approval, request: &Request, asked: &Asked) -> Plan {
    let own = request.spec.username == asked.common_name;
    let mut kinds = vec![("nodeclient", NEW)];
    if own {
        kinds.insert(0, ("selfnodeclient", OWN));
    }
    let reviews: Vec<Create> = kinds.iter().map(|(subresource, _)| review(request, subresource)).collect();
    Plan::of(reviews.into_iter().map(|review| Action::Create(vec![review])).collect()).then(move |outcome: &Outcome| {
        let allowed = |body: &bytes::Bytes| {
            serde_json::from_slice::<Value>(body).is_ok_and(|review| review["status"]["allowed"] == true)
        };
        let granted = outcome.written.iter().zip(&kinds).find(|(body, _)| allowed(body));
        match granted {
            Some((_, (_, message))) => approval.give(message),
            None => Plan::nothing(),
        }
    })
}

fn review(request: &Request, subresource: &str) -> Create {
    let spec = &request.spec;
    let attributes = json!({
        "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
        "version": "*", "subresource": subresource,
    });
    let mut asked = json!({"user": spec.username, "uid": spec.uid, "groups": spec.groups});
    if !spec.extra.is_null() {
        asked["extra"] = spec.extra.clone();
    }
    asked["resourceAttributes"] = attributes;
    let (api_version, kind) = ("authorization.k8s.io/v1", "SubjectAccessReview");
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": asked});
    Create::new(&resource::SUBJECT_ACCESS_REVIEWS, "", object)
}

/// A node may serve under the addresses it is known by, and no others. (Upstream leaves this to
/// people; a cluster that runs by itself cannot.)
fn serving(approval: Approval, request: &Request, asked: &Asked, nodes: &Cache<NodeView>) -> Plan {
    let Some(name) = asked.common_name.strip_prefix(NODE).filter(|_| request.spec.username == asked.common_name) else {
        return Plan::nothing();
    };
    let node = nodes.get("", name);
    let known = |asked: &String| {
        let listed = node.as_ref().is_some_and(|node| node.view.addresses.contains(asked));
        listed || asked == name
    };
    // The node may not have told its addresses yet.
    if asked.names.iter().all(known) { approval.give(SERVING) } else { Plan::nothing().unfinished() }
}
