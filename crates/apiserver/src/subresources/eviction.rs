//! `eviction` of a Pod: a delete that asks the disruption budgets first, and takes from them.

use super::Call;
use crate::answer::Answer;
use crate::object::{Object, timestamp};
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use crate::write::{Draft, Expected, Judged, Media, decode, is_dry_run};
use admission::Operation;
use client::{Request, Verb};
use meta::conditions::{self, Condition};
use meta::labels::Selector;
use meta::{Cause, GroupResource, GroupVersionKind, Reason, Status, StatusDetails};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Expect;

/// More evictions than this under way mean that nobody confirms them.
const MAX_DISRUPTED: usize = 2000;
/// How often a change of a budget or a delete that met another write is tried again (upstream's number).
const TRIES: usize = 20;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

pub(super) async fn handle(mut call: Call<'_, '_>) -> Result<Answer, Status> {
    let eviction = read(&mut call).await?;
    let Call { server, resource, request, caller, .. } = call;
    let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let dry_run = is_dry_run(&request.options)?;
    let in_body = options["dryRun"].as_array().is_some_and(|list| list.iter().any(|value| value == "All"));
    if dry_run && !in_body && options["dryRun"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(Status::bad_request("Non-matching dry-run options in request and content"));
    }
    let eviction = Eviction { server, resource, request, options, dry_run: dry_run || in_body };
    for _ in 0..TRIES {
        match eviction.attempt(caller).await {
            Err(status) if status.is(Reason::Conflict) && !eviction.is_pinned() => {}
            outcome => return outcome.map(|()| Answer::Status(Status::success().with_code(201))),
        }
    }
    Err(crate::write::conflict(resource, request.name.as_deref().unwrap_or_default()))
}

/// Decodes the Eviction and has admission judge it.
async fn read(call: &mut Call<'_, '_>) -> Result<Value, Status> {
    let Call { server, resource, request, media, caller } = call;
    let type_id = kinds::type_of("policy", "v1", "Eviction").ok_or_else(Status::no_such_path)?;
    // Clients of old send the beta version, which says the same.
    let is_beta = *media == Media::Json && request.body.windows(14).any(|part| part == b"policy/v1beta1");
    let version = if is_beta { "v1beta1" } else { "v1" };
    let expected = Expected {
        schema: kinds::schema(),
        type_id,
        api_version: format!("policy/{version}"),
        kind: "Eviction",
        is_custom: false,
    };
    let mut eviction = decode(&expected, &request.body, *media, &request.options, caller)?;
    let name = request.name.as_deref().unwrap_or_default();
    if eviction["metadata"]["name"].as_str().unwrap_or_default() != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let kind = GroupVersionKind::of("policy", version, "Eviction");
    let judged = Judged {
        operation: Operation::Create,
        resource,
        sent: Some(&kind),
        subresource: "eviction",
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name,
        user: caller.user,
        dry_run: is_dry_run(&request.options)?,
        asked: Some(request),
    };
    server.admit(&judged, &mut eviction, None, caller).await?;
    server.judge(&judged, &mut eviction, None, caller).await?;
    Ok(eviction)
}

struct Eviction<'a> {
    server: &'a Server,
    resource: &'a Arc<Resource>,
    request: &'a Request,
    /// DeleteOptions.
    options: Value,
    dry_run: bool,
}

