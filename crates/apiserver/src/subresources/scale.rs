//! `scale`: the replica counts of a workload as an autoscaling/v1 Scale.

use super::Call;
use crate::answer::Answer;
use crate::object::Object;
use crate::write::{Expected, Part, decode, patched};
use client::Verb;
use meta::Status;
use serde_json::{Value, json};
use wire::schema::TypeId;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("autoscaling", "v1", "Scale").ok_or_else(Status::no_such_path)?;
    let expected =
        Expected { schema: resource.schema(), type_id, api_version: "autoscaling/v1".to_owned(), kind: "Scale" };
    let name = request.name.as_deref().unwrap_or_default();
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let object = match request.verb {
        Verb::Update => {
            let wanted = decode(&expected, &request.body, media, &request.options, caller)?;
            let answer = server
                .modify(resource, request, Part::Sub("scale"), caller, &mut |current, _| {
                    let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
                    Ok(with_replicas(current, &wanted))
                })
                .await?;
            written(answer)?
        }
        Verb::Patch(patch) => {
            let answer = server
                .modify(resource, request, Part::Sub("scale"), caller, &mut |current, caller| {
                    let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
                    let scale = scale_of(current);
                    let wanted = patched(&expected, &scale, patch, &request.body, &request.options, caller)?;
                    Ok(with_replicas(current, &wanted))
                })
                .await?;
            written(answer)?
        }
        _ => server.get(resource, namespace, name)?,
    };
    answer(&object, type_id)
}

fn written(answer: Answer) -> Result<std::sync::Arc<Object>, Status> {
    match answer {
        Answer::Object { object, .. } => Ok(object),
        _ => Err(Status::internal("a change of scale did not answer with an object")),
    }
}

fn answer(object: &Object, type_id: TypeId) -> Result<Answer, Status> {
    let scale = scale_of(&object.value()?);
    let json = wire::encode::to_json(&scale, kinds::schema(), type_id).into();
    Ok(Answer::Other { json, type_id, created: false })
}

fn scale_of(object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or_default();
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": at("/spec/replicas").as_i64().unwrap_or(0)},
        "status": {
            "replicas": at("/status/replicas").as_i64().unwrap_or(0),
            "selector": selector_text(&at("/spec/selector")),
        },
    })
}

/// A ReplicationController's selector is a plain map, everyone else's a LabelSelector.
fn selector_text(selector: &Value) -> String {
    let is_plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let wrapped = if is_plain && selector.is_object() { json!({"matchLabels": selector}) } else { selector.clone() };
    meta::labels::Selector::from_json(&wrapped).map(|selector| selector.to_string()).unwrap_or_default()
}

fn with_replicas(current: &Value, scale: &Value) -> Value {
    let mut object = current.clone();
    object["spec"]["replicas"] = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let revision = scale.pointer("/metadata/resourceVersion").cloned();
    if let Some(revision) = revision {
        object["metadata"]["resourceVersion"] = revision;
    }
    object
}
