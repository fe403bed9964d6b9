//! What the flags of eviction say, in upstream's syntax: `memory.available<100Mi,nodefs.available<10%`
//! for thresholds, `memory.available=1m30s` for what belongs to them.

use super::signals::{Observed, Signal};
use meta::Quantity;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// How little of each signal is too little.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Amount>);

/// All that is set about eviction.
#[derive(Debug, Clone, PartialEq)]
pub struct EvictionOptions {
    /// What counts at once.
    pub hard: Thresholds,
    /// What counts once it has lasted.
    pub soft: Thresholds,
    pub soft_grace: Graces,
    /// How much more than a threshold has to be free again.
    pub reclaim: Reclaims,
    /// Seconds that a pod gets to end at most when a soft threshold is met.
    pub max_pod_grace: u64,
    /// How long a condition of the node stays after it was last seen.
    pub transition: Duration,
}

/// One threshold with all that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold {
    pub signal: Signal,
    amount: Amount,
    /// How long it has to be met; None: a hard one.
    pub grace: Option<Duration>,
    reclaim: Option<Amount>,
}

/// How long each soft threshold has to be met before pods go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graces(BTreeMap<Signal, Duration>);

/// How much more than each threshold is made free.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reclaims(BTreeMap<Signal, Amount>);

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
    #[error("grace period must be specified for the soft eviction threshold {0}")]
    NoGrace(String),
    #[error("invalid eviction grace period specified: {0}, must be a positive value")]
    Grace(String),
    #[error("negative eviction minimum reclaim specified for {0}")]
    Reclaim(String),
    #[error("{0:?} is no <signal>=<value>")]
    Pair(String),
}

impl EvictionOptions {
    /// Evicts nothing but pods over their own limits.
    pub fn none() -> Self {
        EvictionOptions {
            hard: Thresholds::none(),
            soft: Thresholds::none(),
            soft_grace: Graces::default(),
            reclaim: Reclaims::default(),
            max_pod_grace: 0,
            transition: Duration::from_secs(300),
        }
    }

    /// # Errors
    /// A soft threshold without a grace period.
    pub fn check(&self) -> Result<(), ThresholdError> {
        match self.soft.signals().find(|signal| !self.soft_grace.0.contains_key(signal)) {
            Some(signal) => Err(ThresholdError::NoGrace(signal.name().to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) fn thresholds(&self) -> Vec<Threshold> {
        let one = |signal: Signal, amount: Amount, grace: Option<Duration>| Threshold {
            signal,
            amount,
            grace,
            reclaim: self.reclaim.0.get(&signal).copied(),
        };
        let hard = self.hard.0.iter().map(|(signal, amount)| one(*signal, *amount, None));
        let grace = |signal: &Signal| self.soft_grace.0.get(signal).copied().unwrap_or_default();
        let soft = self.soft.0.iter().map(|(signal, amount)| one(*signal, *amount, Some(grace(signal))));
        hard.chain(soft).collect()
    }
}

impl Threshold {
    /// Less than this is too little.
    pub fn quantity(&self, capacity: i64) -> Quantity {
        match self.amount {
            Amount::Fixed(quantity) => quantity,
            part @ Amount::Part(_) => self.signal.quantity(part.of(capacity)),
        }
    }

    /// Whether too little is left; `reclaiming`: or no more than what had to be made free again.
    pub fn is_met(&self, observed: Observed, reclaiming: bool) -> bool {
        let more = self.reclaim.filter(|_| reclaiming).map_or(0, |amount| amount.of(observed.capacity));
        observed.available < self.amount.of(observed.capacity).saturating_add(more)
    }
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

/// `signal=value` of each, separated by commas.
fn pairs(text: &str) -> impl Iterator<Item = Result<(Signal, &str), ThresholdError>> {
    text.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| ThresholdError::Pair(pair.to_owned()))?;
        let signal = Signal::named(name).ok_or_else(|| ThresholdError::Signal(name.to_owned()))?;
        Ok((signal, value))
    })
}

impl FromStr for Graces {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let grace = |pair: Result<(Signal, &str), ThresholdError>| {
            let (signal, value) = pair?;
            let nanos = meta::time::parse_duration(value).ok().and_then(|nanos| u64::try_from(nanos).ok());
            let nanos = nanos.ok_or_else(|| ThresholdError::Grace(value.to_owned()))?;
            Ok((signal, Duration::from_nanos(nanos)))
        };
        Ok(Graces(pairs(text).map(grace).collect::<Result<_, _>>()?))
    }
}

