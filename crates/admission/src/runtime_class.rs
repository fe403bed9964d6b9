//! RuntimeClass: a pod's runtime class must exist; its overhead and scheduling rules become the pod's.

use crate::paths::{at, items, items_mut, slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{Quantity, Status};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(RuntimeClass)
}

struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let Some(class) = class_of(request, lookup)? else { return Ok(()) };
        if let Some(overhead) = at(&class, &["overhead", "podFixed"]) {
            let own = at(&request.object, &["spec", "overhead"]).filter(|own| !is_empty(own));
            if own.is_some_and(|own| !same_amounts(own, overhead)) {
                return Err(
                    request.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
                );
            }
            if let Some(place) = slot(&mut request.object, &["spec", "overhead"]) {
                *place = overhead.clone();
            }
        }
        for (key, value) in class["scheduling"]["nodeSelector"].as_object().into_iter().flatten() {
            let own = text(&request.object, &["spec", "nodeSelector", key]).to_owned();
            let value = value.as_str().unwrap_or_default();
            if !own.is_empty() && own != value {
                return Err(request.forbid(&format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                )));
            }
            if let Some(place) = slot(&mut request.object, &["spec", "nodeSelector", key]) {
                *place = json!(value);
            }
        }
        let wanted = items(&class, &["scheduling", "tolerations"]);
        if !wanted.is_empty()
            && let Some(own) = items_mut(&mut request.object, &["spec", "tolerations"])
        {
            let missing: Vec<Value> = wanted.iter().filter(|one| !own.contains(one)).cloned().collect();
            own.extend(missing);
        }
        Ok(())
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        let class = class_of(request, lookup)?;
        let wanted = class.as_deref().and_then(|class| at(class, &["overhead", "podFixed"]));
        let own = at(&request.object, &["spec", "overhead"]).filter(|own| !is_empty(own) && request.is("", "pods"));
        match (wanted, own) {
            (None, Some(_)) => {
                Err(request
                    .forbid("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
            }
            (Some(wanted), Some(own)) if !same_amounts(own, wanted) => {
                Err(request.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
            }
            _ => Ok(()),
        }
    }
}

/// The class a new pod names; None where it names none.
fn class_of(request: &Attributes<'_>, lookup: &dyn Lookup) -> Result<Option<Arc<Value>>, Status> {
    let name = text(&request.object, &["spec", "runtimeClassName"]);
    if name.is_empty() || !request.is("", "pods") {
        return Ok(None);
    }
    let found = lookup.get("node.k8s.io", "runtimeclasses", "", name);
    found.map(Some).ok_or_else(|| request.forbid(&format!("pod rejected: RuntimeClass {name:?} not found")))
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn same_amounts(left: &Value, right: &Value) -> bool {
    let read = |value: &Value| {
        let entries = value.as_object().into_iter().flatten();
        entries
            .map(|(name, amount)| (name.clone(), amount.as_str().and_then(|text| Quantity::parse(text).ok())))
            .collect()
    };
    let (left, right): (Vec<(String, _)>, Vec<(String, _)>) = (read(left), read(right));
    left == right
}
