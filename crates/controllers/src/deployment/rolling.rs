//! How many replicas each set may have: surge and unavailability, rolling steps, scaling in
//! proportion. Numbers in, numbers out (upstream's `deployment/util` and `rolling.go`).

use super::{Deployment, Set, revision};
use crate::amount::{self, Round};
use serde_json::Value;

impl Deployment {
    /// Pods allowed above and missing below the wanted number. Both zero would stand still, so
    /// one may be missing then.
    fn fenceposts(&self) -> (i64, i64) {
        let rolling = &self.spec.strategy.rolling_update;
        let surge = scaled(&rolling["maxSurge"], self.spec.replicas, Round::Up);
        let unavailable = scaled(&rolling["maxUnavailable"], self.spec.replicas, Round::Down);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    pub fn max_surge(&self) -> i64 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    pub fn max_unavailable(&self) -> i64 {
        let applies = self.is_rolling() && self.spec.replicas > 0;
        if applies { self.fenceposts().1.min(self.spec.replicas) } else { 0 }
    }
}

/// 25% where it is missing, as defaulting would have it.
fn scaled(value: &Value, total: i64, round: Round) -> i64 {
    amount::of(value, total, round).or_else(|| amount::of(&"25%".into(), total, round)).unwrap_or(0)
}

/// The size of the new set at this moment: as large as wanted, but not so large that there are more
/// pods than allowed.
pub(super) fn new_set_size(deployment: &Deployment, all_replicas: i64, new_replicas: i64) -> i64 {
    let wanted = deployment.spec.replicas;
    if !deployment.is_rolling() {
        return wanted;
    }
    let room = wanted + deployment.max_surge() - all_replicas;
    if room <= 0 { new_replicas } else { new_replicas + room.min(wanted - new_replicas) }
}

/// The available pods that a set keeps. Its status may still count pods it no longer asks for:
/// shrinking on the strength of those a second time would leave fewer than allowed.
fn available(set: &Set) -> i64 {
    set.status.available_replicas.min(set.spec.replicas)
}

/// Shrinks old sets as far as the new one's pods are available; says whether it did. Pods that are
/// not available anyway go first. `old` are sorted by age.
pub(super) fn shrink_old(deployment: &Deployment, old: &mut [&mut Set], new: &Set) -> bool {
    let old_replicas: i64 = old.iter().map(|set| set.spec.replicas).sum();
    // A set that was just resized may still be losing pods that its status counts; its next
    // status comes soon and wakes us.
    let is_behind = |set: &Set| set.status.observed_generation < set.metadata.generation;
    if old_replicas == 0 || is_behind(new) || old.iter().any(|set| is_behind(set)) {
        return false;
    }
    let min_available = deployment.spec.replicas - deployment.max_unavailable();
    let new_unavailable = new.spec.replicas - available(new);
    let mut may_go = old_replicas + new.spec.replicas - min_available - new_unavailable;
    if may_go <= 0 {
        return false;
    }
    let before = old_replicas;
    for set in old.iter_mut() {
        let unhealthy = (set.spec.replicas - available(set)).clamp(0, may_go);
        set.spec.replicas -= unhealthy;
        may_go -= unhealthy;
    }
    let still_there: i64 = old.iter().map(|set| available(set)).sum();
    let mut surplus = still_there + available(new) - min_available;
    for set in old.iter_mut() {
        let healthy = surplus.clamp(0, set.spec.replicas);
        set.spec.replicas -= healthy;
        surplus -= healthy;
    }
    old.iter().map(|set| set.spec.replicas).sum::<i64>() < before
}

/// Spreads a changed number of replicas over the sets that have any, in proportion to their sizes,
/// so that a Deployment scaled in the middle of a rollout keeps its mix.
pub(super) fn scale_in_proportion(deployment: &Deployment, mut active: Vec<&mut Set>) {
    let total: i64 = active.iter().map(|set| set.spec.replicas).sum();
    let allowed = match deployment.spec.replicas {
        0 => 0,
        replicas => replicas + deployment.max_surge(),
    };
    let to_add = allowed - total;
    if to_add == 0 {
        return;
    }
    // The larger first; of equal ones the newer gains first and the older loses first.
    active.sort_by(|a, b| {
        let ages = if to_add > 0 { b.age().cmp(&a.age()) } else { a.age().cmp(&b.age()) };
        b.spec.replicas.cmp(&a.spec.replicas).then(ages)
    });
    let mut added = 0;
    for set in active.iter_mut() {
        let share = share(deployment, set, to_add, to_add - added);
        set.spec.replicas += share;
        added += share;
    }
    if let Some(largest) = active.first_mut() {
        largest.spec.replicas = (largest.spec.replicas + to_add - added).max(0);
    }
}

/// How much of `to_add` is this set's, of which `left` is still to be given.
fn share(deployment: &Deployment, set: &Set, to_add: i64, left: i64) -> i64 {
    if set.spec.replicas == 0 || left == 0 {
        return 0;
    }
    let fraction = fraction(deployment, set);
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}

fn fraction(deployment: &Deployment, set: &Set) -> i64 {
    if deployment.spec.replicas == 0 {
        return -set.spec.replicas;
    }
    let before = match revision::number(set, revision::MAX_REPLICAS) {
        Some(before) if before > 0 => before,
        _ => deployment.status["replicas"].as_i64().unwrap_or(0),
    };
    if before == 0 {
        return 0;
    }
    let now = deployment.spec.replicas + deployment.max_surge();
    let size = (set.spec.replicas * now) as f64 / before as f64;
    size.round() as i64 - set.spec.replicas
}
