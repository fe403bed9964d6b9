//! The rules of a schema (`x-kubernetes-validations`), compiled once for a version of a definition and
//! run over objects.
//!
//! The tree has only the places that rules stand at or below. A rule is about the value at its own
//! place; null is no value. Rules that look at `oldSelf` run where the old value is known: below
//! properties, maps and lists with keys. What an update left as it was is warned of, not refused.

pub(crate) mod field_path;
mod rule;
#[cfg(test)]
mod tests;

pub(crate) use rule::Rule;

use super::check::ListType;
use expressions::{PER_REQUEST_LIMIT, Type};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) struct Node {
    /// As the schema says it, which is what errors show in the value's place.
    kind: String,
    self_type: Type,
    rules: Vec<Rule>,
    properties: BTreeMap<String, Node>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    list: ListType,
}

/// Deeper schemas are refused when they are defined.
const MAX_DEPTH: usize = 200;

/// What a walk is after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Refusals,
    /// What is wrong, but was so before.
    Warnings,
}

/// One walk over an object.
struct Walk {
    aim: Aim,
    /// What may still be spent; None: all is, and nothing more is said.
    budget: Option<u64>,
    errors: ErrorList,
}

impl Node {
    /// None where a schema has no rules.
    pub fn of_root(schema: &Value) -> Option<Node> {
        Node::at_depth(schema, true, 0)
    }

    pub fn of_part(schema: &Value) -> Option<Node> {
        Node::at_depth(schema, false, 0)
    }

    fn at_depth(schema: &Value, is_resource: bool, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH || !schema.is_object() {
            return None;
        }
        let inner = |schema: &Value| Node::at_depth(schema, false, depth + 1);
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties: BTreeMap<String, Node> =
            properties.filter_map(|(name, schema)| Some((name.clone(), inner(schema)?))).collect();
        let additional = schema.get("additionalProperties").and_then(inner).map(Box::new);
        let items = schema.get("items").and_then(inner).map(Box::new);
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if rules.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
            return None;
        }
        let self_type = match rules.is_empty() {
            true => Type::DYN,
            false => Type::from_schema(schema, is_resource).unwrap_or(Type::DYN),
        };
        Some(Node {
            kind: schema.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
            rules: rules.iter().map(|rule| Rule::compile(rule, &self_type)).collect(),
            self_type,
            properties,
            additional,
            items,
            list: ListType::of(schema),
        })
    }

    /// Everything that rules have against a new state of an object.
    pub fn refusals(&self, value: &Value, old: Option<&Value>) -> ErrorList {
        self.walk(Aim::Refusals, value, old, &Path::root())
    }

    /// The same of a part that nothing stood in the place of before.
    pub fn refusals_at(&self, value: &Value, path: &Path) -> ErrorList {
        self.walk(Aim::Refusals, value, None, path)
    }

    /// What rules have against what an update left as it was.
    pub fn warnings(&self, value: &Value, old: &Value) -> Vec<String> {
        self.walk(Aim::Warnings, value, Some(old), &Path::root()).iter().map(ToString::to_string).collect()
    }

    fn walk(&self, aim: Aim, value: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
        let mut walk = Walk { aim, budget: Some(PER_REQUEST_LIMIT), errors: ErrorList::new() };
        self.visit(value, old, false, path, &mut walk);
        walk.errors
    }

    /// `kept`: a place above is as it was.
    fn visit(&self, value: &Value, old: Option<&Value>, kept: bool, path: &Path, walk: &mut Walk) {
        if value.is_null() || walk.budget.is_none() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        let kept = kept || old == Some(value);
        for rule in &self.rules {
            // What was so before is judged again by rules about the change alone.
            if (walk.aim == Aim::Refusals) == (rule.uses_old || !kept) {
                self.judge(rule, value, old, path, walk);
            }
            if walk.budget.is_none() {
                return;
            }
        }
        match value {
            Value::Array(items) => {
                let Some(node) = &self.items else { return };
                let before = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                for (at, item) in items.iter().enumerate() {
                    node.visit(item, self.list.counterpart(item, before), kept, &path.index(at), walk);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let old = old.and_then(|old| old.get(name));
                    match (self.properties.get(name), &self.additional) {
                        (Some(node), _) => node.visit(value, old, kept, &path.child(name), walk),
                        (None, Some(node)) => node.visit(value, old, kept, &path.key(name), walk),
                        (None, None) => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn judge(&self, rule: &Rule, value: &Value, old: Option<&Value>, path: &Path, walk: &mut Walk) {
        let Some(budget) = walk.budget else { return };
        let place = match path.as_str() {
            "" => Path::new("<nil>"),
            _ => path.clone(),
        };
        let outcome = rule.run(value, old, &self.self_type, budget);
        walk.budget = budget.checked_sub(outcome.cost).filter(|_| !outcome.ends);
        match outcome.problem {
            None => {}
            Some(rule::Problem::Broken(why)) => {
                walk.errors.push(FieldError::invalid(&place, self.kind.as_str(), &why));
            }
            Some(rule::Problem::Refused(why)) => {
                let place = match &rule.field_path {
                    Some(below) => path.child(below),
                    None => place,
                };
                walk.errors.push(rule.reason.error(&place, &self.kind, &why));
            }
        }
    }
}
