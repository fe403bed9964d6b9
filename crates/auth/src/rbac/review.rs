//! What a user may do in a namespace, for SelfSubjectRulesReview.

use super::index::Index;
use super::rules::Rule;
use crate::names;
use meta::User;
use serde_json::{Value, json};

/// The status of a review.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    pub resource_rules: Vec<Rule>,
    pub non_resource_rules: Vec<Rule>,
    pub incomplete: bool,
    pub evaluation_error: String,
}

/// Everything RBAC allows `user` in `namespace`.
pub fn review(index: &Index, user: &User, namespace: &str) -> Review {
    let (mut rules, unresolved) = index.rules_for(user, namespace);
    let star = || vec!["*".to_owned()];
    if user.in_group(names::MASTERS) {
        rules.push(Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() });
        rules.push(Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() });
    }
    let mut review = Review::default();
    let mut errors = unresolved;
    if user.in_group(names::NODES) && user.name.starts_with(names::NODE_PREFIX) {
        errors.push("node authorizer does not support user rule resolution".to_owned());
    }
    review.incomplete = !errors.is_empty();
    review.evaluation_error = match errors.as_slice() {
        [one] => one.clone(),
        [] => String::new(),
        several => format!("[{}]", several.join(", ")),
    };
    for rule in rules {
        if !rule.non_resource_urls.is_empty() {
            let paths = rule.non_resource_urls.clone();
            review.non_resource_rules.push(Rule {
                verbs: rule.verbs.clone(),
                non_resource_urls: paths,
                ..Rule::default()
            });
        }
        if !rule.resources.is_empty() {
            review.resource_rules.push(Rule { non_resource_urls: Vec::new(), ..rule });
        }
    }
    review
}

impl Review {
    /// As SelfSubjectRulesReview carries it.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "resourceRules": self.resource_rules,
            "nonResourceRules": self.non_resource_rules,
            "incomplete": self.incomplete,
        });
        if !self.evaluation_error.is_empty() {
            status["evaluationError"] = json!(self.evaluation_error);
        }
        status
    }
}
