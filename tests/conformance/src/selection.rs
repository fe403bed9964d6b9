//! Which specs a run takes, and in which part: those that tolerate others beside them, then the rest.

use anyhow::{Context as _, Result};
use regex::Regex;

/// What the caller chose, from `FOCUS`, `SKIP`, `NODES` and the smoke list.
#[derive(Debug, Default)]
pub struct Choice {
    pub focus: Option<String>,
    pub skip: Option<String>,
    /// Processes of the parallel part.
    pub processes: u32,
    pub only: Option<Vec<String>>,
}

impl Choice {
    /// Whether this takes every spec.
    pub fn is_everything(&self) -> bool {
        self.focus.is_none() && self.skip.is_none() && self.only.is_none()
    }
}

/// One call of the suite.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub processes: u32,
    pub specs: Vec<String>,
}

impl Part {
    /// A pattern that these specs match and no other: names in full, since the suite can require
    /// one pattern only.
    pub fn pattern(&self) -> String {
        self.specs.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
    }
}

pub fn parts(all: &[String], choice: &Choice) -> Result<Vec<Part>> {
    let pattern = |text: &Option<String>, what: &str| match text.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Regex::new(text).map(Some).with_context(|| format!("{what}={text} is no pattern")),
        None => Ok(None),
    };
    let (focus, skip) = (pattern(&choice.focus, "FOCUS")?, pattern(&choice.skip, "SKIP")?);
    let chosen = all.iter().filter(|name| {
        focus.as_ref().is_none_or(|focus| focus.is_match(name))
            && !skip.as_ref().is_some_and(|skip| skip.is_match(name))
            && choice.only.as_ref().is_none_or(|only| only.contains(name))
    });
    let (serial, parallel): (Vec<String>, Vec<String>) = chosen.cloned().partition(|name| name.contains("[Serial]"));
    let parts = [
        Part { name: "parallel", processes: choice.processes.max(1), specs: parallel },
        Part { name: "serial", processes: 1, specs: serial },
    ];
    Ok(parts.into_iter().filter(|part| !part.specs.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        ["[sig-a] one (x) [Conformance]", "[sig-a] two [Serial] [Conformance]", "[sig-b] three"]
            .map(str::to_owned)
            .into()
    }

    fn names(choice: &Choice) -> Vec<(&'static str, Vec<String>)> {
        parts(&all(), choice).unwrap_or_default().into_iter().map(|part| (part.name, part.specs)).collect()
    }

    #[test]
    fn serial_specs_come_last_and_alone() {
        let parts = parts(&all(), &Choice { processes: 4, ..Choice::default() }).unwrap_or_default();
        assert_eq!(
            parts.iter().map(|part| (part.name, part.processes)).collect::<Vec<_>>(),
            [("parallel", 4), ("serial", 1)]
        );
        assert_eq!(parts[1].specs, [all()[1].clone()]);
    }

    #[test]
    fn focus_skip_and_the_list_narrow_it() {
        let focus = Choice { focus: Some("sig-a".into()), skip: Some("two".into()), ..Choice::default() };
        assert_eq!(names(&focus), [("parallel", vec![all()[0].clone()])]);
        let only = Choice { only: Some(vec![all()[2].clone()]), ..Choice::default() };
        assert_eq!(names(&only), [("parallel", vec![all()[2].clone()])]);
        assert_eq!(names(&Choice { focus: Some(String::new()), ..Choice::default() }).len(), 2);
        assert!(parts(&all(), &Choice { focus: Some("(".into()), ..Choice::default() }).is_err());
    }

    #[test]
    fn a_pattern_takes_names_literally() {
        let part = Part { name: "parallel", processes: 1, specs: all() };
        let pattern = Regex::new(&part.pattern()).ok();
        assert!(pattern.is_some_and(|pattern| pattern.is_match(&all()[0]) && !pattern.is_match("[sig-a] one x")));
    }
}
