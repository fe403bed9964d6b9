//! From client-side to server-side apply: what client-side apply owned becomes the server-side
//! manager's own, so that it can take away what is no longer applied.

use crate::changes::{APPLY, JSON_PATCH, Write};
use crate::failure::Outcome;
use crate::last_applied;
use crate::session::Session;
use crate::targets::Target;
use serde_json::{Value, json};
use wire::apply::FieldSet;

const SERVER_SIDE: &str = "kubectl";
const CLIENT_SIDE: &str = "kubectl-client-side-apply";
/// Keeps the annotation alive for those who still apply on the client's side.
const ANNOTATION: &str = "kubectl-last-applied";

/// Says whether anything changed hands, after which the object must be applied once more.
pub async fn upgrade(session: &Session, write: &Write, target: &Target, applied: &Value) -> Outcome<bool> {
    if write.manager != SERVER_SIDE || !write.dry_run.parameter().is_empty() {
        return Ok(false);
    }
    let mut object = applied.clone();
    if let Some(text) = last_applied::of(applied)
        && owner_of_annotation(applied, "Apply").is_none()
    {
        let just_that = json!({
            "apiVersion": applied["apiVersion"], "kind": applied["kind"],
            "metadata": {
                "name": target.name, "namespace": target.namespace, "annotations": {last_applied::KEY: text},
            },
        });
        let write = Write { manager: ANNOTATION.to_owned(), ..write.clone() };
        object = write.patch(session, target.path(None), APPLY, just_that.to_string()).await?;
    }
    let Some(entries) = merged(&object) else { return Ok(false) };
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
    ]);
    write.patch(session, target.path(None), JSON_PATCH, patch.to_string()).await?;
    Ok(true)
}

fn owner_of_annotation(object: &Value, operation: &str) -> Option<String> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let owns = |entry: &&Value| {
        let field = format!("f:{}", last_applied::KEY);
        entry["operation"] == operation && entry["fieldsV1"]["f:metadata"]["f:annotations"].get(field).is_some()
    };
    entries.iter().find(owns)?["manager"].as_str().map(str::to_owned)
}

/// The entries with those of client-side apply put into the server-side manager's; None where
/// there are none.
fn merged(object: &Value) -> Option<Vec<Value>> {
    let by_annotation = owner_of_annotation(object, "Update");
    let is_client_side = |entry: &Value| {
        let manager = entry["manager"].as_str();
        entry["operation"] == "Update"
            && entry.get("subresource").is_none()
            && (manager == Some(CLIENT_SIDE) || manager.is_some() && manager == by_annotation.as_deref())
    };
    let entries = object["metadata"]["managedFields"].as_array()?.clone();
    let (old, mut kept): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(is_client_side);
    let own = kept.iter_mut().find(|entry| entry["manager"] == SERVER_SIDE && entry["operation"] == "Apply")?;
    if old.is_empty() {
        return None;
    }
    let mut fields = FieldSet::from_json(own["fieldsV1"].take())?;
    old.into_iter()
        .filter_map(|mut entry| FieldSet::from_json(entry["fieldsV1"].take()))
        .for_each(|set| fields.union(set));
    own["fieldsV1"] = fields.into_json();
    Some(kept)
}
