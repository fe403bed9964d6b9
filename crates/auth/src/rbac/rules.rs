//! Policy rules: reading them, matching a request, comparing sets of them.

use base::collections::HashMap;
use meta::Attributes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};

/// A rule as roles and reviews carry it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "meta::null_as_default")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "meta::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "meta::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "meta::null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "meta::null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// The `rules` of a Role or ClusterRole; what cannot be read grants nothing.
pub(super) fn rules_of(role: &Value) -> Vec<Rule> {
    role.get("rules").map(rules_in).unwrap_or_default()
}

/// The rules of a list of them.
pub(crate) fn rules_in(list: &Value) -> Vec<Rule> {
    list.as_array().into_iter().flatten().filter_map(|rule| Rule::deserialize(rule).ok()).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted)
}

fn has_or_star(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted || one == "*")
}

impl Rule {
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        if !has_or_star(&self.verbs, asked.verb) {
            return false;
        }
        if !asked.is_resource() {
            return self.non_resource_urls.iter().any(|pattern| path_matches(pattern, asked.path));
        }
        has_or_star(&self.api_groups, asked.group)
            && self.resources.iter().any(|pattern| resource_matches(pattern, asked.resource, asked.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, asked.name))
    }

    /// Whether it allows all that `wanted`, a rule of one thing, allows.
    fn covers_one(&self, wanted: &Rule) -> bool {
        let all = |own: &[String], wanted: &[String]| has(own, "*") || wanted.iter().all(|one| has(own, one));
        let resources = wanted.resources.iter().all(|one| {
            let (resource, subresource) = one.split_once('/').unwrap_or((one, ""));
            has(&self.resources, "*")
                || has(&self.resources, one)
                || !subresource.is_empty()
                    && resource != "*"
                    && self.resources.iter().any(|own| own.strip_prefix("*/") == Some(subresource))
        });
        let names = self.resource_names.is_empty()
            || !wanted.resource_names.is_empty()
                && wanted.resource_names.iter().all(|one| has(&self.resource_names, one));
        let paths = wanted.non_resource_urls.iter().all(|path| {
            self.non_resource_urls.iter().any(|own| own == path || path_matches(own, path.trim_end_matches('*')))
        });
        all(&self.verbs, &wanted.verbs) && all(&self.api_groups, &wanted.api_groups) && resources && names && paths
    }

    /// As many rules of one group, resource, name and verb each.
    fn broken_down(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for (group, resource) in self.api_groups.iter().flat_map(|g| self.resources.iter().map(move |r| (g, r))) {
                let base =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if self.resource_names.is_empty() {
                    parts.push(base);
                } else {
                    let named = |name| Rule { resource_names: one(name), ..base.clone() };
                    parts.extend(self.resource_names.iter().map(named));
                }
            }
            let path = |url| Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() };
            parts.extend(self.non_resource_urls.iter().map(path));
        }
        parts
    }

    /// As upstream's messages write it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    pub(super) fn compact(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// Go's `%q` of a list of strings.
pub(super) fn quoted(list: &[String]) -> String {
    let each: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", each.join(" "))
}

/// `*`, `*/sub`, `resource` or `resource/sub`.
fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => subresource.is_empty() && pattern == resource,
        Some((own, own_sub)) => !subresource.is_empty() && own_sub == subresource && (own == "*" || own == resource),
    }
}

/// Exactly, or by a prefix before a final star.
fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

/// What of `wanted` is not covered by `held`; none where all is.
///
/// # Errors
/// The rules missing, compacted: verbs on one thing stand together.
pub fn covers(held: &[Rule], wanted: &[Rule]) -> Result<(), Vec<Rule>> {
    let parts = wanted.iter().flat_map(Rule::broken_down);
    let missing: BTreeSet<Rule> = parts.filter(|part| !held.iter().any(|own| own.covers_one(part))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut together: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for mut rule in missing {
        let verbs = std::mem::take(&mut rule.verbs);
        together.entry(rule).or_default().extend(verbs);
    }
    Err(together.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule }).collect())
}

/// A role's rules prepared for quick answers: by group and resource, each with the verbs it allows.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub rules: Vec<Rule>,
    /// Rules that name this very group and resource, by [`target`].
    exact: HashMap<u64, Vec<u32>>,
    /// Rules with a star or a path: looked through one by one.
    wide: Vec<u32>,
}

impl Compiled {
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut compiled = Compiled { rules, ..Compiled::default() };
        for (index, rule) in (0u32..).zip(&compiled.rules) {
            let starred = |text: &String| text == "*" || text.starts_with("*/");
            if rule.api_groups.iter().any(starred)
                || rule.resources.iter().any(starred)
                || !rule.non_resource_urls.is_empty()
            {
                compiled.wide.push(index);
                continue;
            }
            for (group, resource) in rule.api_groups.iter().flat_map(|g| rule.resources.iter().map(move |r| (g, r))) {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                compiled.exact.entry(target(group, resource, subresource)).or_default().push(index);
            }
        }
        compiled
    }

    /// `target` is [`target`] of what is asked, computed once for all roles. Equal targets only
    /// narrow the search: the rule itself decides.
    pub fn allows(&self, asked: &Attributes<'_>, target: u64) -> bool {
        let allows = |index: &u32| self.rules[*index as usize].allows(asked);
        self.wide.iter().any(allows) || self.exact.get(&target).is_some_and(|rules| rules.iter().any(allows))
    }
}

/// A number for a group and resource.
pub(super) fn target(group: &str, resource: &str, subresource: &str) -> u64 {
    let mut hasher = base::collections::Fx::default();
    (group, resource, subresource).hash(&mut hasher);
    hasher.finish()
}