impl Eviction<'_> {
    /// The client itself said which state of the pod it means.
    fn is_pinned(&self) -> bool {
        !self.options["preconditions"].is_null()
    }

    async fn attempt(&self, caller: &mut crate::write::Caller<'_>) -> Result<(), Status> {
        let namespace = self.request.namespace.as_deref().unwrap_or_default();
        let name = self.request.name.as_deref().unwrap_or_default();
        let pod = self.server.get(self.resource, namespace, name)?;
        let value = pod.value()?;
        // A pod that may yet become healthy must still be what was judged when it goes.
        let exactly = match standing(&value) {
            Standing::Over => false,
            Standing::Pending => true,
            Standing::Counts => self.ask_budgets(&pod, &value).await?,
        };
        let mut options = self.options.clone();
        if exactly && options["preconditions"]["resourceVersion"].is_null() {
            options["preconditions"]["resourceVersion"] = pod.revision.to_string().into();
        }
        if !self.dry_run {
            self.mark(&pod, value, &mut options).await?;
        }
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        // The subresource stays named: the eviction was admitted, the delete is its consequence.
        let delete = Request { verb: Verb::Delete, body: options.to_string().into(), ..self.request.clone() };
        self.server.delete(self.resource, &delete, caller).await.map(|_| ())
    }

    /// Says in the pod why it goes.
    async fn mark(&self, pod: &Arc<Object>, mut value: Value, options: &mut Value) -> Result<(), Status> {
        let wanted = &options["preconditions"];
        let differs = |field: &str, is: &str| wanted[field].as_str().is_some_and(|asked| asked != is);
        if differs("uid", &pod.index.uid) || differs("resourceVersion", &pod.revision.to_string()) {
            // The delete says so in its own words.
            return Ok(());
        }
        let condition = Condition {
            kind: "DisruptionTarget",
            status: "True",
            reason: "EvictionByEvictionAPI",
            message: "Eviction API: evicting",
            observed_generation: value["metadata"]["generation"].as_i64().unwrap_or(0),
        };
        if !conditions::set(&mut value["status"]["conditions"], condition, self.server.env.clock.now()) {
            return Ok(());
        }
        let draft = Draft::new(self.resource, value);
        let marked = draft.put(self.server, self.resource, Expect::Revision(pod.revision)).await;
        let marked = marked.map_err(|error| failed(error, self.resource, &pod.index.name))?;
        if !options["preconditions"]["resourceVersion"].is_null() {
            options["preconditions"]["resourceVersion"] = marked.revision.to_string().into();
        }
        Ok(())
    }

    /// True where the pod may go only as it is now.
    async fn ask_budgets(&self, pod: &Object, value: &Value) -> Result<bool, Status> {
        let Some(resource) = self.server.resources.find("policy", "v1", "poddisruptionbudgets") else {
            return Ok(false);
        };
        let budgets = budgets_of(&resource, pod)?;
        let [(_, budget)] = budgets.as_slice() else {
            return if budgets.is_empty() { Ok(false) } else { Err(several()) };
        };
        if !is_ready(value) {
            let (current, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
            let is_surplus = current >= desired && desired > 0;
            if budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || is_surplus {
                return Ok(true);
            }
        }
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        self.take(&resource, pod, name).await.map(|()| false)
    }

    /// Takes one disruption from the budget, by compare-and-swap.
    async fn take(&self, resource: &Arc<Resource>, pod: &Object, name: &str) -> Result<(), Status> {
        for _ in 0..TRIES {
            let budget = self.server.get(resource, &pod.index.namespace, name)?;
            let mut value = budget.value()?;
            check(&value, name)?;
            if self.dry_run {
                return Ok(());
            }
            let now = self.server.env.clock.now();
            let left = number(&value, "disruptionsAllowed") - 1;
            value["status"]["disruptionsAllowed"] = left.into();
            if left == 0 {
                let condition = Condition {
                    kind: "DisruptionAllowed",
                    status: "False",
                    reason: "InsufficientPods",
                    message: "",
                    observed_generation: number(&value, "observedGeneration"),
                };
                conditions::set(&mut value["status"]["conditions"], condition, now);
            }
            value["status"]["disruptedPods"][&pod.index.name] = timestamp(now).into();
            match Draft::new(resource, value).put(self.server, resource, Expect::Revision(budget.revision)).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(status)) => return Err(status),
            }
        }
        Err(Status::timeout(format!("couldn't update PodDisruptionBudget {name:?} due to conflicts"), 10))
    }
}

fn failed(error: CommitError, resource: &Resource, name: &str) -> Status {
    match error {
        CommitError::Conflict => crate::write::conflict(resource, name),
        CommitError::Failed(status) => status,
    }
}

/// How a pod counts for budgets.
enum Standing {
    /// Over or going: in nobody's way.
    Over,
    /// Not yet running.
    Pending,
    Counts,
}

fn standing(pod: &Value) -> Standing {
    let going = !pod["metadata"]["deletionTimestamp"].is_null();
    match pod["status"]["phase"].as_str() {
        Some("Succeeded" | "Failed") => Standing::Over,
        _ if going => Standing::Over,
        Some("Pending") => Standing::Pending,
        _ => Standing::Counts,
    }
}

fn is_ready(pod: &Value) -> bool {
    conditions::is_true(&pod["status"]["conditions"], "Ready")
}

fn number(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

fn budgets_of(resource: &Resource, pod: &Object) -> Result<Vec<(Arc<Object>, Value)>, Status> {
    let Some(collection) = resource.collection.as_ref() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for budget in collection.in_namespace(&pod.index.namespace) {
        let value = budget.value()?;
        // A selector that cannot be read selects nothing.
        if Selector::from_json(&value["spec"]["selector"]).is_ok_and(|selector| selector.matches(&pod.index.labels)) {
            found.push((budget, value));
        }
    }
    Ok(found)
}

fn several() -> Status {
    let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    Status::failure(Reason::InternalError, message)
}

/// Whether the budget lets one more pod go.
fn check(budget: &Value, name: &str) -> Result<(), Status> {
    let what = || GroupResource { group: "policy".into(), resource: "poddisruptionbudget".into() };
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if number(budget, "observedGeneration") < generation {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(blocked(why, 10));
    }
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(&what(), name, "pdb disruptions allowed is negative"));
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MAX_DISRUPTED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&what(), name, why));
    }
    if allowed > 0 {
        return Ok(());
    }
    let condition = conditions::find(&budget["status"]["conditions"], "DisruptionAllowed");
    let unknown = condition.filter(|condition| condition["status"] == "False" && condition["reason"] == "SyncFailed");
    let why = match unknown {
        Some(condition) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            condition["message"].as_str().unwrap_or_default()
        ),
        None => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number(budget, "desiredHealthy"),
            number(budget, "currentHealthy")
        ),
    };
    Err(blocked(why, 0))
}

fn blocked(message: String, retry_after_seconds: u32) -> Status {
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() };
    Status::failure(Reason::TooManyRequests, REFUSED).with_details(StatusDetails {
        causes: vec![cause],
        retry_after_seconds,
        ..StatusDetails::default()
    })
}
