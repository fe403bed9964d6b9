//! `token` of a ServiceAccount: issues a bound token (TokenRequest).

use super::Call;
use crate::answer::Answer;
use crate::object::{Object, timestamp};
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Expected, Judged, decode, default_type, is_dry_run};
use admission::Operation;
use auth::authn::{Bound, TokenSpec};
use client::Request;
use meta::field::{FieldError, Path, invalid};
use meta::{GroupResource, GroupVersionKind, Status};
use serde_json::{Value, json};

/// Upstream's bounds on a token's life, in seconds.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 3600;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("authentication.k8s.io", "v1", "TokenRequest").ok_or_else(Status::no_such_path)?;
    let api_version = "authentication.k8s.io/v1".to_owned();
    let expected = Expected { schema: resource.schema(), type_id, api_version, kind: "TokenRequest", is_custom: false };
    let mut review = decode(&expected, &request.body, media, &request.options, caller)?;
    default_type(&mut review, resource.schema(), type_id);
    let (namespace, name) =
        (request.namespace.as_deref().unwrap_or_default(), request.name.as_deref().unwrap_or_default());
    let account = server.get(resource, namespace, name)?;
    admit(server, resource, request, &mut review, caller).await?;
    let seconds = review.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(USUAL);
    check_seconds(name, seconds)?;
    let audiences = review.pointer("/spec/audiences").and_then(Value::as_array);
    let audiences: Vec<String> =
        audiences.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect();
    let bound = bound_object(server, request, &review)?;
    let issuer = server.issuer.as_ref().ok_or_else(|| Status::internal("this server issues no tokens"))?;
    let as_bound = |wanted: &str| {
        bound.iter().find(|found| found.kind == wanted).map(|found| Bound { name: &found.name, uid: &found.uid })
    };
    let spec = TokenSpec {
        namespace,
        account: name,
        account_uid: &account.index.uid,
        audiences: audiences.clone(),
        expiration_seconds: seconds,
        pod: as_bound("Pod"),
        node: as_bound("Node"),
        secret: as_bound("Secret"),
        extend: as_bound("Pod").is_some(),
    };
    let issued = issuer.issue(&spec, server.env.clock.now()).map_err(Status::internal)?;
    let audiences = if audiences.is_empty() { issuer.audiences.clone() } else { audiences };
    review["metadata"] = json!({
        "name": name, "namespace": namespace, "creationTimestamp": timestamp(server.env.clock.now()),
    });
    review["spec"]["audiences"] = json!(audiences);
    review["spec"]["expirationSeconds"] = seconds.into();
    review["status"] = json!({"token": issued.token, "expirationTimestamp": timestamp(issued.expires)});
    let json = wire::encode::to_json(&review, resource.schema(), type_id).into();
    Ok(Answer::Other { json, type_id, created: true })
}

async fn admit(
    server: &Server,
    resource: &Resource,
    request: &Request,
    review: &mut Value,
    caller: &mut Caller<'_>,
) -> Result<(), Status> {
    let kind = GroupVersionKind::of("authentication.k8s.io", "v1", "TokenRequest");
    let judged = Judged {
        operation: Operation::Create,
        resource,
        sent: Some(&kind),
        subresource: "token",
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: request.name.as_deref().unwrap_or_default(),
        user: caller.user,
        dry_run: is_dry_run(&request.options)?,
        asked: Some(request),
    };
    server.admit(&judged, &mut *review, None, caller).await?;
    server.judge(&judged, review, None, caller).await
}

fn check_seconds(name: &str, seconds: i64) -> Result<(), Status> {
    let path = Path::new("spec").child("expirationSeconds");
    let error = if seconds < SHORTEST {
        FieldError::invalid(&path, seconds, "may not specify a duration less than 10 minutes")
    } else if seconds > LONGEST {
        FieldError::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds")
    } else {
        return Ok(());
    };
    Err(invalid("authentication.k8s.io", "TokenRequest", name, &[error]))
}

struct Target {
    kind: &'static str,
    name: String,
    uid: String,
}

/// What the token shall live and die with; of a pod also the node that it runs on.
fn bound_object(server: &Server, request: &Request, review: &Value) -> Result<Vec<Target>, Status> {
    let Some(reference) = review.pointer("/spec/boundObjectRef").filter(|reference| reference.is_object()) else {
        return Ok(Vec::new());
    };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let (kind, plural) = match (text("apiVersion"), text("kind")) {
        ("v1" | "", "Pod") => ("Pod", "pods"),
        ("v1" | "", "Secret") => ("Secret", "secrets"),
        ("v1" | "", "Node") => ("Node", "nodes"),
        (version, kind) => {
            return Err(Status::bad_request(format!("cannot bind token for type {version}, Kind={kind}")));
        }
    };
    let namespace = if kind == "Node" { "" } else { request.namespace.as_deref().unwrap_or_default() };
    let found = find(server, plural, namespace, text("name"))?;
    if !text("uid").is_empty() && text("uid") != found.index.uid {
        let what = GroupResource { group: "".into(), resource: plural.into() };
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. \
             The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(Status::conflict(&what, text("name"), &why));
    }
    let mut targets = vec![Target { kind, name: found.index.name.clone(), uid: found.index.uid.clone() }];
    if kind == "Pod" {
        let pod = found.value()?;
        let account = pod.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or_default();
        if Some(account) != request.name.as_deref() {
            return Err(Status::bad_request(format!(
                "cannot bind token to pod {:?} that uses service account {account:?}",
                found.index.name
            )));
        }
        let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        if !node.is_empty() {
            let uid = find(server, "nodes", "", node).map(|node| node.index.uid.clone()).unwrap_or_default();
            targets.push(Target { kind: "Node", name: node.to_owned(), uid });
        }
    }
    Ok(targets)
}

fn find(server: &Server, plural: &str, namespace: &str, name: &str) -> Result<std::sync::Arc<Object>, Status> {
    let resource = server.resources.find("", "v1", plural).ok_or_else(Status::no_such_path)?;
    server.get(&resource, namespace, name)
}
