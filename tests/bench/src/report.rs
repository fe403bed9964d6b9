//! Readings to tables: collects what the rows measured, and prints markdown (ratio first, absolute
//! figures second) and the one line of JSON that `make bench-quick` ends with. Measures nothing.

use crate::rows::{Measure, ROWS};
use crate::sides::Kind;
use crate::summary::Spread;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything measured so far, by figure and side.
#[derive(Default)]
pub struct Readings {
    values: BTreeMap<(String, Kind), Vec<f64>>,
    /// Rows that could not be measured, and why.
    pub missing: Vec<(String, Kind, String)>,
}

impl Readings {
    pub fn add(&mut self, key: &str, kind: Kind, value: f64) {
        self.values.entry((key.to_owned(), kind)).or_default().push(value);
    }

    pub fn spread(&self, key: &str, kind: Kind) -> Option<Spread> {
        Spread::of(self.values.get(&(key.to_owned(), kind))?)
    }

    /// How many times better Kutter's median is than upstream's.
    pub fn ratio(&self, measure: &Measure) -> Option<f64> {
        let ours = self.spread(measure.key, Kind::Kutter)?;
        let theirs = self.spread(measure.key, Kind::Upstream)?;
        measure.better.ratio(ours.median, theirs.median)
    }

    fn has(&self, measure: &Measure) -> bool {
        [Kind::Kutter, Kind::Upstream].iter().any(|kind| self.spread(measure.key, *kind).is_some())
    }

    /// One table over all rows that have readings.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | ratio | must show | Kutter (lowest–highest) | upstream (lowest–highest) |\n|---|---|---|---|---|\n",
        );
        for measure in ROWS.iter().flat_map(|row| row.measures).filter(|measure| self.has(measure)) {
            let ratio = self.ratio(measure);
            let shown = ratio.map_or("–".to_owned(), |ratio| format!("**{}×**", short(ratio)));
            let goal = match (measure.goal, ratio) {
                (None, _) => String::new(),
                (Some(goal), None) => format!("{}×", short(goal)),
                (Some(goal), Some(ratio)) if ratio >= goal => format!("{}×, met", short(goal)),
                (Some(goal), Some(_)) => format!("{}×, **missed**", short(goal)),
            };
            let cell =
                |kind| self.spread(measure.key, kind).map_or("–".to_owned(), |spread| measure.unit.show(&spread));
            let _ = writeln!(
                text,
                "| {} | {shown} | {goal} | {} | {} |",
                measure.title,
                cell(Kind::Kutter),
                cell(Kind::Upstream)
            );
        }
        for (row, kind, why) in &self.missing {
            let _ = writeln!(text, "\nNot measured: {row} on {}: {why}", kind.name());
        }
        text
    }

    /// The ratios that other tools read, as one JSON object on one line. A ratio that was not
    /// measured is null: never a number that nobody measured.
    pub fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        for measure in ROWS.iter().flat_map(|row| row.measures) {
            let Some(name) = measure.json else { continue };
            let rounded = self.ratio(measure).map(|ratio| (ratio * 100.0).round() / 100.0);
            object.insert(name.to_owned(), rounded.into());
        }
        serde_json::Value::Object(object).to_string()
    }
}

/// Three digits that matter, thousands apart.
pub fn short(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && digit.is_ascii_digit() && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_matters() {
        for (value, shown) in [
            (0.0, "0"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (15500.0, "15,500"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(short(value), shown);
        }
    }

    #[test]
    fn what_was_not_measured_is_null_and_what_was_is_a_ratio_of_medians() {
        let mut readings = Readings::default();
        for (kind, values) in [(Kind::Kutter, [20.0, 30.0, 10.0]), (Kind::Upstream, [2.0, 1.0, 9.0])] {
            for value in values {
                readings.add("creates", kind, value);
            }
        }
        readings.add("ready", Kind::Kutter, 0.1);
        readings.add("ready", Kind::Upstream, 4.0);
        let json: serde_json::Value = serde_json::from_str(&readings.json()).unwrap();
        assert_eq!(json["creates_ratio"], 10.0);
        assert_eq!(json["ready_ratio"], 40.0);
        for name in ["gets_ratio", "lists_ratio", "memory_ratio", "schedule_ratio"] {
            assert!(json.as_object().unwrap().contains_key(name), "{name} has no key");
            assert!(json[name].is_null(), "{name} was made up");
        }
        assert!(!readings.json().contains('\n'));
    }

    #[test]
    fn tables_say_what_missed_its_goal() {
        let mut readings = Readings::default();
        readings.add("creates", Kind::Kutter, 3000.0);
        readings.add("creates", Kind::Upstream, 1500.0);
        readings.missing.push(("lists".to_owned(), Kind::Upstream, "it is not built".to_owned()));
        let table = readings.markdown();
        assert!(table.contains("**2×**"), "{table}");
        assert!(table.contains("**missed**"), "{table}");
        assert!(table.contains("Not measured: lists on upstream: it is not built"), "{table}");
    }
}
