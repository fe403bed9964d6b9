//! A compiled expression.

use crate::check::{Checked, check};
use crate::cost::{Cost, estimate};
use crate::environment::Environment;
use crate::evaluate::{Bindings, Meter, Run, compile_pattern};
use crate::fault::{CompileError, Fault};
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::syntax::{Issue, parse};
use crate::types::Type;
use crate::value::Value;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A checked expression, to be run as often as needed, by many threads.
#[derive(Debug)]
pub struct Program {
    source: String,
    expr: Expr,
    checked: Checked,
    patterns: Arc<BTreeMap<String, Regex>>,
    cost: Cost,
}

/// What a run came to, and what it cost.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub result: Result<Value<'a>, Fault>,
    pub cost: u64,
}

/// Compiles an expression that must come to one of `wanted`; none: to anything.
pub fn compile(source: &str, environment: &Environment, wanted: &[Type]) -> Result<Program, CompileError> {
    let (mut expr, nodes) = parse(source).map_err(|issue| CompileError::new(source, &[issue]))?;
    let checked = check(&mut expr, nodes, environment).map_err(|issues| CompileError::new(source, &issues))?;
    let mut literals = Literals::default();
    literals.visit(&expr);
    if !literals.issues.is_empty() {
        return Err(CompileError::new(source, &literals.issues));
    }
    let cost = estimate(&expr, &checked);
    let program = Program { source: source.to_owned(), expr, checked, patterns: Arc::new(literals.patterns), cost };
    let kind = program.kind();
    if !wanted.is_empty() && !kind.is_dyn() && !wanted.contains(kind) {
        let shown: Vec<String> = wanted.iter().map(Type::to_string).collect();
        return Err(CompileError::Result(match shown.as_slice() {
            [one] => one.clone(),
            several => format!("one of [{}]", several.join(" ")),
        }));
    }
    Ok(program)
}

impl Program {
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of what it comes to.
    pub fn kind(&self) -> &Type {
        self.checked.types.get(self.expr.id as usize).unwrap_or(&Type::Null)
    }

    /// What a run costs at least and at most, by the bounds of the declared types.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether the expression uses a variable.
    pub fn uses(&self, name: &str) -> bool {
        let mut found = false;
        walk(&self.expr, &mut |expr| {
            let Kind::Ident(ident) = &expr.kind else { return };
            found |= ident == name || ident.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        });
        found
    }

    /// Runs it; once it has cost more than `limit` it ends with [`Fault::Budget`].
    pub fn evaluate<'a>(&'a self, bindings: &dyn Bindings<'a>, limit: u64) -> Outcome<'a> {
        let mut run = Run {
            meter: Meter::new(limit, self.patterns.clone()),
            bindings,
            functions: &self.checked.functions,
            locals: Vec::new(),
        };
        let result = run.value(&self.expr);
        Outcome { result, cost: run.meter.spent }
    }
}

fn walk(expr: &Expr, look: &mut dyn FnMut(&Expr)) {
    look(expr);
    for child in expr.kind.children() {
        walk(child, look);
    }
}

/// Literals that must be well formed wherever they stand: patterns, durations, timestamps.
#[derive(Default)]
struct Literals {
    patterns: BTreeMap<String, Regex>,
    issues: Vec<Issue>,
}

impl Literals {
    fn visit(&mut self, expr: &Expr) {
        walk(expr, &mut |expr| {
            let Kind::Call(call) = &expr.kind else { return };
            let Some(arg) = call.args.first() else { return };
            let Kind::Literal(Literal::String(text)) = &arg.kind else { return };
            let wrong = match &*call.function {
                "matches" | "find" | "findAll" => match compile_pattern(text) {
                    Ok(pattern) => {
                        self.patterns.insert(text.to_string(), pattern);
                        None
                    }
                    Err(_) => Some("matches"),
                },
                "duration" => meta::time::parse_duration(text).is_err().then_some("duration"),
                "timestamp" => crate::library::time::instant(text).is_none().then_some("timestamp"),
                _ => None,
            };
            if let Some(what) = wrong {
                self.issues.push(Issue::new(arg.at as usize, format!("invalid {what} argument")));
            }
        });
    }
}
