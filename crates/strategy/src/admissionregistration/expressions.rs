//! Expressions of webhooks and policies: whether they are CEL of the right type.

use crate::check;
use crate::tree::{items, text};
use ::expressions::admission::{Sight, environment};
use ::expressions::{Environment, Type, compile};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Upstream's number.
const MAX_CONDITIONS: usize = 64;

/// An expression that must be there; what it comes to, where it can be told.
pub fn expression(
    source: &str,
    missing: &str,
    (environment, wanted): (&Environment, &[Type]),
    path: &Path,
    errors: &mut ErrorList,
) -> Option<Type> {
    if source.trim().is_empty() {
        errors.push(FieldError::required(path, missing));
        return None;
    }
    match compile(source, environment, wanted) {
        Ok(program) => Some(program.kind().clone()),
        Err(error) => {
            errors.push(FieldError::invalid(path, source, &error.to_string()));
            None
        }
    }
}

/// The conditions of a webhook.
pub fn conditions(owner: &Value, sight: Sight, path: &Path, errors: &mut ErrorList) {
    conditions_in(owner, &environment(sight), path, errors);
}

/// The conditions of whoever has an environment of his own.
pub fn conditions_in(owner: &Value, environment: &Environment, path: &Path, errors: &mut ErrorList) {
    let conditions = items(owner, "matchConditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let here = path.index(at);
        let wanted = (environment, &[Type::Bool][..]);
        expression(text(condition, "expression"), "", wanted, &here.child("expression"), errors);
        let (name, here) = (text(condition, "name"), here.child("name"));
        if check::required(errors, &here, name) {
            check::all(errors, &here, name, meta::validation::qualified_name(name));
            if seen.contains(&name) {
                errors.push(FieldError::duplicate(&here, name));
            }
            seen.push(name);
        }
    }
}
