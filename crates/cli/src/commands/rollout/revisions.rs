//! The revisions of a workload: a Deployment's are its ReplicaSets, those of the others
//! ControllerRevisions.

use crate::failure::{Failure, Outcome};
use crate::session::{Call, Session};
use crate::targets::Target;
use serde_json::Value;

pub const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

pub struct Revision {
    pub number: i64,
    pub cause: String,
    /// The ReplicaSet or ControllerRevision.
    pub object: Value,
}

impl Revision {
    /// The pod template as it was.
    pub fn template(&self) -> &Value {
        match self.object["kind"].as_str() {
            Some("ControllerRevision") => &self.object["data"]["spec"]["template"],
            _ => &self.object["spec"]["template"],
        }
    }

    /// The template with the reason that it came for, as a Deployment's history shows it.
    pub fn explained(&self) -> Value {
        let mut template = self.template().clone();
        if let Some(cause) = self.object["metadata"]["annotations"][CHANGE_CAUSE].as_str()
            && self.object["kind"] == "ReplicaSet"
        {
            template["metadata"]["annotations"][CHANGE_CAUSE] = cause.into();
        }
        template
    }
}

/// All revisions of a workload, oldest first.
pub async fn of(session: &Session, target: &Target, object: &Value) -> Outcome<Vec<Revision>> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let list = match kind {
        "Deployment" => "replicasets",
        "DaemonSet" | "StatefulSet" => "controllerrevisions",
        _ => {
            let of = &target.resource;
            let text = format!(
                "error retrieving history for {kind:?}, no visitor method exists for {{{} {}}}",
                of.group, of.kind
            );
            return Err(Failure::message(text));
        }
    };
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let selector = meta::labels::Selector::from_json(&object["spec"]["selector"])
        .map_err(|why| Failure::message(why.to_string()))?;
    let call =
        Call::get(format!("/apis/apps/v1/namespaces/{namespace}/{list}")).query("labelSelector", selector.to_string());
    let mut found = session.json(call).await?;
    let items = found["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let uid = &object["metadata"]["uid"];
    let owned = |item: &Value| {
        let owners = item["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    };
    let revision = |mut item: Value| {
        item["kind"] = if list == "replicasets" { "ReplicaSet".into() } else { "ControllerRevision".into() };
        let annotations = &item["metadata"]["annotations"];
        let number = annotations[REVISION].as_str().and_then(|text| text.parse().ok());
        let number = number.or(item["revision"].as_i64()).unwrap_or_default();
        let cause = annotations[CHANGE_CAUSE].as_str().unwrap_or("<none>").to_owned();
        Revision { number, cause, object: item }
    };
    let mut revisions: Vec<Revision> = items.into_iter().filter(owned).map(revision).collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}
