//! Thresholds in the syntax of upstream's `--eviction-hard`: `memory.available<100Mi,nodefs.available<10%`.

use super::signals::{Observed, Signal};
use meta::Quantity;
use std::collections::BTreeMap;
use std::str::FromStr;

/// How little of each signal is too little.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Amount>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount {
    Fixed(Quantity),
    /// Of the capacity, between 0 and 1; single precision, as upstream has it.
    Part(f32),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ThresholdError {
    #[error("invalid eviction threshold syntax {0}, expected <signal><operator><value>")]
    Syntax(String),
    #[error("unsupported eviction signal {0}")]
    Signal(String),
    #[error("duplicate eviction threshold for signal {0}")]
    Twice(String),
    #[error("eviction percentage threshold {signal} must be >= 0%: {value}")]
    Percent { signal: String, value: String },
    #[error("eviction threshold {signal} must be positive: {value}")]
    Negative { signal: String, value: String },
    #[error("eviction threshold {signal}: {value}: {why}")]
    Quantity { signal: String, value: String, why: String },
}

impl Thresholds {
    /// What a node has unless its flags say otherwise; docs/decisions/eviction-thresholds.md has the
    /// reasons for the disk's.
    pub const DEFAULT: &str = "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,imagefs.available<5%";

    /// No signal is ever too little.
    pub fn none() -> Self {
        Thresholds(BTreeMap::new())
    }

    pub fn signals(&self) -> impl Iterator<Item = Signal> + '_ {
        self.0.keys().copied()
    }

    /// How much of `capacity` has to stay free, as far as a threshold asks for it.
    pub fn reserved(&self, signal: Signal, capacity: i64) -> i64 {
        self.0.get(&signal).map_or(0, |amount| amount.of(capacity))
    }

    /// Whether less is left than the threshold asks for.
    pub fn is_met(&self, signal: Signal, observed: Observed) -> bool {
        self.0.get(&signal).is_some_and(|amount| observed.available < amount.of(observed.capacity))
    }
}

impl Amount {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "upstream's own arithmetic")]
    fn of(self, capacity: i64) -> i64 {
        match self {
            Amount::Fixed(quantity) => quantity.value(),
            Amount::Part(part) => (capacity as f64 * f64::from(part)) as i64,
        }
    }
}

impl FromStr for Thresholds {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let mut all = BTreeMap::new();
        let mut seen = Vec::new();
        for statement in text.split(',').filter(|statement| !statement.is_empty()) {
            let (name, value) =
                statement.split_once('<').ok_or_else(|| ThresholdError::Syntax(statement.to_owned()))?;
            let signal = Signal::named(name).ok_or_else(|| ThresholdError::Signal(name.to_owned()))?;
            if seen.contains(&signal) {
                return Err(ThresholdError::Twice(name.to_owned()));
            }
            seen.push(signal);
            if let Some(amount) = amount(name, value)? {
                all.insert(signal, amount);
            }
        }
        Ok(Thresholds(all))
    }
}

/// None: as upstream has it, 0% and 100% switch the threshold off.
fn amount(signal: &str, text: &str) -> Result<Option<Amount>, ThresholdError> {
    let named = || (signal.to_owned(), text.to_owned());
    let unreadable = |why: String| {
        let (signal, value) = named();
        ThresholdError::Quantity { signal, value, why }
    };
    let Some(percent) = text.strip_suffix('%') else {
        let quantity = Quantity::parse(text).map_err(|error| unreadable(error.to_string()))?;
        if quantity.is_negative() || quantity.is_zero() {
            let (signal, value) = named();
            return Err(ThresholdError::Negative { signal, value });
        }
        return Ok(Some(Amount::Fixed(quantity)));
    };
    if percent == "0" || percent == "100" {
        return Ok(None);
    }
    let part: f32 = percent.parse().map_err(|error: std::num::ParseFloatError| unreadable(error.to_string()))?;
    if !(part >= 0.0 && part.is_finite()) {
        let (signal, value) = named();
        return Err(ThresholdError::Percent { signal, value });
    }
    Ok(Some(Amount::Part(part / 100.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Thresholds {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn thresholds_read_as_upstream_reads_them() {
        let all = parsed("memory.available<100Mi,nodefs.available<10%,imagefs.inodesFree<0%");
        assert_eq!(all.signals().collect::<Vec<_>>(), [Signal::MemoryAvailable, Signal::NodefsAvailable]);
        assert_eq!(all.reserved(Signal::MemoryAvailable, 1 << 30), 100 << 20);
        assert_eq!(all.reserved(Signal::NodefsAvailable, 1000), 100);
        assert_eq!(all.reserved(Signal::ImagefsInodesFree, 1000), 0);
        assert_eq!(parsed(""), Thresholds::none());
        assert_eq!(parsed(Thresholds::DEFAULT).signals().count(), 4);
    }

    #[test]
    fn less_than_the_threshold_is_too_little() {
        let all = parsed("nodefs.available<10%");
        for (available, met) in [(99, true), (100, false), (1000, false)] {
            assert_eq!(all.is_met(Signal::NodefsAvailable, Observed { available, capacity: 1000 }), met, "{available}");
        }
        let full = Observed { available: 0, capacity: 1000 };
        assert!(!all.is_met(Signal::ImagefsAvailable, full), "nothing was asked of it");
    }

    #[test]
    fn unreadable_thresholds_are_refused() {
        for (text, expected) in [
            (
                "memory.available>1Mi",
                "invalid eviction threshold syntax memory.available>1Mi, expected <signal><operator><value>",
            ),
            ("memory.free<1Mi", "unsupported eviction signal memory.free"),
            ("memory.available<1Mi,memory.available<2Mi", "duplicate eviction threshold for signal memory.available"),
            ("nodefs.available<-3%", "eviction percentage threshold nodefs.available must be >= 0%: -3%"),
            ("memory.available<-1Mi", "eviction threshold memory.available must be positive: -1Mi"),
            ("memory.available<0", "eviction threshold memory.available must be positive: 0"),
        ] {
            assert_eq!(text.parse::<Thresholds>().unwrap_err().to_string(), expected);
        }
        assert!("memory.available<many".parse::<Thresholds>().is_err());
        assert!("memory.available<many%".parse::<Thresholds>().is_err());
    }

    #[test]
    fn the_machine_says_what_is_left() {
        let here = std::path::Path::new("/");
        for signal in [Signal::MemoryAvailable, Signal::NodefsAvailable, Signal::ImagefsAvailable, Signal::PidAvailable]
        {
            let observed = signal.observe(here, here).unwrap();
            assert!((0..=observed.capacity).contains(&observed.available), "{signal:?}: {observed:?}");
        }
    }
}
