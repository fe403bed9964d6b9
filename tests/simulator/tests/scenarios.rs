//! Every scenario through its seeds.

use simulator::scenario::Mode;
use simulator::scenarios::ALL;
use simulator::seeds::{Game, play, play_all};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of each scenario; more by `SIM_SEEDS`.
const SEEDS: u64 = 75;
const SABOTAGED: Mode = Mode { prints: false, is_sabotaged: true };

#[test]
fn every_scenario_keeps_its_rules_and_converges() {
    base::logging::init("off");
    let summaries = play_all(&Game::from_env(SEEDS).unwrap()).unwrap();
    for def in ALL {
        let own: Vec<_> = summaries.iter().filter(|summary| summary.scenario == def.name).collect();
        let writes: u64 = own.iter().map(|summary| summary.writes).sum();
        println!("{}: {} seeds, {writes} writes", def.name, own.len());
    }
}

#[test]
fn a_seed_plays_the_same_way_twice() {
    for def in ALL {
        let [once, twice, other] = [7, 7, 8].map(|seed| play(def, seed, Mode::default()).unwrap().unwrap());
        assert_eq!(once, twice);
        assert_ne!(once.hash, other.hash);
    }
}

#[test]
fn watches_that_lose_events_are_noticed() {
    for def in ALL {
        let mut verdicts = (1..=20).map(|seed| play(def, seed, SABOTAGED).unwrap());
        assert!(verdicts.any(|verdict| verdict.is_err()), "{}", def.name);
    }
}
