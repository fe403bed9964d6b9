//! The judging phase: all webhooks that a request concerns at once; one refusal is enough.

use super::{Failure, Shape, Webhooks, is_exempt, matching};
use crate::{Attributes, Lookup, Notes};
use futures_util::future::join_all;
use meta::Status;

impl Webhooks {
    /// # Errors
    /// The first refusal, in the order of the configurations.
    pub async fn validate(
        &self,
        request: &Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        if is_exempt(request) {
            return Ok(());
        }
        let hooks = self.0.validating.hooks();
        let mut calls = Vec::new();
        for (at, hook) in hooks.iter().enumerate() {
            match matching::concerns(hook, request, lookup, shape) {
                Ok(None) => {}
                Ok(Some(seen)) => {
                    calls.push(async move { (at, hook, self.0.ask(hook, &seen, request, lookup, shape, false).await) })
                }
                Err(failure) => match failure.status(hook, at, "validating", notes) {
                    Some(status) => return Err(status),
                    None => continue,
                },
            }
        }
        let mut refused = None;
        for (at, hook, outcome) in join_all(calls).await {
            let outcome = outcome.and_then(|verdict| {
                notes.warnings.extend(verdict.warnings);
                notes.audit.extend(verdict.audit);
                verdict.refusal.map_or(Ok(()), |status| Err(Failure::from(status)))
            });
            let Err(failure) = outcome else { continue };
            let status = failure.status(hook, at, "validating", notes);
            refused = refused.or(status);
        }
        refused.map_or(Ok(()), Err)
    }
}
