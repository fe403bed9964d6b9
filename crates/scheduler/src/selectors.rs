//! Label selectors of scheduling terms, comparable and with an index, so that the terms that may
//! match a pod are found by its labels.

use meta::labels::{Expression, LabelSelector, Selector};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

/// A compiled selector that knows its text: equal texts select alike.
#[derive(Debug, Clone)]
pub struct Matcher {
    text: String,
    selector: Selector,
}

impl Matcher {
    pub fn new(selector: Selector) -> Self {
        let is_nothing = selector.requirements().is_empty() && !selector.is_everything();
        let text = if is_nothing { "<nothing>".to_owned() } else { selector.to_string() };
        Matcher { text, selector }
    }

    /// None selects nothing, as does a selector that cannot be read (stored before it was refused).
    /// `more` are values that labels must have beside it (`matchLabelKeys`), or must not have.
    pub fn read(selector: Option<&LabelSelector>, more: &[(&str, &str, bool)]) -> Self {
        let Some(selector) = selector else { return Matcher::new(Selector::nothing()) };
        let mut selector = selector.clone();
        for (key, value, wanted) in more {
            let operator = if *wanted { "In" } else { "NotIn" };
            let expression = Expression {
                key: (*key).to_owned(),
                operator: operator.to_owned(),
                values: Some(vec![(*value).to_owned()]),
            };
            let standing = selector.match_expressions.get_or_insert_default();
            if !standing.contains(&expression) {
                standing.push(expression);
            }
        }
        Matcher::new(Selector::from_label_selector(Some(&selector)).unwrap_or_else(|_| Selector::nothing()))
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.selector.matches(labels)
    }

    pub fn is_everything(&self) -> bool {
        self.selector.is_everything()
    }

    /// A label that whatever this selects has.
    pub fn exact(&self) -> Option<(&str, &str)> {
        self.selector.requirements().iter().find_map(|one| Some((one.key(), self.selector.exact_value(one.key())?)))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Matcher {}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

/// Numbers filed under selectors: finds those whose selector may match given labels.
#[derive(Debug, Default)]
pub struct Index {
    by_label: BTreeMap<String, BTreeMap<String, BTreeSet<usize>>>,
    rest: BTreeSet<usize>,
}

impl Index {
    pub fn insert(&mut self, matcher: &Matcher, number: usize) {
        match matcher.exact() {
            Some((key, value)) => {
                let values = self.by_label.entry(key.to_owned()).or_default();
                values.entry(value.to_owned()).or_default().insert(number);
            }
            None => drop(self.rest.insert(number)),
        }
    }

    pub fn remove(&mut self, matcher: &Matcher, number: usize) {
        let Some((key, value)) = matcher.exact() else {
            self.rest.remove(&number);
            return;
        };
        let Some(values) = self.by_label.get_mut(key) else { return };
        if let Some(numbers) = values.get_mut(value) {
            numbers.remove(&number);
            if numbers.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// A superset of what matches.
    pub fn candidates(&self, labels: &Labels) -> Vec<usize> {
        let mut found: Vec<usize> = self.rest.iter().copied().collect();
        for (key, values) in &self.by_label {
            if let Some(numbers) = labels.get(key).and_then(|value| values.get(value)) {
                found.extend(numbers);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_by_the_labels_they_want() {
        let read = |json: &str| Matcher::read(Some(&serde_json::from_str(json).unwrap()), &[]);
        let matchers = [
            read(r#"{"matchLabels": {"app": "a"}}"#),
            read(r#"{"matchLabels": {"app": "b"}}"#),
            read(r#"{"matchExpressions": [{"key": "app", "operator": "Exists"}]}"#),
        ];
        let mut index = Index::default();
        matchers.iter().enumerate().for_each(|(number, matcher)| index.insert(matcher, number));
        let labels: Labels = [("app".to_owned(), "a".to_owned())].into();
        assert_eq!(index.candidates(&labels), [2, 0]);
        index.remove(&matchers[0], 0);
        assert_eq!(index.candidates(&labels), [2]);
    }

    #[test]
    fn keys_to_match_narrow_a_selector() {
        let base: LabelSelector = serde_json::from_str(r#"{"matchLabels": {"app": "a"}}"#).unwrap();
        let matcher = Matcher::read(Some(&base), &[("rev", "2", true), ("track", "x", false)]);
        let labels = |text: &str| -> Labels { serde_json::from_str(text).unwrap() };
        assert!(matcher.matches(&labels(r#"{"app": "a", "rev": "2"}"#)));
        assert!(!matcher.matches(&labels(r#"{"app": "a", "rev": "1"}"#)));
        assert!(!matcher.matches(&labels(r#"{"app": "a", "rev": "2", "track": "x"}"#)));
        assert!(!Matcher::read(None, &[]).matches(&labels("{}")));
    }
}
