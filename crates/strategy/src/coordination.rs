//! Lease and LeaseCandidate.

use crate::declared::Declared;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub const LEASE: Declared =
    Declared::new("coordination.k8s.io", "Lease").created_by_update().updated_with_revision().validates(validate);

pub const LEASE_CANDIDATE: Declared =
    Declared::new("coordination.k8s.io", "LeaseCandidate").created_by_update().updated_with_revision();

fn validate(lease: &Value, _old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, path) = (&lease["spec"], Path::new("spec"));
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
        let why = "must be greater than 0";
        errors.push(FieldError::invalid(&path.child("leaseDurationSeconds"), seconds, why));
    }
    if let Some(count) = spec["leaseTransitions"].as_i64().filter(|count| *count < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("leaseTransitions"), count, why));
    }
}
