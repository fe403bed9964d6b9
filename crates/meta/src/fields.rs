//! Field selectors: `metadata.name=a,spec.nodeName!=b` (apimachinery `fields`).
//!
//! Which fields a kind can be selected by is its strategy's to say; see [`FieldSelector::check`].

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub field: String,
    pub value: String,
    /// `!=`: must not have the value.
    pub negated: bool,
}

/// All terms must hold; without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    Unreadable { selector: String, part: String },
    #[error("invalid field selector: invalid escape sequence: {0}")]
    BadEscape(String),
    /// Upstream prints the character as its number.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
    #[error("field label not supported: {0}")]
    Unsupported(String),
}

impl FieldSelector {
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut parts: Vec<&str> = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, operator, value)) = split_term(part) else {
                return Err(FieldSelectorError::Unreadable { selector: text.to_owned(), part: part.to_owned() });
            };
            terms.push(Term { field: field.to_owned(), value: unescape(value)?, negated: operator == "!=" });
        }
        Ok(FieldSelector { terms })
    }

    /// `metadata.name=…`, as single-object watches use it.
    pub fn name(name: &str) -> Self {
        let term = Term { field: "metadata.name".to_owned(), value: name.to_owned(), negated: false };
        FieldSelector { terms: vec![term] }
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// Refuses a field that is not among those the kind can be selected by.
    pub fn check(&self, supported: &[&str]) -> Result<(), FieldSelectorError> {
        match self.terms.iter().find(|term| !supported.contains(&term.field.as_str())) {
            Some(term) => Err(FieldSelectorError::Unsupported(term.field.clone())),
            None => Ok(()),
        }
    }

    /// `lookup` gives a field's value; an absent field is empty.
    pub fn matches_with<'v>(&self, lookup: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.terms.iter().all(|term| (lookup(&term.field).unwrap_or_default() == term.value) != term.negated)
    }

    /// The value that `field` must have, where the selector leaves just one.
    pub fn exact_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.field == field && !term.negated).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let operator = if term.negated { "!=" } else { "=" };
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let operator = ["!=", "==", "="].into_iter().find(|operator| term[at..].starts_with(operator))?;
        Some((&term[..at], operator, &term[at + operator.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                Some(next) => return Err(FieldSelectorError::BadEscape(format!("\\{next}"))),
                None => return Err(FieldSelectorError::BadEscape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            _ => plain.push(c),
        }
    }
    Ok(plain)
}

/// Makes a value safe to stand in a selector.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_and_print() {
        let rows = [
            ("", ""),
            ("a=b", "a=b"),
            ("a==b", "a=b"),
            ("b!=c,a=1", "a=1,b!=c"),
            ("a=", "a="),
            ("a=x\\,y", "a=x\\,y"),
            ("a=x\\\\", "a=x\\\\"),
            (",a=b,", "a=b"),
        ];
        for (text, printed) in rows {
            assert_eq!(FieldSelector::parse(text).map(|s| s.to_string()).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn refusals() {
        let rows = [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ];
        for (text, message) in rows {
            assert_eq!(FieldSelector::parse(text).map_err(|e| e.to_string()), Err(message.to_owned()), "{text}");
        }
        let selector = FieldSelector::parse("spec.x=1").unwrap();
        let refused = selector.check(&["metadata.name"]).unwrap_err();
        assert_eq!(refused.to_string(), "field label not supported: spec.x");
    }

    #[test]
    fn matching_takes_absent_as_empty() {
        let lookup = |field: &str| (field == "metadata.name").then_some("web");
        let rows = [("metadata.name=web", true), ("metadata.name!=web", false), ("x=", true), ("x!=", false)];
        for (text, expected) in rows {
            assert_eq!(FieldSelector::parse(text).unwrap().matches_with(lookup), expected, "{text}");
        }
    }
}
