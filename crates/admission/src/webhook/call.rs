//! One call of one webhook.

use super::configuration::Hook;
use super::review::{self, Verdict};
use super::{Failure, Inner, Shape, service};
use crate::matching::Seen;
use crate::{Attributes, Lookup};
use meta::Status;

impl Inner {
    pub(super) async fn ask(
        &self,
        hook: &Hook,
        seen: &Seen,
        request: &Attributes<'_>,
        lookup: &dyn Lookup,
        shape: &dyn Shape,
        mutating: bool,
    ) -> Result<Verdict, Failure> {
        if request.dry_run && !matches!(hook.side_effects.as_str(), "None" | "NoneOnDryRun") {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Status::bad_request(why).into());
        }
        let Some(version) = hook.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(Failure::Call(why.to_owned()));
        };
        let uid = self.env.rng.uuid();
        let body = review::request(version, &uid, request, seen, shape)
            .map_err(|status| Failure::Call(format!("could not create admission objects: {}", status.message)))?;
        let failed = |why: String| Failure::Call(format!("failed to call webhook: {why}"));
        let to = service::destination(&hook.client, hook.limit, lookup, &self.env.rng).map_err(failed)?;
        let body = serde_json::to_vec(&body).map_err(|error| failed(error.to_string()))?;
        let answer = self.caller.post(&to, body.into(), hook.limit).await.map_err(|error| failed(error.to_string()))?;
        review::answer(&hook.name, version, &uid, mutating, &answer)
    }
}
