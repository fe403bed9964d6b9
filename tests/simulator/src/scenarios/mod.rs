//! The scenarios: a room each, and one line in [`ALL`]. They say what the user does and what must
//! hold; playing is [`crate::scenario`]'s.

mod autoscaling;
mod cronjob;
mod deployment;
mod devices;
mod eviction;
mod garbage;
mod namespace;
mod quota;
mod scheduling;
mod services;
mod storage;
mod workloads;

use crate::ledger::Written;
use crate::scenario::Def;

pub const ALL: &[Def] = &[
    Def::of::<deployment::Deployment>("deployment"),
    Def::of::<workloads::Workloads>("workloads"),
    Def::of::<scheduling::Scheduling>("scheduling"),
    Def::of::<quota::Quota>("quota"),
    Def::of::<eviction::Eviction>("eviction"),
    Def::of::<garbage::Garbage>("garbage"),
    Def::of::<namespace::Namespace>("namespace"),
    Def::of::<cronjob::CronJobs>("cronjob"),
    Def::of::<devices::Devices>("devices"),
    Def::of::<autoscaling::Autoscaling>("autoscaling"),
    Def::of::<services::Services>("services"),
    Def::of::<storage::Storage>("storage"),
];

/// How many Events about a pod that waits are no disturbance while nothing happens.
const EVENTS_PER_POD: usize = 4;

/// What disturbs the peace: anything written, but for some Events about pods that wait, which may be tried
/// again now and then.
fn beyond_events(waiting: usize, written: &[Written]) -> Option<String> {
    let (events, others): (Vec<&Written>, Vec<&Written>) =
        written.iter().partition(|one| one.key.starts_with("/registry/events/"));
    match others.first() {
        Some(first) => Some(format!("{} was written while nothing happened", first.key)),
        None if events.len() > waiting * EVENTS_PER_POD => {
            Some(format!("{} events about {waiting} waiting pods while nothing happened", events.len()))
        }
        None => None,
    }
}

/// The scenario of a name.
pub fn find(name: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.name == name)
}
