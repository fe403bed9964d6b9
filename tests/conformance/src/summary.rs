//! Sums by special interest group, ending with the line that says it all.

use crate::junit::{Outcome, Outcomes};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

pub struct Summary {
    pub sigs: BTreeMap<String, Counts>,
    pub total: Counts,
}

/// The group that a spec's name starts with. The suite of 1.20 still calls some of sig-node's by
/// the project's name.
pub fn sig(name: &str) -> String {
    let tag = name.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or("other");
    if tag == "k8s.io" { "sig-node".to_owned() } else { tag.to_owned() }
}

/// What was chosen and how it ended; a chosen spec that no report names has failed.
pub fn settle(chosen: &[String], mut reported: Outcomes) -> Outcomes {
    let setup = reported.remove("BeforeSuite");
    let why = match setup {
        Some(Outcome::Failed(why)) => format!("the suite did not start: {why}"),
        _ => "it did not run to its end".to_owned(),
    };
    let outcome = |name: &String| reported.get(name).cloned().unwrap_or_else(|| Outcome::Failed(why.clone()));
    chosen.iter().map(|name| (name.clone(), outcome(name))).collect()
}

pub fn sum(outcomes: &Outcomes) -> Summary {
    let mut sigs: BTreeMap<String, Counts> = BTreeMap::new();
    let mut total = Counts::default();
    for (name, outcome) in outcomes {
        sigs.entry(sig(name)).or_default().add(outcome);
        total.add(outcome);
    }
    Summary { sigs, total }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.sigs.keys().map(String::len).max().unwrap_or(0);
        for (sig, counts) in &self.sigs {
            writeln!(f, "{sig:width$}  {counts}")?;
        }
        write!(f, "{}", self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_summed_and_the_last_line_is_the_total() {
        let failed = || Outcome::Failed("why".to_owned());
        let outcomes: Outcomes = [
            ("[sig-apps] a", Outcome::Passed),
            ("[sig-apps] b", failed()),
            ("[k8s.io] [sig-node] c", Outcome::Passed),
            ("[sig-node] d", Outcome::Skipped),
        ]
        .into_iter()
        .map(|(name, outcome)| (name.to_owned(), outcome))
        .collect();
        let expected = "sig-apps  1 passed, 1 failed, 0 skipped\n\
                        sig-node  1 passed, 0 failed, 1 skipped\n\
                        2 passed, 1 failed, 1 skipped";
        assert_eq!(sum(&outcomes).to_string(), expected);
    }

    #[test]
    fn what_was_not_reported_has_failed() {
        let chosen = ["a".to_owned(), "b".to_owned()];
        let reported = |setup: bool| {
            let mut all = Outcomes::from([("a".to_owned(), Outcome::Passed), ("z".to_owned(), Outcome::Passed)]);
            if setup {
                all.insert("BeforeSuite".to_owned(), Outcome::Failed("no nodes".to_owned()));
            }
            settle(&chosen, all)
        };
        let failed = |why: &str| Some(Outcome::Failed(why.to_owned()));
        assert_eq!(reported(false).get("b").cloned(), failed("it did not run to its end"));
        assert_eq!(reported(true).get("b").cloned(), failed("the suite did not start: no nodes"));
        assert_eq!(reported(true).len(), 2);
    }
}
