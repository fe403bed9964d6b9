//! PodDisruptionBudget.

use crate::check;
use crate::declared::Declared;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const DISRUPTION_BUDGET: Declared =
    Declared::new("policy", "PodDisruptionBudget").with_generation().updated_with_revision().validates(validate);

fn validate(budget: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&budget["spec"], Path::new("spec"));
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(&path, spec.clone(), why));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        check::amount_or_percent(errors, &path.child(field), &spec[field]);
        check::at_most_all(errors, &path.child(field), &spec[field]);
    }
    check::label_selector(errors, &path.child("selector"), &spec["selector"]);
}
