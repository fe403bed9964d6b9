//! The suite's reports: one file per process, each naming every spec there is.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// With the first words of what went wrong.
    Failed(String),
    /// It ran and found that it does not apply.
    Skipped,
}

/// How each spec ended that ran at all.
pub type Outcomes = BTreeMap<String, Outcome>;

/// All reports in a folder. A spec that two of them name failed if it failed in one.
pub fn read_folder(folder: &Path) -> Result<Outcomes> {
    let mut all = Outcomes::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            read(&text, &mut all).with_context(|| format!("read {}", path.display()))?;
        }
    }
    Ok(all)
}

fn read(text: &str, all: &mut Outcomes) -> Result<()> {
    let document = roxmltree::Document::parse(text)?;
    for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
        let child = |name: &str| case.children().find(|node| node.has_tag_name(name));
        // What was not chosen is reported as skipped too, but took no time at all.
        let ran = case.attribute("time").and_then(|time| time.parse::<f64>().ok()).is_some_and(|time| time > 0.0);
        let outcome = match (child("failure"), child("skipped")) {
            (Some(failure), _) => Outcome::Failed(first_words(failure.text().unwrap_or_default())),
            (None, Some(_)) if !ran => continue,
            (None, Some(_)) => Outcome::Skipped,
            (None, None) => Outcome::Passed,
        };
        let name = case.attribute("name").unwrap_or_default().to_owned();
        if !matches!(all.get(&name), Some(Outcome::Failed(_))) {
            all.insert(name, outcome);
        }
    }
    Ok(())
}

/// The message without the places in the source that stand around it.
fn first_words(text: &str) -> String {
    let is_place = |line: &str| line.contains(".go:");
    let line = |line: &&str| !line.trim().is_empty() && !is_place(line);
    let words: Vec<&str> = text.lines().filter(line).map(str::trim).take(6).collect();
    words.join(" ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0"?>
<testsuite name="Kubernetes e2e suite" tests="3" failures="1" errors="0" time="9.1">
  <testcase name="[sig-a] works" classname="Kubernetes e2e suite" time="3.5"></testcase>
  <testcase name="[sig-a] breaks" classname="Kubernetes e2e suite" time="2">
    <failure type="Failure">/src/a.go:12&#xA;Nov 21: no &lt;luck&gt;&#xA;/src/b.go:3</failure>
    <system-out>much</system-out>
  </testcase>
  <testcase name="[sig-a] does not apply" classname="Kubernetes e2e suite" time="1.2e-05"><skipped></skipped></testcase>
  <testcase name="[sig-a] was not chosen" classname="Kubernetes e2e suite" time="0"><skipped></skipped></testcase>
</testsuite>"#;

    #[test]
    fn what_ran_is_told_from_what_was_not_chosen() {
        let mut all = Outcomes::new();
        assert!(read(REPORT, &mut all).is_ok());
        let expected = [
            ("[sig-a] breaks", Outcome::Failed("Nov 21: no <luck>".to_owned())),
            ("[sig-a] does not apply", Outcome::Skipped),
            ("[sig-a] works", Outcome::Passed),
        ];
        assert_eq!(all.iter().map(|(name, outcome)| (name.as_str(), outcome.clone())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_failure_outweighs_what_other_files_say() {
        let mut all = Outcomes::new();
        for report in [REPORT, &REPORT.replace("<failure", "<system-err").replace("</failure", "</system-err")] {
            assert!(read(report, &mut all).is_ok());
        }
        assert!(matches!(all.get("[sig-a] breaks"), Some(Outcome::Failed(_))));
        assert!(read("<testsuite>", &mut all).is_err());
    }
}
