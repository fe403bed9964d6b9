//! A set's status from its pods.

use super::member::{self, Pod};
use super::plan::Line;
use serde_json::{Value, json};

/// The status to write; None: it says so already.
pub(super) fn next(line: &Line<'_>, pods: &[Pod], collisions: Option<i64>) -> Option<Value> {
    let set = line.set();
    let count =
        |test: &dyn Fn(&Pod) -> bool| i64::try_from(pods.iter().filter(|pod| test(pod)).count()).unwrap_or(i64::MAX);
    let (replicas, ready) = (count(&|_| true), count(&member::is_ready));
    let updated = count(&|pod| member::is_of(pod, line.update) && !pod.meta.is_deleting());
    let mut current = count(&|pod| member::is_of(pod, line.current) && !pod.meta.is_deleting());
    let mut current_revision = line.current.name();
    let wanted = set.spec.replicas;
    if set.is_rolling() && [updated, ready, replicas].iter().all(|number| *number == wanted) {
        // All are of the newest template.
        (current, current_revision) = (updated, line.update.name());
    }
    let status = json!({
        "observedGeneration": set.metadata.generation,
        "replicas": replicas,
        "readyReplicas": ready,
        "currentReplicas": current,
        "updatedReplicas": updated,
        "currentRevision": current_revision,
        "updateRevision": line.update.name(),
        "collisionCount": collisions.unwrap_or(0),
        "availableReplicas": count(&|pod| line.is_available(pod)),
    });
    let same = |(field, value): (&String, &Value)| match value {
        Value::Number(number) if *field != "collisionCount" => {
            set.status[field.as_str()].as_i64().unwrap_or(0) == number.as_i64().unwrap_or(0)
        }
        value => set.status[field.as_str()] == *value,
    };
    (!status.as_object().is_some_and(|fields| fields.iter().all(same))).then_some(status)
}
