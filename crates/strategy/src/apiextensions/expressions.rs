//! The rules in a definition's schema: whether they are CEL of the right types, and what they may cost.

use crate::custom::cel::{Rule, field_path};
use crate::tree::{items, text};
use expressions::{PER_DEFINITION_LIMIT, PER_EXPRESSION_LIMIT, Type, most_values};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

const RULES: &str = "x-kubernetes-validations";
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// Deeper schemas are refused already.
const MAX_DEPTH: usize = 100;
/// So many of the dearest are named where all together are too dear.
const NAMED: usize = 4;

/// `errors` has what is wrong with the schema so far: rules are compiled against a sound one only.
pub fn check(openapi: &Value, path: &Path, errors: &mut ErrorList) {
    let mut walk = Walk { compiles: errors.is_empty(), costs: Vec::new(), errors: ErrorList::new() };
    walk.visit(openapi, path, Place { is_root: true, values: Some(1), mingled: None, depth: 0 });
    walk.check_total(path);
    errors.append(&mut walk.errors);
}

/// Where a schema stands.
struct Place<'p> {
    is_root: bool,
    /// How many values of it an object has at most; None: nothing bounds them.
    values: Option<u64>,
    /// The list above whose items cannot be told apart between two states.
    mingled: Option<&'p Path>,
    depth: usize,
}

struct Walk {
    compiles: bool,
    costs: Vec<(Path, u64)>,
    errors: ErrorList,
}

impl Walk {
    fn visit(&mut self, schema: &Value, path: &Path, place: Place<'_>) {
        if place.depth > MAX_DEPTH || !schema.is_object() {
            return;
        }
        let depth = place.depth + 1;
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let here = path.child("properties").key(name);
            self.visit(inner, &here, Place { is_root: false, depth, values: place.values, mingled: place.mingled });
        }
        let times = |bound: &Value| Some(place.values?.saturating_mul(bound.as_u64()?));
        let values = times(&schema["maxProperties"]);
        let inner = Place { is_root: false, depth, values, mingled: place.mingled };
        self.visit(&schema["additionalProperties"], &path.child("additionalProperties"), inner);
        let mingled = match text(schema, "x-kubernetes-list-type") {
            "map" => place.mingled,
            _ => place.mingled.or(Some(path)),
        };
        let inner = Place { is_root: false, depth, values: times(&schema["maxItems"]), mingled };
        self.visit(&schema["items"], &path.child("items"), inner);
        let rules = items(schema, RULES);
        let kind = (self.compiles && !rules.is_empty()).then(|| Type::from_schema(schema, place.is_root)).flatten();
        for (at, rule) in rules.iter().enumerate() {
            let here = path.child(RULES).index(at);
            check_texts(rule, schema, &here, &mut self.errors);
            if let Some(kind) = kind.as_ref().filter(|_| !text(rule, "rule").trim().is_empty()) {
                let values = place.values.unwrap_or_else(|| most_values(schema));
                self.compile(rule, kind, values, place.mingled, &here);
            }
        }
    }

    fn compile(&mut self, rule: &Value, kind: &Type, values: u64, mingled: Option<&Path>, path: &Path) {
        let compiled = Rule::compile(rule, kind);
        let here = path.child("rule");
        match &compiled.program {
            Ok(program) => {
                let cost = program.cost().max.saturating_mul(values);
                self.weigh(&here, "estimated rule cost", cost);
            }
            Err(why) => self.errors.push(FieldError::invalid(&here, shown(rule), why)),
        }
        match &compiled.message_program {
            Some(Ok(program)) => {
                let here = path.child("messageExpression");
                self.weigh(&here, "estimated messageExpression cost", program.cost().max);
            }
            Some(Err(why)) => {
                self.errors.push(FieldError::invalid(&path.child("messageExpression"), shown(rule), why));
            }
            None => {}
        }
        if let Some(list) = mingled.filter(|_| compiled.uses_old) {
            let why =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {}", list.as_str());
            self.errors.push(FieldError::invalid(&here, text(rule, "rule"), &why));
        }
        if let Some(given) =
            rule["optionalOldSelf"].as_bool().filter(|_| !compiled.uses_old && compiled.program.is_ok())
        {
            let why = "may not be set if oldSelf is not used in rule";
            self.errors.push(FieldError::invalid(&path.child("optionalOldSelf"), given, why));
        }
    }

    fn weigh(&mut self, path: &Path, what: &str, cost: u64) {
        if cost > PER_EXPRESSION_LIMIT {
            self.errors.push(FieldError::forbidden(path, &too_dear(what, cost, PER_EXPRESSION_LIMIT)));
        }
        self.costs.push((path.clone(), cost));
    }

    fn check_total(&mut self, path: &Path) {
        let total = self.costs.iter().fold(0u64, |sum, (_, cost)| sum.saturating_add(*cost));
        if total <= PER_DEFINITION_LIMIT {
            return;
        }
        self.costs.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in self.costs.iter().take(NAMED) {
            let why = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire \
                       OpenAPIv3 schema";
            self.errors.push(FieldError::forbidden(path, why));
        }
        let what = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema";
        self.errors.push(FieldError::forbidden(path, &too_dear(what, total, PER_DEFINITION_LIMIT)));
    }
}

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        over if over > 100.0 => "more than 100x".to_owned(),
        // One digit would say that it is as dear as it may be.
        near if near < 1.5 => format!("{near:.6}x"),
        other => format!("{other:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// A rule as errors show it.
fn shown(rule: &Value) -> Value {
    json!({
        "Rule": text(rule, "rule"), "Message": text(rule, "message"),
        "MessageExpression": text(rule, "messageExpression"), "Reason": rule["reason"],
        "FieldPath": text(rule, "fieldPath"), "OptionalOldSelf": rule["optionalOldSelf"],
    })
}

fn check_texts(rule: &Value, schema: &Value, path: &Path, errors: &mut ErrorList) {
    let source = text(rule, "rule").trim();
    if source.is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    }
    let (message, here) = (text(rule, "message"), path.child("message"));
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&here, message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&here, message, "message must not contain line breaks"));
    } else if source.contains(['\n', '\r']) && message.trim().is_empty() {
        let why = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&here, why));
    }
    let told = text(rule, "messageExpression");
    if !told.is_empty() && told.trim().is_empty() {
        let why = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), why));
    }
    crate::check::one_of(errors, &path.child("reason"), text(rule, "reason"), &REASONS);
    let (field, here) = (text(rule, "fieldPath"), path.child("fieldPath"));
    if field.is_empty() {
        return;
    }
    if field.trim().is_empty() {
        errors.push(FieldError::invalid(&here, field, "fieldPath must be non-empty if specified"));
    } else if field.contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&here, field, "fieldPath must not contain line breaks"));
    } else if let Err(why) = field_path::check(field, schema) {
        errors.push(FieldError::invalid(&here, field, &format!("fieldPath must be a valid path: {why}")));
    }
}
