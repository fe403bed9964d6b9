//! `docs/conformance.md`: the figures of the last full run and one honest reason for each failure.

use crate::behaviours::Sum;
use crate::junit::{Outcome, Outcomes};
use crate::summary::Summary;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Why specs fail, as looked into by people: a name and a reason per line of `reasons.tsv`.
pub struct Reasons(BTreeMap<String, String>);

impl Reasons {
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("reasons.tsv");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let pair = |line: String| line.split_once('\t').map(|(name, why)| (name.to_owned(), why.to_owned()));
        Ok(Reasons(crate::kept::lines(&text).filter_map(pair).collect()))
    }

    fn of(&self, name: &str, words: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| format!("not looked into yet: `{}`", words.replace('`', "'")))
    }
}

pub struct Run<'r> {
    pub outcomes: &'r Outcomes,
    pub summary: &'r Summary,
    pub sum: &'r Sum,
    pub commit: String,
    pub machine: String,
}

pub fn write(path: &Path, run: &Run<'_>, reasons: &Reasons) -> Result<()> {
    std::fs::write(path, text(run, reasons)).with_context(|| format!("write {}", path.display()))
}

fn text(run: &Run<'_>, reasons: &Reasons) -> String {
    let mut text = String::new();
    let (total, sum) = (&run.summary.total, run.sum);
    let _ = write!(
        text,
        "# Conformance\n\n\
         Written by `make conformance`: the conformance specs of upstream's suite, version 1.20.2, against\n\
         three nodes of kutter. {total}; {sum}.\n\n\
         Commit {commit}, {machine}.\n\n\
         | group | passed | failed | skipped |\n| --- | ---: | ---: | ---: |\n",
        commit = run.commit,
        machine = run.machine,
    );
    for (sig, counts) in &run.summary.sigs {
        let _ = writeln!(text, "| {sig} | {} | {} | {} |", counts.passed, counts.failed, counts.skipped);
    }
    let _ = writeln!(text, "| all | {} | {} | {} |", total.passed, total.failed, total.skipped);
    let failed = run.outcomes.iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Failed(words) => Some((name, words)),
        _ => None,
    });
    let lines: Vec<String> = failed.map(|(name, words)| format!("- {name}: {}\n", reasons.of(name, words))).collect();
    if !lines.is_empty() {
        let _ = write!(text, "\n## What fails, and why\n\n{}", lines.concat());
    }
    let skipped: Vec<&String> =
        run.outcomes.iter().filter(|(_, outcome)| **outcome == Outcome::Skipped).map(|(name, _)| name).collect();
    if !skipped.is_empty() {
        text.push_str("\n## What found that it does not apply\n\n");
        skipped.iter().for_each(|name| _ = writeln!(text, "- {name}"));
    }
    text
}

/// The commit that the checkout is at, and whether it was changed since.
pub fn commit(root: &Path) -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).current_dir(root).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no", "crates"]).is_empty() { "" } else { " with changes" };
    format!("{}{changed}", git(&["rev-parse", "--short", "HEAD"]))
}

/// In few words: how many processors, how much memory, which kernel.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let kernel = rustix::system::uname();
    format!("{processors} processors, {} GB, Linux {}", kilobytes >> 20, kernel.release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    #[test]
    fn each_failure_has_a_reason_or_its_own_words() {
        let failed = |words: &str| Outcome::Failed(words.to_owned());
        let outcomes: Outcomes = [
            ("[sig-a] a", Outcome::Passed),
            ("[sig-a] b", failed("x")),
            ("[sig-b] c", failed("`y`")),
            ("[sig-b] d", Outcome::Skipped),
        ]
        .map(|(name, outcome)| (name.to_owned(), outcome))
        .into();
        let summary = summary::sum(&outcomes);
        let sum = Sum { upstream: 1, own: 0, missing: 461 };
        let run = Run {
            outcomes: &outcomes,
            summary: &summary,
            sum: &sum,
            commit: "abc".into(),
            machine: "a machine".into(),
        };
        let reasons = Reasons(BTreeMap::from([("[sig-a] b".to_owned(), "gone since 1.21".to_owned())]));
        let text = text(&run, &reasons);
        let expected = [
            "three nodes of kutter. 1 passed, 2 failed, 1 skipped; 462 behaviours: 1 shown by upstream's suite, \
             0 by our own test, 461 missing.",
            "| sig-a | 1 | 1 | 0 |",
            "| all | 1 | 2 | 1 |",
            "- [sig-a] b: gone since 1.21",
            "- [sig-b] c: not looked into yet: `'y'`",
            "- [sig-b] d",
        ];
        for line in expected {
            assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
        }
    }
}
