//! Priority: turns a pod's priority class into a number and a preemption policy, and keeps the classes
//! themselves sane.

use crate::paths::{at, slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::{Value, json};

const GROUP: &str = "scheduling.k8s.io";
const PREEMPT: &str = "PreemptLowerPriority";
const SYSTEM_CLASSES: [&str; 2] = ["system-node-critical", "system-cluster-critical"];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(Priority)
}

struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is("", "pods") || !request.object["spec"].is_object() {
            return Ok(());
        }
        let asked = text(&request.object, &["spec", "priorityClassName"]);
        let class = if asked.is_empty() {
            default_class(lookup)
        } else {
            let found = lookup.get(GROUP, "priorityclasses", "", asked);
            Some(found.ok_or_else(|| request.forbid(&format!("no PriorityClass with name {asked} was found")))?)
        };
        let class = class.as_deref().unwrap_or(&Value::Null);
        let priority = class["value"].as_i64().unwrap_or(0);
        let policy = class["preemptionPolicy"].as_str().unwrap_or(PREEMPT);
        let given = at(&request.object, &["spec", "priority"]).and_then(Value::as_i64);
        if let Some(given) = given.filter(|given| *given != priority) {
            return Err(request.forbid(&format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
                 computed {priority} from the given PriorityClass name"
            )));
        }
        let given = text(&request.object, &["spec", "preemptionPolicy"]);
        if !given.is_empty() && given != policy {
            return Err(request.forbid(&format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
                 controller computed {policy} from the given PriorityClass name"
            )));
        }
        if let Some(name) = class["metadata"]["name"].as_str() {
            put(&mut request.object, "priorityClassName", json!(name));
        }
        put(&mut request.object, "priority", json!(priority));
        put(&mut request.object, "preemptionPolicy", json!(policy));
        Ok(())
    }

    fn validate(&self, request: &Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if !request.is(GROUP, "priorityclasses") {
            return Ok(());
        }
        if request.operation == Operation::Delete {
            if SYSTEM_CLASSES.contains(&request.name) {
                return Err(request.forbid("this is a system priority class and cannot be deleted"));
            }
            return Ok(());
        }
        if request.object["globalDefault"] != true {
            return Ok(());
        }
        let other = default_class(lookup);
        let other = other.as_deref().map(|class| text(class, &["metadata", "name"])).unwrap_or_default();
        if other.is_empty() || other == request.object_name() {
            return Ok(());
        }
        Err(request.forbid(&format!("PriorityClass {other} is already marked as default. Only one default can exist")))
    }
}

/// The class of pods that name none: of several, the lowest.
fn default_class(lookup: &dyn Lookup) -> Option<std::sync::Arc<Value>> {
    let classes = lookup.list(GROUP, "priorityclasses", "");
    classes.into_iter().filter(|class| class["globalDefault"] == true).min_by_key(|class| class["value"].as_i64())
}

fn put(pod: &mut Value, field: &str, value: Value) {
    if let Some(place) = slot(pod, &["spec", field]) {
        *place = value;
    }
}
