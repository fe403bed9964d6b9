//! Match conditions: all must hold for a webhook or policy to have a say.

use super::{Expression, Scene, Trouble, Variable, with_variables};
use expressions::Type;
use expressions::admission::Sight;
use serde_json::Value;

/// What the match conditions of one webhook or policy may cost together.
const BUDGET: u64 = 2_500_000;

#[derive(Debug)]
pub(crate) struct Conditions(Vec<Expression>);

pub(crate) enum Verdict {
    Match,
    /// One of them does not hold.
    Skip,
    /// One could not be told, and all others hold.
    Broken(String),
}

impl Conditions {
    /// The `matchConditions` of a webhook or a policy's spec.
    pub fn read(owner: &Value, sight: Sight, variables: &[Variable]) -> Self {
        let list = owner["matchConditions"].as_array().map_or(&[][..], Vec::as_slice);
        if list.is_empty() {
            return Conditions(Vec::new());
        }
        let environment = with_variables(sight, variables);
        let read = |condition: &Value| {
            Expression::new(condition["expression"].as_str().unwrap_or_default(), &environment, &[Type::Bool])
        };
        Conditions(list.iter().map(read).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn judge<'a>(&'a self, scene: &Scene<'a>) -> Verdict {
        let mut budget = BUDGET;
        let mut broken: Vec<String> = Vec::new();
        for expression in &self.0 {
            match expression.run(scene, &mut budget) {
                Ok(value) if value.as_bool() == Some(false) => return Verdict::Skip,
                Ok(_) => {}
                Err(Trouble::Spent) => return Verdict::Broken(Trouble::Spent.message()),
                Err(trouble) => broken.push(trouble.message()),
            }
        }
        match broken.as_slice() {
            [] => Verdict::Match,
            [one] => Verdict::Broken(one.clone()),
            several => Verdict::Broken(format!("[{}]", several.join(", "))),
        }
    }
}
