//! The pods a job let go that the cache still shows as held: counted already, they must not be counted
//! again while the watch is behind. In memory.

use super::pod::{self, Pod};
use client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Released(Mutex<BTreeMap<Key, BTreeSet<String>>>);

impl Released {
    pub fn note<'p>(&self, job: &Key, pods: impl IntoIterator<Item = &'p Pod>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(job.clone()).or_default().extend(pods.into_iter().map(|pod| pod.meta.uid.clone()));
    }

    /// Leaves out the pods that were let go, until they show as they are.
    pub fn sift(&self, job: &Key, pods: Vec<Pod>) -> Vec<Pod> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(uids) = all.get_mut(job) else { return pods };
        let held: BTreeSet<&String> = pods.iter().filter(|pod| pod::is_tracked(pod)).map(|pod| &pod.meta.uid).collect();
        uids.retain(|uid| held.contains(uid));
        let left = pods.iter().filter(|pod| !uids.contains(&pod.meta.uid)).cloned().collect();
        if uids.is_empty() {
            all.remove(job);
        }
        left
    }
}
