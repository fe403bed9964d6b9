//! The judging of policies: every one is asked, and the first refusal is told.

use super::definition::{Binding, Policy, Validation};
use super::{Policies, is_exempt, params};
use crate::cel::{Facts, Scene, Trouble, Verdict};
use crate::matching::Seen;
use crate::webhook::Shape;
use crate::{Attributes, Lookup, Notes};
use expressions::{PER_REQUEST_LIMIT, Value as Cel};
use meta::{Cause, Reason, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longer messages of expressions are none (upstream's number).
const MAX_MESSAGE: usize = 5 * 1024;
/// Longer values of annotations are cut (upstream's number).
const MAX_ANNOTATION: usize = 10 * 1024;
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// One refusal.
struct Refusal {
    message: String,
    reason: String,
}

/// What one run of a policy came to.
#[derive(Default)]
struct Findings {
    /// By the expression's place.
    refusals: Vec<(usize, Refusal)>,
    annotations: Vec<(String, String)>,
    /// Of annotations: they refuse, whatever the binding's actions are.
    errors: Vec<String>,
}

impl Findings {
    fn broken(policy: &Policy, why: String) -> Findings {
        let refusals = match policy.ignores_failure {
            true => Vec::new(),
            false => vec![(0, Refusal { message: why, reason: String::new() })],
        };
        Findings { refusals, ..Findings::default() }
    }
}

/// Everything that a request is told.
#[derive(Default)]
struct Sentence {
    denied: Option<(String, String)>,
    failures: Vec<Value>,
}

impl Sentence {
    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, refusal: Refusal) {
        let Refusal { message, reason } = refusal;
        let policy = &policy.name;
        let message = match binding {
            Some(binding) => {
                let binding = &binding.name;
                format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
            }
            None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
        };
        self.denied.get_or_insert((message, reason));
    }

    /// The policy or its binding cannot be used as it is.
    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if policy.ignores_failure {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        let message = format!("failed to configure {what}: {why}");
        self.deny(policy, binding, Refusal { message, reason: String::new() });
    }

    fn status(self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some((message, reason)) = self.denied else { return Ok(()) };
        let mut status = request.forbid(&message);
        let reason = match Reason::parse(&reason) {
            Reason::Unknown => Reason::Invalid,
            known => known,
        };
        reason.as_str().clone_into(&mut status.reason);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause { message, ..Cause::default() });
        }
        Err(status.with_code(reason.code()))
    }
}

impl Policies {
    /// # Errors
    /// The first refusal, in the order of the policies' names.
    pub fn validate(
        &self,
        request: &Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        if is_exempt(request) {
            return Ok(());
        }
        let mut sentence = Sentence::default();
        for (policy, bindings) in self.0.validating.bound().iter() {
            let seen = match policy.constraint.sees(request, lookup, shape) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(status) => {
                    sentence.misconfigured(policy, None, &status.message);
                    continue;
                }
            };
            let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for binding in bindings {
                let world = World { policy, binding, seen: &seen, request, lookup, shape };
                match world.judge() {
                    Ok(runs) => {
                        runs.into_iter().for_each(|run| world.act(run, &mut sentence, &mut annotations, notes));
                    }
                    Err(why) => sentence.misconfigured(policy, Some(binding), &why),
                }
            }
            for (key, values) in annotations {
                notes.audit.insert(format!("{}/{key}", policy.name), values.join(", "));
            }
        }
        if !sentence.failures.is_empty() {
            let told = Value::Array(std::mem::take(&mut sentence.failures));
            notes.audit.insert(FAILURES.to_owned(), told.to_string());
        }
        sentence.status(request)
    }
}

/// One policy under one binding, before one request.
struct World<'w> {
    policy: &'w Policy,
    binding: &'w Binding,
    seen: &'w Seen,
    request: &'w Attributes<'w>,
    lookup: &'w dyn Lookup,
    shape: &'w dyn Shape,
}

