//! `binding` of a Pod: puts it on a node, once.

use super::Call;
use crate::answer::Answer;
use crate::object::timestamp;
use crate::write::{Expected, Judged, Part, decode, is_dry_run};
use admission::Operation;
use meta::{GroupResource, GroupVersionKind, Status};
use serde_json::{Value, json};

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("", "v1", "Binding").ok_or_else(Status::no_such_path)?;
    let expected = Expected {
        schema: resource.schema(),
        type_id,
        api_version: "v1".to_owned(),
        kind: "Binding",
        is_custom: false,
    };
    let mut binding = decode(&expected, &request.body, media, &request.options, caller)?;
    let kind = GroupVersionKind::of("", "v1", "Binding");
    let judged = Judged {
        operation: Operation::Create,
        resource,
        sent: Some(&kind),
        subresource: "binding",
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: request.name.as_deref().unwrap_or_default(),
        user: caller.user,
        dry_run: is_dry_run(&request.options)?,
        asked: Some(request),
    };
    server.admit(&judged, &mut binding, None, caller).await?;
    server.judge(&judged, &mut binding, None, caller).await?;
    let text = |path: &str| binding.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let node = text("/target/name").to_owned();
    let kind = text("/target/kind");
    check_target(request.name.as_deref().unwrap_or_default(), kind, &node)?;
    let uid = text("/metadata/uid").to_owned();
    let extra = Extra {
        annotations: binding.pointer("/metadata/annotations").cloned().unwrap_or_default(),
        labels: binding.pointer("/metadata/labels").cloned().unwrap_or_default(),
    };
    let now = timestamp(server.env.clock.now());
    server
        .modify(resource, request, Part::Sub("binding"), caller, &mut |current, _| {
            let name = request.name.as_deref().unwrap_or_default();
            let current = current.ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
            bind(current, name, &node, &uid, &extra, &now).map(Some)
        })
        .await?;
    Ok(Answer::Status(Status::success().with_code(201)))
}

/// What the pod gets from its binding beside the node: admission puts the node's topology there.
struct Extra {
    annotations: Value,
    labels: Value,
}

fn check_target(name: &str, kind: &str, node: &str) -> Result<(), Status> {
    use meta::field::{FieldError, Path, invalid};
    let target = Path::new("target");
    let mut errors = Vec::new();
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required(&target.child("name"), ""));
    }
    if errors.is_empty() { Ok(()) } else { Err(invalid("", "Binding", name, &errors)) }
}

fn bind(current: &Value, name: &str, node: &str, uid: &str, extra: &Extra, now: &str) -> Result<Value, Status> {
    let what = GroupResource { group: "".into(), resource: "pods/binding".into() };
    let refuse = |why: String| Status::conflict(&what, name, &why);
    let text = |path: &str| current.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if !uid.is_empty() && uid != text("/metadata/uid") {
        return Err(refuse(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text("/metadata/uid")
        )));
    }
    if !text("/metadata/deletionTimestamp").is_empty() {
        return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let standing = text("/spec/nodeName");
    if !standing.is_empty() {
        return Err(refuse(format!("pod {name} is already assigned to node {standing:?}")));
    }
    if current.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return Err(refuse(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    let mut pod = current.clone();
    pod["spec"]["nodeName"] = node.into();
    for (field, more) in [("annotations", &extra.annotations), ("labels", &extra.labels)] {
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["metadata"][field][key] = value.clone();
        }
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut status = pod["status"].as_object_mut();
    // Room was kept for it somewhere; that is over.
    if let Some(status) = &mut status {
        status.remove("nominatedNodeName");
    }
    let conditions = status.map(|status| status.entry("conditions").or_insert_with(|| json!([])));
    if let Some(conditions) = conditions.and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(scheduled);
    }
    Ok(pod)
}