impl FromStr for Reclaims {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let reclaim = |pair: Result<(Signal, &str), ThresholdError>| {
            let (signal, value) = pair?;
            let wrong = || ThresholdError::Reclaim(signal.name().to_owned());
            let amount = match value.strip_suffix('%') {
                Some(percent) => {
                    let part = percent.parse::<f32>().ok().filter(|part| (0.0..=100.0).contains(part));
                    Amount::Part(part.ok_or_else(wrong)? / 100.0)
                }
                None => {
                    let quantity = Quantity::parse(value).ok().filter(|quantity| !quantity.is_negative());
                    Amount::Fixed(quantity.ok_or_else(wrong)?)
                }
            };
            Ok((signal, amount))
        };
        Ok(Reclaims(pairs(text).map(reclaim).collect::<Result<_, _>>()?))
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
    use super::super::signals::{Machine, Signals as _};
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
        let reclaim = "nodefs.available=5%".parse().unwrap();
        let options = EvictionOptions { hard: all, reclaim, ..EvictionOptions::none() };
        let [threshold] = options.thresholds()[..] else { panic!("{options:?}") };
        for (available, met, reclaiming) in
            [(99, true, true), (100, false, true), (149, false, true), (150, false, false)]
        {
            let observed = Observed { available, capacity: 1000 };
            assert_eq!((threshold.is_met(observed, false), threshold.is_met(observed, true)), (met, reclaiming));
        }
        assert_eq!(threshold.quantity(1 << 30).to_string(), "107374184");
    }

    #[test]
    fn what_belongs_to_a_threshold_is_read_as_well() {
        let soft = parsed("memory.available<1Gi");
        let mut options = EvictionOptions { soft, ..EvictionOptions::none() };
        let text = "grace period must be specified for the soft eviction threshold memory.available";
        assert_eq!(options.check().unwrap_err().to_string(), text);
        options.soft_grace = "nodefs.available=1h,memory.available=1m30s".parse().unwrap();
        options.check().unwrap();
        options.reclaim = "memory.available=100Mi".parse().unwrap();
        let [threshold] = options.thresholds()[..] else { panic!("{options:?}") };
        assert_eq!(threshold.grace, Some(Duration::from_secs(90)));
        assert_eq!(threshold.quantity(0).to_string(), "1Gi");
        for (text, why) in [
            ("memory.available", "\"memory.available\" is no <signal>=<value>"),
            ("memory=1s", "unsupported eviction signal memory"),
            ("memory.available=-1s", "invalid eviction grace period specified: -1s, must be a positive value"),
        ] {
            assert_eq!(text.parse::<Graces>().unwrap_err().to_string(), why);
        }
        let refused = "imagefs.available=-2Gi".parse::<Reclaims>().unwrap_err();
        assert_eq!(refused.to_string(), "negative eviction minimum reclaim specified for imagefs.available");
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
        let here = Machine { root_dir: "/".into(), images: "/".into() };
        for signal in [Signal::MemoryAvailable, Signal::NodefsAvailable, Signal::ImagefsAvailable, Signal::PidAvailable]
        {
            let observed = here.observe(signal).unwrap();
            assert!((0..=observed.capacity).contains(&observed.available), "{signal:?}: {observed:?}");
        }
    }
}
