//! Pods of many kinds through crashes and dropped watches.

use simulator::{scheduling, seeds};

/// Enough to meet every kind of fault; more by `SIM_SEEDS`.
const SEEDS: u64 = 60;

#[test]
fn pods_find_their_places_and_nodes_are_never_overcommitted() {
    base::logging::init("off");
    let summaries = seeds::play_all("scheduling", SEEDS, scheduling::run).unwrap();
    let writes: u64 = summaries.iter().map(|summary| summary.writes).sum();
    println!("{} seeds, {writes} writes", summaries.len());
}

#[test]
fn scheduling_plays_the_same_way_twice() {
    let once = seeds::play(scheduling::run, 7).unwrap().unwrap();
    assert_eq!(once, seeds::play(scheduling::run, 7).unwrap().unwrap());
}

#[test]
fn a_scheduler_whose_watches_lose_events_is_noticed() {
    let mut verdicts = (1..=5).map(|seed| seeds::play(scheduling::run_sabotaged, seed).unwrap());
    assert!(verdicts.any(|verdict| verdict.is_err()));
}
