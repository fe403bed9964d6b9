//! Label selectors: their two forms (text in queries, `matchLabels`/`matchExpressions` in objects),
//! matching and upstream's messages (apimachinery `labels`).

use crate::validation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, each once.
    values: Vec<String>,
}

/// All requirements must hold; without any, everything matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
    /// Upstream's `Nothing`: what an absent selector of an object means.
    nothing: bool,
}

/// The object form (`meta/v1` LabelSelector).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expression {
    pub key: String,
    pub operator: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}

/// Why a selector cannot be used, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Operator {
    /// As the text form spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::GreaterThan => "gt",
            Operator::LessThan => "lt",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
        }
    }
}

impl Requirement {
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, SelectorError> {
        let mut wrong = Vec::new();
        wrong.extend(bad_key(key, "key"));
        let listed = || serde_json::to_string(&values).unwrap_or_default();
        let expected = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        wrong.extend(expected.map(|text| format!("values: Invalid value: {}: {text}", listed())));
        let compares = matches!(operator, Operator::GreaterThan | Operator::LessThan);
        for (index, value) in values.iter().enumerate() {
            if compares && value.parse::<i64>().is_err() {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                wrong.push(format!("values[{index}]: Invalid value: {value:?}: {text}"));
            }
            let problems = validation::label_value(value);
            if !problems.is_empty() {
                wrong.push(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", problems.join("; ")));
            }
        }
        match wrong.len() {
            0 => {
                let mut values = values;
                values.sort();
                values.dedup();
                Ok(Requirement { key: key.to_owned(), operator, values })
            }
            1 => Err(SelectorError(wrong.remove(0))),
            _ => Err(SelectorError(format!("[{}]", wrong.join(", ")))),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// `value` is what the object has under this requirement's key.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|one| one == value);
        match (self.operator, value) {
            (Operator::In | Operator::Equals | Operator::DoubleEquals, value) => value.is_some_and(listed),
            (Operator::NotIn | Operator::NotEquals, value) => !value.is_some_and(listed),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::GreaterThan, value) => self.compare(value).is_some_and(|order| order.is_gt()),
            (Operator::LessThan, value) => self.compare(value).is_some_and(|order| order.is_lt()),
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<std::cmp::Ordering> {
        let bound: i64 = self.values.first()?.parse().ok()?;
        Some(value?.parse::<i64>().ok()?.cmp(&bound))
    }
}

fn bad_key(key: &str, path: &str) -> Option<String> {
    let problems = validation::qualified_name(key);
    (!problems.is_empty()).then(|| format!("{path}: Invalid value: {key:?}: {}", problems.join("; ")))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requirement { key, operator, values } = self;
        let values = values.join(",");
        match operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In | Operator::NotIn => write!(f, "{key} {} ({values})", operator.as_str()),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            _ => write!(f, "{key}{}{values}", operator.as_str()),
        }
    }
}

impl Selector {
    pub fn everything() -> Self {
        Selector::default()
    }

    pub fn nothing() -> Self {
        Selector { requirements: Vec::new(), nothing: true }
    }

    pub fn of(requirements: Vec<Requirement>) -> Self {
        let mut requirements = requirements;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { requirements, nothing: false }
    }

    /// Each label must stand as given: the selector of a Service or ReplicationController. The
    /// labels are taken as they are, as upstream does for objects already stored.
    pub fn from_set(labels: &BTreeMap<String, String>) -> Self {
        let equals = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.clone()],
        };
        Selector { requirements: labels.iter().map(equals).collect(), nothing: false }
    }

    /// Reads the text form: `a=b,c!=d,e in (f,g),h,!i,j>1`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text).selector().map(Selector::of)
    }

    /// Reads the object form; None or null matches nothing, an empty one everything.
    pub fn from_label_selector(selector: Option<&LabelSelector>) -> Result<Self, SelectorError> {
        let Some(selector) = selector else { return Ok(Selector::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.clone()])?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError(format!("{other:?} is not a valid label selector operator"))),
            };
            let values = expression.values.clone().unwrap_or_default();
            requirements.push(Requirement::new(&expression.key, operator, values)?);
        }
        Ok(Selector::of(requirements))
    }

    /// The object form as JSON; null matches nothing.
    pub fn from_json(selector: &serde_json::Value) -> Result<Self, SelectorError> {
        let selector = Option::<LabelSelector>::deserialize(selector).map_err(|e| SelectorError(e.to_string()))?;
        Selector::from_label_selector(selector.as_ref())
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Matches everything, so filtering can be left out.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// Matches labels kept in any form.
    pub fn matches_with<'l>(&self, lookup: impl Fn(&str) -> Option<&'l str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(lookup(&requirement.key)))
    }

    /// The value that `key` must have, where the selector leaves just one.
    pub fn exact_value(&self, key: &str) -> Option<&str> {
        self.requirements.iter().filter(|requirement| requirement.key == key).find_map(|requirement| {
            let exact = matches!(requirement.operator, Operator::Equals | Operator::DoubleEquals | Operator::In);
            (exact && requirement.values.len() == 1).then(|| requirement.values[0].as_str())
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// As `kubectl describe` prints the object form.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Selector::from_label_selector(Some(self)) {
            Ok(selector) if selector.is_everything() => f.write_str("<none>"),
            Ok(selector) => selector.fmt(f),
            Err(_) => f.write_str("<error>"),
        }
    }
}

