//! Deployments through crashes and dropped watches.

use simulator::{deployment, seeds};

/// Enough to meet every kind of fault; more by `SIM_SEEDS`.
const SEEDS: u64 = 100;

#[test]
fn deployments_keep_their_rules_and_converge() {
    base::logging::init("off");
    let summaries = seeds::play_all("deployment", SEEDS, deployment::run).unwrap();
    let writes: u64 = summaries.iter().map(|summary| summary.writes).sum();
    println!("{} seeds, {writes} writes", summaries.len());
}

#[test]
fn a_deployment_plays_the_same_way_twice() {
    let once = seeds::play(deployment::run, 7).unwrap();
    let twice = seeds::play(deployment::run, 7).unwrap();
    let other = seeds::play(deployment::run, 8).unwrap();
    assert_eq!(once.as_ref().unwrap(), twice.as_ref().unwrap());
    assert_ne!(once.unwrap().hash, other.unwrap().hash);
}

#[test]
fn a_deployment_whose_watches_lose_events_is_noticed() {
    let failure = seeds::play(deployment::run_sabotaged, 1).unwrap().unwrap_err();
    assert!(!failure.tail.is_empty());
}
