//! The pods a job makes.

use super::pod::{self, INDEX, Pod};
use super::{Job, Observed};
use crate::action::Create;
use crate::kinds::resource;
use crate::template;
use crate::views::JOB_TRACKING;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The longest prefix that a generated name may have.
const MAX_PREFIX: usize = 58;

/// Pods without an index.
pub(super) fn plain(observed: &Observed, count: usize) -> Vec<Create> {
    let pod = of_template(observed, &format!("{}-", observed.job.metadata.name));
    vec![to_create(observed, pod); count]
}

/// A pod for each of these indexes; `failed` has the last failure of each.
pub(super) fn indexed(observed: &Observed, indexes: &[i64], failed: &BTreeMap<i64, Pod>) -> Vec<Create> {
    let pod = |index: &i64| to_create(observed, with_index(observed, *index, failed.get(index)));
    indexes.iter().map(pod).collect()
}

fn to_create(observed: &Observed, pod: Value) -> Create {
    let about = observed.owner.about(&observed.job.metadata);
    Create::new(&resource::PODS, &observed.job.metadata.namespace, pod).announce(&about)
}

fn of_template(observed: &Observed, prefix: &str) -> Value {
    let mut pod = template::pod(&observed.job.spec.template, &observed.owner.reference());
    pod["metadata"]["generateName"] = json!(prefix);
    let finalizers = &mut pod["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|one| one == JOB_TRACKING) => {}
        Some(list) => list.push(json!(JOB_TRACKING)),
        None => *finalizers = json!([JOB_TRACKING]),
    }
    pod
}

fn with_index(observed: &Observed, index: i64, failed: Option<&Pod>) -> Value {
    let job: &Job = &observed.job;
    let mut pod = of_template(observed, &prefix(&job.metadata.name, index));
    pod["metadata"]["annotations"][INDEX] = json!(index.to_string());
    pod["metadata"]["labels"][INDEX] = json!(index.to_string());
    pod["spec"]["hostname"] = json!(format!("{}-{index}", job.metadata.name));
    if job.spec.backoff_limit_per_index.is_some() {
        let [(name, count), (ignored_name, ignored)] = pod::failure_counts(failed, job);
        pod["metadata"]["annotations"][name] = json!(count.to_string());
        if ignored > 0 {
            pod["metadata"]["annotations"][ignored_name] = json!(ignored.to_string());
        }
    }
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(tell_index);
    }
    pod
}

fn prefix(job: &str, index: i64) -> String {
    let end = format!("-{index}-");
    let room = MAX_PREFIX.saturating_sub(end.len()).min(job.len());
    format!("{}{end}", job.get(..room).unwrap_or(job))
}

/// Gives a container the variable with its index, unless it has one of that name.
fn tell_index(container: &mut Value) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let path = format!("metadata.labels['{INDEX}']");
    let variable = json!({"name": NAME, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    match container.get_mut("env").and_then(Value::as_array_mut) {
        Some(list) if list.iter().any(|one| one["name"] == NAME) => {}
        Some(list) => list.push(variable),
        None => container["env"] = json!([variable]),
    }
}
