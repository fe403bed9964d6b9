//! Deletes jobs some time after they are over, where they ask for it.

#[cfg(test)]
mod tests;

use crate::action::{Action, Delete, Plan};
use crate::cronjob::JobView;
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;

pub const DEF: Def = Def {
    name: "ttl-after-finished-controller",
    identity: "ttl-after-finished-controller",
    component: "ttl-after-finished-controller",
    workers: 5,
    retry: RETRY,
    build,
};

struct Jobs {
    jobs: Arc<Cache<JobView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let jobs = rig.cache::<JobView>(&resource::JOBS);
    rig.on(&jobs, |change, queue| {
        let over = change.new.as_ref().filter(|job| due(job).is_some());
        over.into_iter().for_each(|job| queue.add(job.key.clone()));
    });
    Box::new(Jobs { jobs })
}

/// When a job is to go; None: not that anybody knows.
fn due(job: &Item<JobView>) -> Option<Timestamp> {
    if job.meta.is_deleting() || job.view.end.is_none() {
        return None;
    }
    job.view.ended?.checked_add(SignedDuration::from_secs(job.view.keep?)).ok()
}

impl Room for Jobs {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(job) = self.jobs.get_key(key) else { return Ok(Plan::nothing()) };
        let Some(due) = due(&job) else { return Ok(Plan::nothing()) };
        if due > now {
            return Ok(Plan::nothing().again(Duration::try_from(due.duration_since(now)).ok()));
        }
        // Somebody may have given it more time just now.
        let delete =
            Delete::new(&resource::JOBS, key, &job.meta.uid).policy("Foreground").at(&job.meta.resource_version);
        Ok(Plan::of(vec![Action::Delete(vec![delete])]))
    }
}
