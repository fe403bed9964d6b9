//! `eviction` of a Pod: a delete that asks the disruption budgets first.

use super::Call;
use crate::answer::Answer;
use crate::write::{Expected, decode};
use client::{Request, Verb};
use meta::{Cause, Reason, Status, StatusDetails};
use serde_json::Value;

pub(super) async fn handle(call: Call<'_, '_>) -> Result<Answer, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("policy", "v1", "Eviction").ok_or_else(Status::no_such_path)?;
    let expected = Expected {
        schema: resource.schema(),
        type_id,
        api_version: "policy/v1".to_owned(),
        kind: "Eviction",
        is_custom: false,
    };
    let eviction = decode(&expected, &request.body, media, &request.options, caller)?;
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let pod = server.get(resource, namespace, request.name.as_deref().unwrap_or_default())?;
    if !may_always_go(&pod.value()?) {
        check_budgets(server, &pod.index)?;
    }
    let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| serde_json::json!({}));
    let delete = Request { verb: Verb::Delete, subresource: None, body: options.to_string().into(), ..request.clone() };
    server.delete(resource, &delete, caller).await?;
    Ok(Answer::Status(Status::success().with_code(201)))
}

/// Pods that are over, not yet running or already going are in no budget's way.
fn may_always_go(pod: &Value) -> bool {
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.pointer("/metadata/deletionTimestamp").is_some()
}

fn check_budgets(server: &crate::Server, pod: &crate::object::Index) -> Result<(), Status> {
    let budgets = server.resources.find_any_version("policy", "poddisruptionbudgets");
    let Some(collection) = budgets.and_then(|resource| resource.collection.clone()) else { return Ok(()) };
    let (objects, _) = collection.snapshot();
    for budget in objects.values().filter(|budget| budget.index.namespace == pod.namespace) {
        let value = budget.value()?;
        let selector = value.pointer("/spec/selector").unwrap_or(&Value::Null);
        let selects = meta::labels::Selector::from_json(selector)
            .is_ok_and(|selector| !selector.is_everything() && selector.matches(&pod.labels));
        let number = |path: &str| value.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        if selects && number("/status/disruptionsAllowed") <= 0 {
            return Err(blocked(
                &budget.index.name,
                number("/status/desiredHealthy"),
                number("/status/currentHealthy"),
            ));
        }
    }
    Ok(())
}

fn blocked(budget: &str, desired: i64, current: i64) -> Status {
    let cause = Cause {
        reason: "DisruptionBudget".to_owned(),
        message: format!("The disruption budget {budget} needs {desired} healthy pods and has {current} currently"),
        field: String::new(),
    };
    Status::failure(Reason::TooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.")
        .with_details(StatusDetails { causes: vec![cause], ..StatusDetails::default() })
}
