//! The changing phase: webhooks one after another, each on what the others left; those that ask for
//! it once more if somebody changed the object after them.

use super::configuration::Hook;
use super::matching;
use super::{Failure, Shape, Webhooks, is_exempt};
use crate::matching::Seen;
use crate::{Attributes, Lookup, Notes};
use meta::Status;
use serde_json::Value;
use std::collections::BTreeSet;

/// What one request's first round leaves for its second.
#[derive(Debug, Default)]
pub struct Reinvocation {
    /// Webhooks that asked to be called again if need be, and were called.
    called: BTreeSet<String>,
    /// Those of them after which the object changed.
    due: BTreeSet<String>,
    /// Somebody changed the object: the other plugins are to look at it again, too.
    changed: bool,
    is_second: bool,
    /// As the last webhook left it.
    left: Option<Value>,
}

impl Reinvocation {
    /// True where a second round is due.
    pub fn begin_second(&mut self) -> bool {
        self.is_second = self.changed && !self.is_second;
        self.is_second
    }

    /// Before a round of whoever shares this: what changed since the last webhook counts.
    pub(crate) fn look(&mut self, object: &Value) {
        if self.is_second && self.left.as_ref().is_some_and(|left| left != object) {
            self.due.append(&mut self.called.clone());
        }
    }

    pub(crate) fn note_call(&mut self, id: &str) {
        self.called.insert(id.to_owned());
    }

    /// Whether this one is called in this round.
    pub(crate) fn wants(&self, id: &str) -> bool {
        !self.is_second || self.due.contains(id)
    }

    pub(crate) fn note_change(&mut self) {
        self.changed = true;
        self.due.append(&mut self.called.clone());
    }
}

impl Webhooks {
    /// One round.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn mutate(
        &self,
        request: &mut Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        rounds: &mut Reinvocation,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        if is_exempt(request) {
            return Ok(());
        }
        rounds.look(&request.object);
        let hooks = self.0.mutating.hooks();
        for (at, hook) in hooks.iter().enumerate().filter(|(_, hook)| rounds.wants(&hook.id)).collect::<Vec<_>>() {
            let outcome = match matching::concerns(hook, request, lookup, shape) {
                Ok(None) => continue,
                Ok(Some(seen)) => self.change(hook, &seen, request, lookup, shape, notes).await,
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(changed) => {
                    let key =
                        format!("mutation.webhook.admission.k8s.io/round_{}_index_{at}", u8::from(rounds.is_second));
                    let (configuration, name) = (configuration_of(hook), &hook.name);
                    let note =
                        format!("{{\"configuration\":{configuration:?},\"webhook\":{name:?},\"mutated\":{changed}}}");
                    notes.audit.insert(key, note);
                    if changed {
                        rounds.note_change();
                    }
                }
                Err(failure) => {
                    if let Some(status) = failure.status(hook, at, "mutation", notes) {
                        return Err(status);
                    }
                }
            }
            if hook.reinvoked {
                rounds.note_call(&hook.id);
            }
        }
        rounds.left = Some(request.object.clone());
        Ok(())
    }

    /// True where the webhook changed the object.
    async fn change(
        &self,
        hook: &Hook,
        seen: &Seen,
        request: &mut Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        notes: &mut Notes,
    ) -> Result<bool, Failure> {
        let verdict = self.0.ask(hook, seen, request, lookup, shape, true).await?;
        notes.warnings.extend(verdict.warnings);
        notes.audit.extend(verdict.audit);
        if let Some(status) = verdict.refusal {
            return Err(status.into());
        }
        if verdict.patch.is_empty() {
            return Ok(false);
        }
        let broken = |why: String| Failure::from(Status::internal(why));
        let operations: Value = serde_json::from_slice(&verdict.patch).map_err(|error| broken(error.to_string()))?;
        if operations.as_array().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        if request.object.is_null() {
            let why = "attempted to modify the object, which is not supported for this operation";
            return Err(broken(format!("admission webhook {:?} {why}", hook.name)));
        }
        let is_other = seen.kind != request.kind;
        let before = if is_other { shape.convert(&request.object, &seen.kind)? } else { request.object.clone() };
        let patched = wire::patch::json_patch(&before, &verdict.patch).map_err(|error| broken(error.to_string()))?;
        let patched = shape.reread(patched, &seen.kind).map_err(|status| broken(status.message))?;
        let changed = patched != *request.object;
        *request.object = patched;
        Ok(changed)
    }
}

fn configuration_of(hook: &Hook) -> &str {
    hook.id.split('/').nth(1).unwrap_or_default()
}
