//! The changing of policies: one after another, each on what the others left; before the webhooks
//! of the same round.

use super::definition::{Binding, Mutation, Policy};
use super::{Policies, is_exempt, params};
use crate::cel::{Facts, Verdict};
use crate::matching::Seen;
use crate::webhook::{Reinvocation, Shape};
use crate::{Attributes, Lookup};
use expressions::PER_REQUEST_LIMIT;
use meta::{Cause, Reason, Status};
use serde_json::Value;

impl Policies {
    /// One round.
    ///
    /// # Errors
    /// A policy that must not fail did.
    pub fn mutate(
        &self,
        request: &mut Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        rounds: &mut Reinvocation,
    ) -> Result<(), Status> {
        if is_exempt(request) || request.object.is_null() {
            return Ok(());
        }
        rounds.look(&request.object);
        for (policy, bindings) in self.0.mutating.bound().iter() {
            for binding in bindings {
                let id = format!("mutatingadmissionpolicies/{}/{}", policy.name, binding.name);
                if !rounds.wants(&id) {
                    continue;
                }
                match change(policy, binding, request, lookup, shape) {
                    Ok(None) => continue,
                    Ok(Some(false)) => {}
                    Ok(Some(true)) => rounds.note_change(),
                    Err(why) if policy.ignores_failure => {
                        tracing::warn!(policy = policy.name, %why, "an admission policy failed, and is ignored");
                    }
                    Err(why) => return Err(refusal(policy, binding, request, &why)),
                }
                if policy.reinvoked {
                    rounds.note_call(&id);
                }
            }
        }
        Ok(())
    }
}

fn refusal(policy: &Policy, binding: &Binding, request: &Attributes<'_>, why: &str) -> Status {
    let message = format!("policy '{}' with binding '{}' denied request: {why}", policy.name, binding.name);
    let mut status = request.forbid(&message);
    Reason::Invalid.as_str().clone_into(&mut status.reason);
    if let Some(details) = &mut status.details {
        details.causes.push(Cause { message, ..Cause::default() });
    }
    status.with_code(Reason::Invalid.code())
}

/// Whether the object changed; None: the policy has nothing to do with it.
fn change(
    policy: &Policy,
    binding: &Binding,
    request: &mut Attributes<'_>,
    lookup: &dyn Lookup,
    shape: &dyn Shape,
) -> Result<Option<bool>, String> {
    let misconfigured = |what: &str, why: &str| format!("failed to configure {what}: {why}");
    let seen = policy.constraint.sees(request, lookup, shape);
    let Some(seen) = seen.map_err(|status| misconfigured("policy", &status.message))? else { return Ok(None) };
    if let Some(constraint) = &binding.constraint {
        let narrowed = constraint.sees(request, lookup, shape);
        if narrowed.map_err(|status| misconfigured("binding", &status.message))?.is_none() {
            return Ok(None);
        }
    }
    let params = params::collect(policy, binding, request, lookup).map_err(|why| misconfigured("binding", &why))?;
    let mut changed = None;
    for params in params {
        let Some(did) = run(policy, &params, &seen, request, lookup, shape)? else { continue };
        changed = Some(did || changed == Some(true));
    }
    Ok(changed)
}

fn run(
    policy: &Policy,
    params: &Value,
    seen: &Seen,
    request: &mut Attributes<'_>,
    lookup: &dyn Lookup,
    shape: &dyn Shape,
) -> Result<Option<bool>, String> {
    let told = |status: Status| status.message;
    {
        let facts = Facts::gather(request, seen, lookup, shape).map_err(told)?;
        match policy.conditions.judge(&facts.scene(params, &policy.variables)) {
            Verdict::Match => {}
            Verdict::Skip => return Ok(None),
            Verdict::Broken(why) => return Err(why),
        }
    }
    let mut budget = PER_REQUEST_LIMIT;
    let mut changed = false;
    for mutation in &policy.mutations {
        let patched = {
            let facts = Facts::gather(request, seen, lookup, shape).map_err(told)?;
            let before = match seen.kind == request.kind {
                true => request.object.clone(),
                false => shape.convert(&request.object, &seen.kind).map_err(told)?,
            };
            let scene = facts.scene(params, &policy.variables);
            patch(mutation, &scene, before, seen, shape, &mut budget)?
        };
        let patched = shape.reread(patched, &seen.kind).map_err(told)?;
        changed |= patched != *request.object;
        *request.object = patched;
    }
    Ok(Some(changed))
}

fn patch<'a>(
    mutation: &'a Mutation,
    scene: &crate::cel::Scene<'a>,
    before: Value,
    seen: &Seen,
    shape: &dyn Shape,
    budget: &mut u64,
) -> Result<Value, String> {
    match mutation {
        Mutation::Apply(expression) => {
            let value = expression.run(scene, budget).map_err(crate::cel::Trouble::message)?;
            let applied = value.to_object().map_err(|fault| format!("type mismatch: {fault}"))?;
            for field in ["apiVersion", "kind"] {
                if applied.get(field).is_some_and(|given| Some(given) != before.get(field)) {
                    return Err(format!("invalid ApplyConfiguration: may not mutate {field}"));
                }
            }
            shape.merge(&before, applied, &seen.kind).map_err(|why| format!("invalid ApplyConfiguration: {why}"))
        }
        Mutation::Patch(expression) => {
            let value = expression.run(scene, budget).map_err(crate::cel::Trouble::message)?;
            let patch = value.to_json().map_err(|fault| fault.to_string())?;
            let failed = |error: wire::patch::PatchError| format!("JSON Patch: {error}");
            wire::patch::json_patch(&before, patch.to_string().as_bytes()).map_err(failed)
        }
    }
}
