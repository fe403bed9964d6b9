//! LimitRanger: fills in the defaults of a namespace's LimitRanges and holds pods and claims to their
//! bounds.

use crate::paths::{items, slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{Quantity, Status};
use quota::{Amounts, amounts};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(LimitRanger)
}

struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("", "pods") {
            return Ok(());
        }
        let mut set = Vec::new();
        for range in ranges(request, lookup) {
            for limit in items(&range, &["spec", "limits"]).iter().filter(|limit| limit["type"] == "Container") {
                fill(&mut request.object, limit, &mut set);
            }
        }
        if !set.is_empty()
            && let Some(note) = slot(&mut request.object, &["metadata", "annotations", ANNOTATION])
        {
            *note = json!(format!("LimitRanger plugin set: {}", set.join("; ")));
        }
        Ok(())
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        // Containers change by a resize only: what was good on create stays so.
        let pod = match request.operation {
            Operation::Create => request.is("", "pods"),
            _ => request.is("", "pods/resize"),
        };
        let claim = request.is("", "persistentvolumeclaims");
        let going =
            request.operation == Operation::Update && !request.object["metadata"]["deletionTimestamp"].is_null();
        if !(pod || claim) || going {
            return Ok(());
        }
        for range in ranges(request, lookup) {
            let mut problems: Vec<String> = Vec::new();
            for limit in items(&range, &["spec", "limits"]) {
                if pod {
                    check_pod(&request.object, limit, &mut problems);
                } else {
                    check_claim(&request.object, limit, &mut problems);
                }
            }
            let mut seen = BTreeSet::new();
            problems.retain(|problem| seen.insert(problem.clone()));
            match problems.as_slice() {
                [] => {}
                [one] => return Err(request.forbid(one)),
                several => return Err(request.forbid(&format!("[{}]", several.join(", ")))),
            }
        }
        Ok(())
    }
}

fn ranges(request: &Attributes<'_>, lookup: &dyn Lookup) -> Vec<Arc<Value>> {
    lookup.list("", "limitranges", request.namespace)
}

/// Gives every container what it does not state, and notes what it got.
fn fill(pod: &mut Value, limit: &Value, set: &mut Vec<String>) {
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter(|container| container.is_object()) {
            let name = text(container, &["name"]).to_owned();
            for (field, defaults, word) in [("requests", "defaultRequest", "request"), ("limits", "default", "limit")] {
                let mut given = Vec::new();
                for (resource, amount) in limit[defaults].as_object().into_iter().flatten() {
                    let Some(place) = slot(container, &["resources", field, resource]) else { continue };
                    if place.is_null() {
                        *place = amount.clone();
                        given.push(resource.as_str());
                    }
                }
                if !given.is_empty() {
                    set.push(format!("{} {word} for {what} {name}", given.join(", ")));
                }
            }
        }
    }
}

fn check_pod(pod: &Value, limit: &Value, problems: &mut Vec<String>) {
    let of =
        |container: &Value| (amounts(&container["resources"]["requests"]), amounts(&container["resources"]["limits"]));
    match limit["type"].as_str() {
        Some("Container") => {
            let spec = &pod["spec"];
            let all = items(spec, &["containers"]).iter().chain(items(spec, &["initContainers"]));
            all.for_each(|container| {
                let (requests, limits) = of(container);
                check(limit, &requests, &limits, problems);
            });
        }
        Some("Pod") => {
            let (requests, limits) = (quota::requests(pod), quota::limits(pod));
            check(limit, &requests, &limits, problems);
        }
        _ => {}
    }
}

fn check_claim(claim: &Value, limit: &Value, problems: &mut Vec<String>) {
    if limit["type"] != "PersistentVolumeClaim" {
        return;
    }
    let requests = amounts(&claim["spec"]["resources"]["requests"]);
    for (name, min) in amounts(&limit["min"]) {
        problems.extend(below("PersistentVolumeClaim", &name, min, requests.get(&name), None));
    }
    for (name, max) in amounts(&limit["max"]) {
        let head = format!("maximum {name} usage per PersistentVolumeClaim is {max}");
        match requests.get(&name) {
            None => problems.push(format!("{head}.  No request is specified")),
            Some(request) if *request > max => problems.push(format!("{head}, but request is {request}")),
            Some(_) => {}
        }
    }
}

fn check(limit: &Value, requests: &Amounts, limits: &Amounts, problems: &mut Vec<String>) {
    let kind = limit["type"].as_str().unwrap_or_default();
    for (name, min) in amounts(&limit["min"]) {
        problems.extend(below(kind, &name, min, requests.get(&name), limits.get(&name)));
    }
    for (name, max) in amounts(&limit["max"]) {
        problems.extend(above(kind, &name, max, requests.get(&name), limits.get(&name)));
    }
    for (name, ratio) in amounts(&limit["maxLimitRequestRatio"]) {
        problems.extend(beyond_ratio(kind, &name, ratio, requests.get(&name), limits.get(&name)));
    }
}

fn below(
    kind: &str,
    name: &str,
    min: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("minimum {name} usage per {kind} is {min}");
    match (request, limit) {
        (None, _) => Some(format!("{head}.  No request is specified")),
        (Some(request), _) if *request < min => Some(format!("{head}, but request is {request}")),
        (_, Some(limit)) if *limit < min => Some(format!("{head}, but limit is {limit}")),
        _ => None,
    }
}

fn above(
    kind: &str,
    name: &str,
    max: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("maximum {name} usage per {kind} is {max}");
    match (limit, request) {
        (None, _) => Some(format!("{head}.  No limit is specified")),
        (Some(limit), _) if *limit > max => Some(format!("{head}, but limit is {limit}")),
        (_, Some(request)) if *request > max => Some(format!("{head}, but request is {request}")),
        _ => None,
    }
}

fn beyond_ratio(
    kind: &str,
    name: &str,
    ratio: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("{name} max limit to request ratio per {kind} is {ratio}, but");
    let set = |amount: Option<&Quantity>| amount.copied().filter(|amount| !amount.is_zero());
    let Some(request) = set(request) else {
        return Some(format!("{head} no request is specified or request is 0"));
    };
    let Some(limit) = set(limit) else {
        return Some(format!("{head} no limit is specified or limit is 0"));
    };
    // In thousandths, which neither cpu nor memory is finer than.
    let given = limit.milli_value() as f64 / request.milli_value() as f64;
    let allowed = ratio.milli_value() as f64 / 1000.0;
    (given > allowed).then(|| format!("{head} provided ratio is {given:.6}"))
}
