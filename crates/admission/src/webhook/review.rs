//! AdmissionReview, both ways: what a webhook is asked, and what its answer says.

use super::{Failure, Shape};
use crate::Attributes;
use crate::matching::Seen;
use meta::{GroupVersionKind, GroupVersionResource, Reason, Status};
use serde_json::{Map, Value, json};

/// A webhook's verdict.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// None: allowed.
    pub refusal: Option<Status>,
    /// A JSON patch; empty: none.
    pub patch: Vec<u8>,
    pub warnings: Vec<String>,
    pub audit: Vec<(String, String)>,
}

/// The body to send.
pub(super) fn request(
    version: &str,
    uid: &str,
    request: &Attributes<'_>,
    seen: &Seen,
    shape: &dyn Shape,
) -> Result<Value, Status> {
    let told = |object: &Value| match (object.is_null(), seen.kind == request.kind) {
        (true, _) => Ok(Value::Null),
        (false, true) => Ok(object.clone()),
        (false, false) => shape.convert(object, &seen.kind),
    };
    let mut body = facts(request, seen, shape);
    body["uid"] = uid.into();
    body["object"] = told(&request.object)?;
    body["oldObject"] = match request.old_object {
        Some(old) => told(old)?,
        None => Value::Null,
    };
    Ok(json!({
        "kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": body,
    }))
}

/// Everything of a request but its objects.
pub(crate) fn facts(request: &Attributes<'_>, seen: &Seen, shape: &dyn Shape) -> Value {
    let (asked_resource, asked_kind) =
        shape.requested().unwrap_or_else(|| (request.resource.clone(), request.kind.clone()));
    let mut body = json!({
        "kind": kind(&seen.kind), "resource": resource(&seen.resource),
        "requestKind": kind(&asked_kind), "requestResource": resource(&asked_resource),
        "operation": request.operation.as_str(), "userInfo": user(request),
        "dryRun": request.dry_run, "options": request.options,
    });
    let texts = [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", request.namespace),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        body[field] = text.into();
    }
    body
}

fn kind(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource(resource: &GroupVersionResource) -> Value {
    json!({"group": resource.group, "version": resource.version, "resource": resource.resource})
}

fn user(request: &Attributes<'_>) -> Value {
    let user = request.user;
    let mut info = Map::new();
    info.insert("username".to_owned(), user.name.clone().into());
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(info)
}

/// Reads an answer; a refusal is a verdict, too.
pub(super) fn answer(hook: &str, version: &str, uid: &str, mutating: bool, body: &[u8]) -> Result<Verdict, Failure> {
    let nonsense = |why: String| Failure::Call(format!("received invalid webhook response: {why}"));
    let review: Value = serde_json::from_slice(body).map_err(|why| {
        Failure::Call(format!("failed to call webhook: couldn't get version/kind; json parse error: {why}"))
    })?;
    let text = |field: &str| review[field].as_str().unwrap_or_default();
    let wanted = format!("admission.k8s.io/{version}");
    if text("apiVersion") != wanted || text("kind") != "AdmissionReview" {
        let shown = match (text("apiVersion"), text("kind")) {
            ("", "") => "/, Kind=".to_owned(),
            (version, kind) => format!("{version}, Kind={kind}"),
        };
        return Err(nonsense(format!("expected webhook response of {wanted}, Kind=AdmissionReview, got {shown}")));
    }
    let response = &review["response"];
    if !response.is_object() {
        return Err(nonsense("webhook response was absent".to_owned()));
    }
    let told = response["uid"].as_str().unwrap_or_default();
    if version == "v1" && told != uid {
        return Err(nonsense(format!("expected response.uid={uid:?}, got {told:?}")));
    }
    let patch = patch(response, version, mutating).map_err(nonsense)?;
    let pairs = response["auditAnnotations"].as_object().into_iter().flatten();
    let warnings = response["warnings"].as_array().into_iter().flatten();
    Ok(Verdict {
        refusal: (response["allowed"] != true).then(|| refusal(hook, &response["status"])),
        patch,
        warnings: warnings.filter_map(|text| text.as_str().map(str::to_owned)).collect(),
        audit: pairs.filter_map(|(key, value)| Some((format!("{hook}/{key}"), value.as_str()?.to_owned()))).collect(),
    })
}

fn patch(response: &Value, version: &str, mutating: bool) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    let kind = response["patchType"].as_str();
    let patch = response["patch"].as_str().filter(|patch| !patch.is_empty());
    if !mutating {
        return match (patch, kind) {
            (Some(_), _) if version == "v1" => Err("validating webhook may not return response.patch".to_owned()),
            (_, Some(_)) if version == "v1" => Err("validating webhook may not return response.patchType".to_owned()),
            _ => Ok(Vec::new()),
        };
    }
    let patch = match (patch, kind) {
        (Some(_), None) if version == "v1" => {
            return Err("webhook returned response.patch but not response.patchType".to_owned());
        }
        (None, Some(_)) if version == "v1" => {
            return Err("webhook returned response.patchType but not response.patch".to_owned());
        }
        (None, _) => return Ok(Vec::new()),
        (Some(_), Some("")) => return Err("webhook returned invalid response.patchType of \"\"".to_owned()),
        (Some(_), Some(kind)) if kind != "JSONPatch" => return Err(format!("unsupported patch type {kind:?}")),
        (Some(patch), _) => patch,
    };
    base64::engine::general_purpose::STANDARD.decode(patch).map_err(|error| error.to_string())
}

/// The webhook's own Status under upstream's heading.
fn refusal(hook: &str, status: &Value) -> Status {
    let mut told: Status =
        serde_json::from_value(status.clone()).unwrap_or_else(|_| Status::failure(Reason::Unknown, "").with_code(0));
    let heading = format!("admission webhook {hook:?} denied the request");
    let why =
        [status["message"].as_str(), status["reason"].as_str()].into_iter().flatten().find(|text| !text.is_empty());
    told.message = match why {
        Some(why) => format!("{heading}: {why}"),
        None => format!("{heading} without explanation"),
    };
    told.status = "Failure".to_owned();
    let code = told.code.max(400);
    told.with_code(code)
}
