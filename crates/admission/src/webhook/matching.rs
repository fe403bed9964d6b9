//! Which webhooks a request concerns, and as what they want to see it.

use super::configuration::Hook;
use super::{Failure, Shape};
use crate::cel::{Facts, Verdict};
use crate::matching::Seen;
use crate::{Attributes, Lookup};
use serde_json::Value;

/// None: the webhook has nothing to do with the request.
pub(super) fn concerns(
    hook: &Hook,
    request: &Attributes<'_>,
    lookup: &dyn Lookup,
    shape: &dyn Shape,
) -> Result<Option<Seen>, Failure> {
    let Some(seen) = hook.constraint.sees(request, lookup, shape)? else { return Ok(None) };
    if hook.conditions.is_empty() {
        return Ok(Some(seen));
    }
    let facts = Facts::gather(request, &seen, lookup, shape)?;
    match hook.conditions.judge(&facts.scene(&Value::Null, &[])) {
        Verdict::Match => Ok(Some(seen)),
        Verdict::Skip => Ok(None),
        Verdict::Broken(_) if hook.ignores_failure => Ok(None),
        Verdict::Broken(why) => Err(request.forbid(&why).into()),
    }
}
