//! One rule: compiled, and judged over a value, in upstream's words.

use super::field_path;
use expressions::{Environment, Fault, PER_CALL_LIMIT, Program, Scope, Type, Value as Cel, compile};
use meta::field::{FieldError, Path};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Rule {
    source: String,
    message: String,
    pub program: Result<Program, String>,
    /// None: it has none.
    pub message_program: Option<Result<Program, String>>,
    pub reason: Reason,
    /// Where errors are told of, below the rule's place; without its leading dot.
    pub field_path: Option<String>,
    pub uses_old: bool,
    /// `oldSelf` is an optional, and the rule runs where there is none, too.
    optional_old: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Invalid,
    Forbidden,
    Required,
    Duplicate,
}

pub(super) enum Problem {
    /// It could not be judged.
    Broken(String),
    Refused(String),
}

#[derive(Default)]
pub(super) struct Outcome {
    pub problem: Option<Problem>,
    pub cost: u64,
    /// No rule is run after this one.
    pub ends: bool,
}

impl Reason {
    fn of(rule: &Value) -> Self {
        match rule["reason"].as_str() {
            Some("FieldValueForbidden") => Reason::Forbidden,
            Some("FieldValueRequired") => Reason::Required,
            Some("FieldValueDuplicate") => Reason::Duplicate,
            _ => Reason::Invalid,
        }
    }

    pub fn error(self, path: &Path, kind: &str, why: &str) -> FieldError {
        match self {
            Reason::Invalid => FieldError::invalid(path, kind, why),
            Reason::Forbidden => FieldError::forbidden(path, why),
            Reason::Required => FieldError::required(path, why),
            Reason::Duplicate => FieldError::duplicate(path, kind),
        }
    }
}

fn text<'v>(rule: &'v Value, field: &str) -> &'v str {
    rule[field].as_str().unwrap_or_default()
}

fn program(source: &str, environment: &Environment, wanted: Type, otherwise: &str) -> Result<Program, String> {
    compile(source, environment, &[wanted]).map_err(|error| match error {
        expressions::CompileError::Result(_) => otherwise.to_owned(),
        error => error.to_string(),
    })
}

impl Rule {
    /// What cannot be compiled is kept as what is wrong with it.
    pub fn compile(rule: &Value, self_type: &Type) -> Rule {
        let optional_old = rule["optionalOldSelf"] == true;
        let old = if optional_old { Type::optional(self_type.clone()) } else { self_type.clone() };
        let environment = Environment::new().with("self", self_type.clone()).with("oldSelf", old);
        let program = program(text(rule, "rule"), &environment, Type::Bool, "cel expression must evaluate to a bool");
        let message_source = text(rule, "messageExpression");
        let message_program = (!message_source.is_empty()).then(|| {
            let wrong = "messageExpression must evaluate to a string";
            self::program(message_source, &environment, Type::STRING, wrong)
                .map_err(|why| if why == wrong { why } else { format!("messageExpression {why}") })
        });
        Rule {
            source: text(rule, "rule").trim().to_owned(),
            message: text(rule, "message").trim().to_owned(),
            uses_old: program.as_ref().is_ok_and(|program| program.uses("oldSelf")),
            program,
            message_program,
            reason: Reason::of(rule),
            field_path: field_path::normalized(text(rule, "fieldPath")),
            optional_old,
        }
    }

    /// The rule as errors name it.
    fn name(&self) -> &str {
        if self.message.is_empty() { &self.source } else { &self.message }
    }

    /// `old` is what stood in the value's place before, where that is known.
    pub(super) fn run(&self, value: &Value, old: Option<&Value>, kind: &Type, budget: u64) -> Outcome {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => {
                let problem = Some(Problem::Broken(format!("rule compile error: {why}")));
                return Outcome { problem, ..Outcome::default() };
            }
        };
        let mut scope = Scope::new().json("self", value, kind);
        if self.uses_old {
            let before = old.map(|old| Cel::from_json(old, kind));
            match (before, self.optional_old) {
                (before, true) => scope = scope.value("oldSelf", Cel::Optional(before.map(Arc::new))),
                (Some(before), false) => scope = scope.value("oldSelf", before),
                (None, false) => return Outcome::default(),
            }
        }
        let outcome = program.evaluate(&scope, PER_CALL_LIMIT);
        let cost = outcome.cost;
        if cost > budget {
            let why = "validation failed due to running out of cost budget, no further validation rules will be run";
            return Outcome { problem: Some(Problem::Broken(why.to_owned())), cost, ends: true };
        }
        match outcome.result {
            Ok(Cel::Bool(true)) => Outcome { problem: None, cost, ends: false },
            Ok(_) => self.refuse(&scope, cost, budget - cost),
            Err(fault) => self.broken(&fault, cost),
        }
    }

    fn broken(&self, fault: &Fault, cost: u64) -> Outcome {
        let name = self.name();
        let said = fault.to_string();
        let why = match fault {
            Fault::Budget => {
                format!(
                    "'{said}': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
                )
            }
            _ if said.starts_with("no such overload") => format!(
                "'{said}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
            ),
            _ => format!("{said} evaluating rule: {name}"),
        };
        Outcome { problem: Some(Problem::Broken(why)), cost, ends: *fault == Fault::Budget }
    }

    fn refuse<'a>(&'a self, scope: &Scope<'a>, spent: u64, budget: u64) -> Outcome {
        let plain = match self.message.is_empty() {
            true => format!("failed rule: {}", self.source),
            false => self.message.clone(),
        };
        let Some(Ok(program)) = &self.message_program else {
            return Outcome { problem: Some(Problem::Refused(plain)), cost: spent, ends: false };
        };
        let outcome = program.evaluate(scope, PER_CALL_LIMIT);
        let cost = spent + outcome.cost;
        if outcome.cost > budget {
            let why = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                       rules will be run";
            return Outcome { problem: Some(Problem::Broken(why.to_owned())), cost, ends: true };
        }
        if matches!(outcome.result, Err(Fault::Budget)) {
            let source = program.source();
            let why = format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {source:?}"
            );
            return Outcome { problem: Some(Problem::Broken(why)), cost, ends: true };
        }
        let told = outcome.result.ok().and_then(|value| value.as_str().map(|text| text.trim().to_owned()));
        // A message that is nothing or several lines is none.
        let told = told.filter(|told| !told.is_empty() && !told.contains(['\n', '\r']));
        Outcome { problem: Some(Problem::Refused(told.unwrap_or(plain))), cost, ends: false }
    }
}
