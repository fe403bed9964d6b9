//! Which pods of an older template go now: from the highest number down to the partition, as many as
//! may be missing at once.

use super::member::{self, Pod};
use super::plan::Line;
use crate::amount::{self, Round};

fn allowed(line: &Line<'_>) -> usize {
    let rolling = &line.set().spec.update_strategy.rolling_update;
    let allowed = amount::of(&rolling["maxUnavailable"], line.set().spec.replicas, Round::Down);
    usize::try_from(allowed.unwrap_or(1)).unwrap_or(1).max(1)
}

pub(super) fn outdated(line: &Line<'_>) -> Vec<Pod> {
    let allowed = allowed(line);
    let is_well = |pod: &Pod| line.is_available(pod) && !pod.meta.is_deleting();
    let pods: Vec<&Pod> = line.places.iter().skip(line.set().partition()).flatten().rev().collect();
    // One at a time looks only at those above; several at once may not add to what is missing anyway.
    let mut missing = match allowed {
        1 => 0,
        _ => line.places.iter().filter(|pod| !pod.as_ref().is_some_and(is_well)).count(),
    };
    let mut doomed = Vec::new();
    for pod in pods {
        let is_old = !member::is_of(pod, line.update) && !pod.meta.is_deleting();
        if is_old && allowed > 1 && !is_well(pod) {
            // It is missing already.
            doomed.push(pod.clone());
        } else if missing >= allowed {
            break;
        } else if is_old {
            missing += 1;
            doomed.push(pod.clone());
        } else if allowed == 1 && !is_well(pod) {
            break;
        }
    }
    doomed
}
