//! Levels and versions, and the namespace labels that name them.

use super::bad_label;
use crate::paths::text;
use meta::field::FieldError;
use serde_json::Value;
use std::fmt;

const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// A level as some Kubernetes version defined it: 1.`minor`, or the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub level: Level,
    pub version: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub enforce: Rule,
    pub audit: Rule,
    pub warn: Rule,
}

impl Rule {
    const OFF: Rule = Rule { level: Level::Privileged, version: None };

    /// Whether its version is at least 1.`minor`.
    pub fn since(self, minor: u32) -> bool {
        self.version.is_none_or(|own| own >= minor)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

impl Policy {
    /// What a namespace's labels say. A level to enforce that cannot be read counts as restricted, one
    /// to tell of as privileged, a version as the latest.
    pub fn of(namespace: &Value) -> (Policy, Vec<FieldError>) {
        let mut problems = Vec::new();
        let mut rule = |mode: &str| read(namespace, mode, &mut problems);
        let (enforce, audit) = (rule("enforce"), rule("audit"));
        let warn = rule("warn");
        // Who sets a level and no warning is warned at that level.
        let unset =
            |mode: &str| label(namespace, mode).is_empty() && label(namespace, &format!("{mode}-version")).is_empty();
        let warn = if unset("warn") && enforce.level > Level::Privileged { enforce } else { warn };
        (Policy { enforce, audit, warn }, problems)
    }
}

fn label<'v>(namespace: &'v Value, name: &str) -> &'v str {
    text(namespace, &["metadata", "labels", &format!("{LABEL_PREFIX}{name}")])
}

fn read(namespace: &Value, mode: &str, problems: &mut Vec<FieldError>) -> Rule {
    let mut rule = Rule::OFF;
    let level = label(namespace, mode);
    rule.level = match level {
        "" | "privileged" => Level::Privileged,
        "baseline" => Level::Baseline,
        "restricted" => Level::Restricted,
        other => {
            let name = format!("{LABEL_PREFIX}{mode}");
            problems.push(bad_label(&name, other, "must be one of privileged, baseline, restricted"));
            if mode == "enforce" { Level::Restricted } else { Level::Privileged }
        }
    };
    let name = format!("{mode}-version");
    let version = label(namespace, &name);
    if !matches!(version, "" | "latest") {
        let minor = version.strip_prefix("v1.").filter(|minor| !minor.starts_with('0') || *minor == "0");
        rule.version = minor.and_then(|minor| minor.parse().ok());
        if rule.version.is_none() {
            let name = format!("{LABEL_PREFIX}{name}");
            problems.push(bad_label(&name, version, "must be \"latest\" or \"v1.x\""));
        }
    }
    rule
}
