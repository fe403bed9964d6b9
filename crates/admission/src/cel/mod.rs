//! Expressions of webhooks and policies, compiled once and run over requests.

mod authorizer;
mod conditions;
mod scene;

pub(crate) use conditions::{Conditions, Verdict};
pub(crate) use scene::{Facts, Scene};

use expressions::admission::{Sight, environment};
use expressions::{Environment, Fault, PER_CALL_LIMIT, Program, Type, Value as Cel, compile};
use serde_json::Value;

/// An expression that was taken, or why it cannot be run.
#[derive(Debug)]
pub(crate) struct Expression {
    pub source: String,
    program: Result<Program, String>,
}

/// Why an expression came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    Failed(String),
    /// All that one request may spend is spent.
    Spent,
}

impl Trouble {
    pub fn message(self) -> String {
        match self {
            Trouble::Failed(why) => why,
            Trouble::Spent => {
                "validation failed due to running out of cost budget, no further validation rules will be run"
                    .to_owned()
            }
        }
    }
}

/// A named expression that others may use.
#[derive(Debug)]
pub(crate) struct Variable {
    /// `variables.name`
    pub name: String,
    pub expression: Expression,
}

impl Expression {
    pub fn new(source: &str, environment: &Environment, wanted: &[Type]) -> Self {
        let program = compile(source, environment, wanted).map_err(|error| error.to_string());
        Expression { source: source.to_owned(), program }
    }

    fn kind(&self) -> Type {
        self.program.as_ref().map_or(Type::DYN, |program| program.kind().clone())
    }

    /// Runs it, and takes what that costs off the budget.
    pub fn run<'a>(&'a self, scene: &Scene<'a>, budget: &mut u64) -> Result<Cel<'a>, Trouble> {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => return Err(Trouble::Failed(format!("compilation error: {why}"))),
        };
        let outcome = program.evaluate(scene, PER_CALL_LIMIT);
        let cost = outcome.cost.saturating_add(scene.take_spent());
        *budget = budget.checked_sub(cost).ok_or(Trouble::Spent)?;
        outcome.result.map_err(|fault| {
            let source = &self.source;
            Trouble::Failed(format!("expression '{source}' resulted in error: {fault}"))
        })
    }

    /// As part of another expression.
    fn part<'a>(&'a self, scene: &Scene<'a>) -> Result<Cel<'a>, Fault> {
        let program = self.program.as_ref().map_err(|why| Fault::new(why.as_str()))?;
        let outcome = program.evaluate(scene, PER_CALL_LIMIT);
        scene.note_spent(outcome.cost);
        outcome.result
    }
}

/// The variables of a policy, each of which may use those before it.
pub(crate) fn variables(list: &Value, sight: Sight, building: bool) -> Vec<Variable> {
    let mut environment = self::environment(sight);
    if building {
        environment = environment.building();
    }
    let mut variables = Vec::new();
    for variable in list.as_array().into_iter().flatten() {
        let text = |field: &str| variable[field].as_str().unwrap_or_default();
        let name = format!("variables.{}", text("name"));
        let expression = Expression::new(text("expression"), &environment, &[]);
        environment.declare(&name, expression.kind());
        variables.push(Variable { name, expression });
    }
    variables
}

/// The environment of what may use these variables.
pub(crate) fn with_variables(sight: Sight, variables: &[Variable]) -> Environment {
    let declare =
        |environment: Environment, variable: &Variable| environment.with(&variable.name, variable.expression.kind());
    variables.iter().fold(environment(sight), declare)
}