/// One word of the text form, with where it came from left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    /// Special signs and the words `in` and `notin`.
    Sign(&'t str),
    Identifier(&'t str),
    End,
}

impl<'t> Token<'t> {
    fn text(self) -> &'t str {
        match self {
            Token::Sign(text) | Token::Identifier(text) => text,
            Token::End => "",
        }
    }

    /// `in` and `notin` are operators only where one may stand.
    fn as_value(self) -> Self {
        match self {
            Token::Sign(text @ ("in" | "notin")) => Token::Identifier(text),
            other => other,
        }
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Parser { tokens: tokens(text), at: 0 }
    }

    fn peek(&self) -> Token<'t> {
        self.tokens.get(self.at).map_or(Token::End, |token| token.as_value())
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn next_operator(&mut self) -> Token<'t> {
        let token = self.tokens.get(self.at).copied().unwrap_or(Token::End);
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(requirements),
                Token::Identifier(_) | Token::Sign("!") => {}
                other => return Err(found(other, "!, identifier, or 'end of string'")),
            }
            let requirement = self.requirement();
            requirements.push(requirement.map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?);
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Sign(",") => match self.peek() {
                    Token::Identifier(_) | Token::Sign("!") => {}
                    other => return Err(found(other, "identifier after ','")),
                },
                other => return Err(found(other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.next();
        let absent = token == Token::Sign("!");
        if absent {
            token = self.next();
        }
        let Token::Identifier(key) = token else { return Err(found(token, "identifier")) };
        // Upstream checks the key here without a path, which prints as <nil>.
        if let Some(problem) = bad_key(key, "<nil>") {
            return Err(SelectorError(problem));
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        match self.next_operator() {
            Token::Sign("in") => Ok(Operator::In),
            Token::Sign("notin") => Ok(Operator::NotIn),
            Token::Sign("=") => Ok(Operator::Equals),
            Token::Sign("==") => Ok(Operator::DoubleEquals),
            Token::Sign("!=") => Ok(Operator::NotEquals),
            Token::Sign(">") => Ok(Operator::GreaterThan),
            Token::Sign("<") => Ok(Operator::LessThan),
            other => Err(found(other, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Identifier(value) => Ok(value.to_owned()),
            other => Err(found(other, "identifier")),
        }
    }

    /// `(a, b)`; an empty place between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.next();
        if open != Token::Sign("(") {
            return Err(SelectorError(format!("found '{}' expected: '('", open.text())));
        }
        match self.peek() {
            Token::Identifier(_) | Token::Sign(",") => {}
            Token::Sign(")") => {
                self.next();
                return Ok(vec![String::new()]);
            }
            other => return Err(found(other, "',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Identifier(value) => {
                    values.push(value.to_owned());
                    match self.peek() {
                        Token::Sign(",") => {}
                        Token::Sign(")") => break,
                        other => return Err(found(other, "',' or ')'")),
                    }
                }
                Token::Sign(",") => {
                    if values.is_empty() || matches!(self.peek(), Token::Sign(")" | ",")) {
                        values.push(String::new());
                    }
                    if self.peek() == Token::Sign(")") {
                        break;
                    }
                }
                other => return Err(found(other, "',', or identifier")),
            }
        }
        self.next();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

fn found(token: Token<'_>, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}', expected: {expected}", token.text()))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SIGNS: &[char] = &['=', '!', '(', ')', ',', '>', '<'];
    const BLANKS: &[char] = &[' ', '\t', '\r', '\n'];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(BLANKS);
    while !rest.is_empty() {
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if rest.starts_with(SIGNS) {
            1
        } else {
            rest.find(|c| SIGNS.contains(&c) || BLANKS.contains(&c)).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(length);
        let sign = word.starts_with(SIGNS) || word == "in" || word == "notin";
        tokens.push(if sign { Token::Sign(word) } else { Token::Identifier(word) });
        rest = after.trim_start_matches(BLANKS);
    }
    tokens
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
