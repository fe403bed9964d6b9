//! The objects that a binding gives its policy: one run for each.

use super::definition::{Binding, Policy};
use crate::matching::matches_labels;
use crate::{Attributes, Lookup};
use serde_json::Value;
use std::sync::Arc;

/// None of them: the policy has nothing to say. Null where it needs none, or is given none.
///
/// # Errors
/// They cannot be told, in upstream's words.
pub(super) fn collect(
    policy: &Policy,
    binding: &Binding,
    request: &Attributes<'_>,
    lookup: &dyn Lookup,
) -> Result<Vec<Arc<Value>>, String> {
    let nothing = || vec![Arc::new(Value::Null)];
    let Some((api_version, kind)) = &policy.param_kind else { return Ok(nothing()) };
    let Some(given) = &binding.params else { return Ok(nothing()) };
    let Some((resource, in_namespaces)) = lookup.resource_of(api_version, kind) else {
        return Err(format!("paramKind kind `&ParamKind{{APIVersion:{api_version},Kind:{kind},}}` not known"));
    };
    let namespace = match (in_namespaces, given.namespace.as_str()) {
        (true, "") if request.namespace.is_empty() => {
            let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "") => request.namespace,
        (true, named) => named,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let found: Vec<Arc<Value>> = match &given.selector {
        Some(selector) => {
            let all = lookup.list_as(&resource, namespace);
            all.into_iter().filter(|object| matches_labels(selector, object)).collect()
        }
        None => lookup.get_as(&resource, namespace, &given.name).into_iter().collect(),
    };
    match found.is_empty() && !given.may_be_missing {
        true => Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned()),
        false => Ok(found),
    }
}
