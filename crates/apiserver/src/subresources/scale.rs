//! `scale`: the replica counts of a workload as an autoscaling/v1 Scale.

use super::Call;
use crate::answer::Answer;
use crate::object::Object;
use crate::resources::Resource;
use crate::write::{Expected, Part, decode, patched};
use client::Verb;
use meta::{Reason, Status};
use serde_json::{Map, Value, json};
use strategy::custom::JsonPath;
use strategy::custom::definition::Scale;
use wire::schema::TypeId;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("autoscaling", "v1", "Scale").ok_or_else(Status::no_such_path)?;
    let expected = Expected {
        schema: kinds::schema(),
        type_id,
        api_version: "autoscaling/v1".to_owned(),
        kind: "Scale",
        is_custom: false,
    };
    let name = request.name.as_deref().unwrap_or_default();
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let object = match request.verb {
        Verb::Update => {
            let wanted = decode(&expected, &request.body, media, &request.options, caller)?;
            let answer = server
                .modify(resource, request, Part::Sub("scale"), caller, &mut |current, _| {
                    let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
                    Ok(with_replicas(resource, current, &wanted))
                })
                .await?;
            written(answer)?
        }
        Verb::Patch(patch) => {
            let answer = server
                .modify(resource, request, Part::Sub("scale"), caller, &mut |current, caller| {
                    let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
                    let scale = scale_of(resource, current);
                    let wanted = patched(&expected, &scale, patch, &request.body, &request.options, caller)?;
                    Ok(with_replicas(resource, current, &wanted))
                })
                .await?;
            written(answer)?
        }
        _ => server.get(resource, namespace, name).map_err(|status| missing(resource, name, status))?,
    };
    let shown = server.show(resource.work(), &object).await?;
    answer(resource, &shown, type_id)
}

/// Upstream's name for what is not there.
fn missing(resource: &Resource, name: &str, status: Status) -> Status {
    if !status.is(Reason::NotFound) {
        return status;
    }
    let mut what = resource.group_resource();
    what.resource = format!("{}/scale", what.resource).into();
    Status::not_found(&what, name)
}

fn written(answer: Answer) -> Result<std::sync::Arc<Object>, Status> {
    match answer {
        Answer::Object { object, .. } => Ok(object),
        _ => Err(Status::internal("a change of scale did not answer with an object")),
    }
}

fn answer(resource: &Resource, object: &Object, type_id: TypeId) -> Result<Answer, Status> {
    let scale = scale_of(resource, &object.value()?);
    let json = wire::encode::to_json(&scale, kinds::schema(), type_id).into();
    Ok(Answer::Other { json, type_id, created: false })
}

fn scale_of(resource: &Resource, object: &Value) -> Value {
    let at = |path: &str| object.pointer(path).cloned().unwrap_or_default();
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(paths) = resource.custom.as_ref().and_then(|custom| custom.rules.scale()) {
        return custom_scale(paths, metadata, object);
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

/// Of a custom resource, whose definition says where to look.
fn custom_scale(paths: &Scale, metadata: Map<String, Value>, object: &Value) -> Value {
    let at = |path: &str| JsonPath::parse(path)?.first(object).cloned();
    let number = |path: &str| at(path).and_then(|value| value.as_i64()).unwrap_or(0);
    let mut status = json!({"replicas": number(&paths.status_replicas_path)});
    let selector = paths.label_selector_path.as_deref().and_then(at);
    if let Some(selector) = selector.as_ref().and_then(Value::as_str).filter(|selector| !selector.is_empty()) {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number(&paths.spec_replicas_path)},
        "status": status,
    })
}

fn with_replicas(resource: &Resource, current: &Value, scale: &Value) -> Value {
    let mut object = current.clone();
    let wanted = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    let path = resource.custom.as_ref().and_then(|custom| JsonPath::parse(&custom.rules.scale()?.spec_replicas_path));
    match path {
        Some(path) => path.set(&mut object, wanted),
        None => object["spec"]["replicas"] = wanted,
    }
    // Without one, the change is for whatever is there.
    if let Some(revision) = scale.pointer("/metadata/resourceVersion") {
        object["metadata"]["resourceVersion"] = revision.clone();
    }
    object
}
