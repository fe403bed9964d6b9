//! The specs that must keep passing: a file with one name per line.

use crate::junit::{Outcome, Outcomes};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub struct Kept {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl Kept {
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("kept.txt");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Kept { path, names: lines(&text).collect() })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Kept specs that ran and did not pass.
    pub fn regressed<'o>(&self, outcomes: &'o Outcomes) -> Vec<(&'o str, &'o Outcome)> {
        let bad = |(name, outcome): &(&String, &Outcome)| self.contains(name) && **outcome != Outcome::Passed;
        outcomes.iter().filter(bad).map(|(name, outcome)| (name.as_str(), outcome)).collect()
    }

    /// Specs that passed and are not kept yet.
    pub fn gained<'o>(&self, outcomes: &'o Outcomes) -> Vec<&'o str> {
        let new = |(name, outcome): &(&String, &Outcome)| !self.contains(name) && **outcome == Outcome::Passed;
        outcomes.iter().filter(new).map(|(name, _)| name.as_str()).collect()
    }

    /// Keeps what passed from now on.
    pub fn keep(&mut self, gained: &[&str]) -> Result<()> {
        self.names.extend(gained.iter().map(|&name| name.to_owned()));
        let text: String = self.names.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(&self.path, text).with_context(|| format!("write {}", self.path.display()))
    }
}

/// Names in a list, without empty lines and remarks. Blanks count: some names have two in a row.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_spec_that_fails_or_skips_has_regressed() {
        let names = ["a", "b", "c", "not in this run"].map(str::to_owned).into();
        let kept = Kept { path: PathBuf::new(), names };
        let failed = Outcome::Failed("why".to_owned());
        let outcomes: Outcomes = [
            ("a", Outcome::Passed),
            ("b", failed.clone()),
            ("c", Outcome::Skipped),
            ("d", failed),
            ("e", Outcome::Passed),
        ]
        .map(|(name, outcome)| (name.to_owned(), outcome))
        .into();
        let regressed: Vec<&str> = kept.regressed(&outcomes).into_iter().map(|(name, _)| name).collect();
        assert_eq!(regressed, ["b", "c"]);
        assert_eq!(kept.gained(&outcomes), ["e"]);
    }
}
