//! What is measured: one file for each, one line for each in [`ROWS`]. Rows of [`Run::Served`] run in
//! the order of the table on one started side; the others start what they need.

mod applies;
mod creates;
mod custom;
mod gets;
mod growth;
mod hollow;
mod kubectl;
mod lists;
mod memory;
mod merges;
mod node;
mod ready;
mod schedule;
mod schedule_affine;
mod schedule_large;
mod services;
mod statuses;
mod stuck;
mod watches;
mod workloads;

use crate::bench::Bench;
use crate::report::short;
use crate::served::Served;
use crate::sides::Kind;
pub use crate::summary::Better;
use crate::summary::Spread;
use futures_util::future::LocalBoxFuture;

/// The readings of one run of a row.
pub type Found = Vec<(&'static str, f64)>;

pub enum Run {
    /// On a side that runs and holds what the rows before have left.
    Served(for<'a> fn(&'a mut Served<'_>) -> LocalBoxFuture<'a, anyhow::Result<Found>>),
    /// Starts and stops what it needs.
    Alone(for<'a> fn(&'a Bench, Kind) -> LocalBoxFuture<'a, anyhow::Result<Found>>),
}

pub struct Row {
    pub name: &'static str,
    pub in_quick: bool,
    pub measures: &'static [Measure],
    pub run: Run,
}

/// One figure of a row.
pub struct Measure {
    pub key: &'static str,
    pub title: &'static str,
    pub unit: Unit,
    pub better: Better,
    /// How many times better Kutter must be.
    pub goal: Option<f64>,
    /// The ratio's name in the line of JSON.
    pub json: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Micros,
    Millis,
    Bytes,
    Cores,
    Percent,
}

impl Unit {
    /// What figures of the size of `like` are divided by, and what is written behind them.
    fn scale(self, like: f64) -> (f64, &'static str) {
        match self {
            Unit::PerSecond => (1.0, "/s"),
            Unit::Micros => (1.0, " µs"),
            Unit::Millis => (1.0, " ms"),
            Unit::Bytes if like < f64::from(1 << 20) => (1024.0, " KiB"),
            Unit::Bytes => (f64::from(1 << 20), " MiB"),
            Unit::Cores => (1.0, " cores"),
            Unit::Percent => (1.0, " % of a core"),
        }
    }

    /// The median, and the range where there was more than one reading.
    pub fn show(self, spread: &Spread) -> String {
        let (divisor, unit) = self.scale(spread.median);
        let number = |value: f64| short(value / divisor);
        match spread.count {
            1 => format!("{}{unit}", number(spread.median)),
            _ => format!("{}{unit} ({}–{})", number(spread.median), number(spread.low), number(spread.high)),
        }
    }
}

const fn more(key: &'static str, title: &'static str, goal: Option<f64>) -> Measure {
    Measure { key, title, unit: Unit::PerSecond, better: Better::More, goal, json: None }
}

const fn less(key: &'static str, title: &'static str, unit: Unit, goal: Option<f64>) -> Measure {
    Measure { key, title, unit, better: Better::Less, goal, json: None }
}

pub const ROWS: &[Row] = &[
    ready::ROW,
    creates::ROW,
    gets::ROW,
    lists::ROW,
    memory::ROW,
    statuses::ROW,
    watches::ROW,
    stuck::ROW,
    merges::ROW,
    applies::ROW,
    custom::ROW,
    schedule::ROW,
    schedule_affine::ROW,
    schedule_large::ROW,
    node::ROW,
    services::ROW,
    kubectl::ROW,
    growth::ROW,
    hollow::ROW,
    workloads::ROW,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_keys_are_used_once_and_the_line_of_json_has_all_it_promises() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let measures: Vec<_> = ROWS.iter().flat_map(|row| row.measures).collect();
        let keys: BTreeSet<_> = measures.iter().map(|measure| measure.key).collect();
        assert_eq!(keys.len(), measures.len());
        for name in ["creates_ratio", "gets_ratio", "lists_ratio", "memory_ratio", "ready_ratio", "schedule_ratio"] {
            let row = ROWS.iter().find(|row| row.measures.iter().any(|measure| measure.json == Some(name)));
            assert!(row.is_some_and(|row| row.in_quick), "{name} is not measured by bench-quick");
        }
    }
}