impl World<'_> {
    /// A run for each parameter.
    fn judge(&self) -> Result<Vec<Findings>, String> {
        if let Some(constraint) = &self.binding.constraint {
            let seen = constraint.sees(self.request, self.lookup, self.shape).map_err(|status| status.message)?;
            if seen.is_none() {
                return Ok(Vec::new());
            }
        }
        let params = params::collect(self.policy, self.binding, self.request, self.lookup)?;
        let facts = Facts::gather(self.request, self.seen, self.lookup, self.shape).map_err(|status| status.message)?;
        Ok(params.iter().map(|params| run(self.policy, &facts.scene(params, &self.policy.variables))).collect())
    }

    fn act(
        &self,
        found: Findings,
        sentence: &mut Sentence,
        annotations: &mut BTreeMap<String, Vec<String>>,
        notes: &mut Notes,
    ) {
        let (policy, binding) = (self.policy, self.binding);
        for (at, refusal) in found.refusals {
            let does = |action: &str| binding.actions.iter().any(|own| own == action);
            if does("Warn") {
                let (policy, binding, why) = (&policy.name, &binding.name, &refusal.message);
                let told = "Validation failed for ValidatingAdmissionPolicy";
                notes.warnings.push(format!("{told} '{policy}' with binding '{binding}': {why}"));
            }
            if does("Audit") {
                sentence.failures.push(json!({
                    "message": refusal.message, "policy": policy.name, "binding": binding.name,
                    "expressionIndex": at, "validationActions": binding.actions,
                }));
            }
            if does("Deny") {
                sentence.deny(policy, Some(binding), refusal);
            }
        }
        for message in found.errors {
            sentence.deny(policy, Some(binding), Refusal { message, reason: String::new() });
        }
        for (key, value) in found.annotations {
            let values = annotations.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
}

fn run<'a>(policy: &'a Policy, scene: &Scene<'a>) -> Findings {
    match policy.conditions.judge(scene) {
        Verdict::Match => {}
        Verdict::Skip => return Findings::default(),
        Verdict::Broken(why) => return Findings::broken(policy, why),
    }
    let mut budget = PER_REQUEST_LIMIT;
    let mut found = Findings::default();
    for (at, validation) in policy.validations.iter().enumerate() {
        let refusal = match validation.expression.run(scene, &mut budget) {
            Ok(Cel::Bool(true)) => continue,
            Ok(_) => told(validation, scene, &mut budget),
            // Nothing that comes after can be paid for.
            Err(Trouble::Spent) => return Findings::broken(policy, Trouble::Spent.message()),
            Err(trouble) => Err(trouble.message()),
        };
        match refusal {
            Ok(refusal) => found.refusals.push((at, refusal)),
            Err(_) if policy.ignores_failure => {}
            Err(message) => found.refusals.push((at, Refusal { message, reason: String::new() })),
        }
    }
    annotate(policy, scene, &mut budget, &mut found);
    found
}

/// The words of a refusal; Err: they could not be paid for.
fn told<'a>(validation: &'a Validation, scene: &Scene<'a>, budget: &mut u64) -> Result<Refusal, String> {
    let mut message = match &validation.message_expression {
        None => String::new(),
        Some(expression) => match expression.run(scene, budget) {
            Ok(value) => value.as_str().map(|text| text.trim().to_owned()).unwrap_or_default(),
            Err(Trouble::Spent) => return Err(format!("failed messageExpression: {}", Trouble::Spent.message())),
            Err(trouble) => {
                tracing::debug!(why = trouble.message(), "a message of an admission policy cannot be worked out");
                String::new()
            }
        },
    };
    if message.len() > MAX_MESSAGE || message.contains('\n') {
        message.clear();
    }
    if message.is_empty() {
        message.clone_from(&validation.message);
    }
    if message.is_empty() {
        message = format!("failed expression: {}", validation.expression.source.trim());
    }
    Ok(Refusal { message, reason: validation.reason.clone() })
}

fn annotate<'a>(policy: &'a Policy, scene: &Scene<'a>, budget: &mut u64, found: &mut Findings) {
    for (key, expression) in &policy.annotations {
        match expression.run(scene, budget) {
            Ok(value) => {
                let mut text = value.as_str().unwrap_or_default().trim().to_owned();
                let end = (0..=MAX_ANNOTATION.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
                text.truncate(end.unwrap_or_default());
                if !text.is_empty() {
                    found.annotations.push((key.clone(), text));
                }
            }
            Err(_) if policy.ignores_failure => {}
            Err(trouble) => found.errors.push(trouble.message()),
        }
    }
}
