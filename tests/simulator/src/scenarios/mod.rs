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

/// The scenario of a name.
pub fn find(name: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.name == name)
}
