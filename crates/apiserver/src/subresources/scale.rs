//! `scale`: the replica counts of a workload as an autoscaling/v1 Scale.

use super::Call;
use crate::answer::Answer;
use crate::object::Object;
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Expected, Judged, Part, conflict, decode, is_dry_run, patched};
use admission::Operation;
use client::{Request, Verb};
use meta::{GroupVersionKind, Reason, Status};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use strategy::custom::JsonPath;
use strategy::custom::definition::Scale;
use wire::schema::TypeId;

pub(super) async fn handle(mut call: Call<'_, '_>) -> Result<Answer, Status> {
    let type_id = kinds::type_of("autoscaling", "v1", "Scale").ok_or_else(Status::no_such_path)?;
    let object = match call.request.verb {
        Verb::Update | Verb::Patch(_) => write(&mut call, type_id).await?,
        _ => {
            let name = call.request.name.as_deref().unwrap_or_default();
            let namespace = call.request.namespace.as_deref().unwrap_or_default();
            call.server.get(call.resource, namespace, name).map_err(|status| missing(call.resource, name, status))?
        }
    };
    let shown = call.server.show(call.resource.work(), &object).await?;
    answer(call.resource, &shown, type_id)
}

/// Admission sees the Scale, as the client does, and not the object that it is a part of. What it was
/// asked about is what is written: when something newer is there by then, it is asked again.
async fn write(call: &mut Call<'_, '_>, type_id: TypeId) -> Result<Arc<Object>, Status> {
    let Call { server, resource, request, media, caller } = call;
    let expected = Expected {
        schema: kinds::schema(),
        type_id,
        api_version: "autoscaling/v1".to_owned(),
        kind: "Scale",
        is_custom: false,
    };
    let (namespace, name) =
        (request.namespace.as_deref().unwrap_or_default(), request.name.as_deref().unwrap_or_default());
    let sent = match request.verb {
        Verb::Update => Some(decode(&expected, &request.body, *media, &request.options, caller)?),
        _ => None,
    };
    let warned = caller.warnings.len();
    let mut patience = server.patience();
    loop {
        caller.warnings.truncate(warned);
        let current = server.get(resource, namespace, name)?;
        let old = scale_of(resource, &server.show(resource.work(), &current).await?.value()?);
        let mut scale = match (&sent, request.verb) {
            (None, Verb::Patch(patch)) => patched(&expected, &old, patch, &request.body, &request.options, caller)?,
            (sent, _) => sent.clone().unwrap_or_default(),
        };
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && version != "0" && version != current.revision.to_string() {
            return Err(conflict(resource, name));
        }
        admit(server, resource, request, &mut scale, &old, caller).await?;
        scale["metadata"]["resourceVersion"] = current.revision.to_string().into();
        let written = server
            .modify(resource, request, Part::Sub("scale"), caller, &mut |current, _| {
                let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
                Ok(Some(with_replicas(resource, current, &scale)))
            })
            .await;
        match written {
            Ok(Answer::Object { object, .. }) => return Ok(object),
            Ok(_) => return Err(Status::internal("a change of scale did not answer with an object")),
            Err(status) if status.is(Reason::Conflict) => patience.again().await?,
            Err(status) => return Err(status),
        }
    }
}

async fn admit(
    server: &Server,
    resource: &Resource,
    request: &Request,
    scale: &mut Value,
    old: &Value,
    caller: &mut Caller<'_>,
) -> Result<(), Status> {
    let kind = GroupVersionKind::of("autoscaling", "v1", "Scale");
    let judged = Judged {
        operation: Operation::Update,
        resource: resource.work(),
        sent: Some(&kind),
        subresource: "scale",
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: request.name.as_deref().unwrap_or_default(),
        user: caller.user,
        dry_run: is_dry_run(&request.options)?,
        asked: Some(request),
    };
    server.admit(&judged, &mut *scale, Some(old), caller).await?;
    server.judge(&judged, scale, Some(old), caller).await
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
    object["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
    object
}
