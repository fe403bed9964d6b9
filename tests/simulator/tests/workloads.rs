//! A DaemonSet, a StatefulSet and Jobs through crashes and dropped watches.

use simulator::{seeds, workloads};

/// Enough to meet every kind of fault; more by `SIM_SEEDS`.
const SEEDS: u64 = 60;

#[test]
fn workloads_come_to_rest_and_jobs_count_each_pod_once() {
    base::logging::init("off");
    let summaries = seeds::play_all("workloads", SEEDS, workloads::run).unwrap();
    let writes: u64 = summaries.iter().map(|summary| summary.writes).sum();
    println!("{} seeds, {writes} writes", summaries.len());
}

#[test]
fn workloads_play_the_same_way_twice() {
    let once = seeds::play(workloads::run, 7).unwrap().unwrap();
    assert_eq!(once, seeds::play(workloads::run, 7).unwrap().unwrap());
}
