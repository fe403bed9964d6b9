//! How long a job whose pods fail waits before it makes the next: failures since the last success,
//! in memory.

use base::Timestamp;
use client::Key;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(10 * 60);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Record {
    pub failures: u32,
    pub last: Option<Timestamp>,
}

impl Record {
    /// Takes in pods that ended, with the times they did.
    pub fn after(self, succeeded: &[Timestamp], failed: &[Timestamp]) -> Self {
        let last_success = succeeded.iter().max();
        let later = failed.iter().filter(|at| last_success.is_none_or(|success| *at > success));
        let (count, latest) = (u32::try_from(later.clone().count()).unwrap_or(u32::MAX), later.max().copied());
        let before = match last_success {
            Some(_) => Record::default(),
            None => self,
        };
        Record { failures: before.failures.saturating_add(count), last: before.last.max(latest) }
    }

    /// What is left to wait.
    pub fn left(&self, now: Timestamp) -> Option<SignedDuration> {
        left(self.failures, self.last?, now)
    }
}

/// What is left to wait after this many failures, the last of which was then.
pub(super) fn left(failures: u32, last: Timestamp, now: Timestamp) -> Option<SignedDuration> {
    if failures == 0 {
        return None;
    }
    let doubled = 2_i32.saturating_pow(failures.saturating_sub(1));
    let delay = FIRST.checked_mul(doubled).map_or(LONGEST, |delay| delay.min(LONGEST));
    let left = delay - now.duration_since(last);
    left.is_positive().then_some(left)
}

/// The records of all jobs that have any.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<BTreeMap<Key, (String, Record)>>);

impl Backoffs {
    pub fn of(&self, job: &Key, uid: &str) -> Record {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(job).filter(|(of, _)| of == uid).map(|(_, record)| *record).unwrap_or_default()
    }

    pub fn set(&self, job: &Key, uid: &str, record: Record) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match record == Record::default() {
            true => all.remove(job),
            false => all.insert(job.clone(), (uid.to_owned(), record)),
        };
    }

    pub fn forget(&self, job: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
    }
}
