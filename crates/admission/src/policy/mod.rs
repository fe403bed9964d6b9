//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules in CEL, and where they bind.
//!
//! Policies and bindings stand here compiled, put in by the API server whenever one changes, so that
//! a write that none is about costs one look at a flag. A policy without a binding says nothing;
//! policies never judge their own kinds, so that a bad one can be undone.

mod definition;
mod mutating;
mod params;
#[cfg(test)]
mod tests;
mod validating;

use crate::Attributes;
use definition::{Binding, Policy};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub const MUTATING: &str = "MutatingAdmissionPolicy";
pub const VALIDATING: &str = "ValidatingAdmissionPolicy";

/// A policy and what binds it.
type Bound = (Arc<Policy>, Vec<Arc<Binding>>);

#[derive(Default)]
struct Known {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
    /// In the order of the policies' names.
    bound: Arc<Vec<Bound>>,
}

/// The policies of one sort.
#[derive(Default)]
struct Table {
    any: AtomicBool,
    known: RwLock<Known>,
}

impl Table {
    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let bound = known.policies.iter().filter_map(|(name, policy)| {
            let bindings: Vec<_> = known.bindings.values().filter(|one| one.policy == *name).cloned().collect();
            (!bindings.is_empty()).then(|| (policy.clone(), bindings))
        });
        let bound: Vec<Bound> = bound.collect();
        self.any.store(!bound.is_empty(), Ordering::Release);
        known.bound = Arc::new(bound);
    }

    fn set_policy(&self, name: &str, policy: Option<Policy>) {
        self.change(|known| match policy {
            Some(policy) => drop(known.policies.insert(name.to_owned(), Arc::new(policy))),
            None => drop(known.policies.remove(name)),
        });
    }

    fn set_binding(&self, name: &str, binding: Option<Binding>) {
        self.change(|known| match binding {
            Some(binding) => drop(known.bindings.insert(name.to_owned(), Arc::new(binding))),
            None => drop(known.bindings.remove(name)),
        });
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn bound(&self) -> Arc<Vec<Bound>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).bound.clone()
    }
}

/// All policies of a cluster.
#[derive(Clone, Default)]
pub struct Policies(Arc<Tables>);

#[derive(Default)]
struct Tables {
    mutating: Table,
    validating: Table,
}

impl Policies {
    /// A policy or binding as it now is; None: it is gone.
    pub fn observe(&self, resource: &str, name: &str, value: Option<&Value>) {
        let Tables { mutating, validating } = &*self.0;
        match resource {
            "validatingadmissionpolicies" => validating.set_policy(name, value.map(Policy::read)),
            "validatingadmissionpolicybindings" => validating.set_binding(name, value.map(Binding::read)),
            "mutatingadmissionpolicies" => mutating.set_policy(name, value.map(Policy::read)),
            "mutatingadmissionpolicybindings" => mutating.set_binding(name, value.map(Binding::read)),
            _ => {}
        }
    }

    pub fn any_mutating(&self) -> bool {
        self.0.mutating.any()
    }

    pub fn any_validating(&self) -> bool {
        self.0.validating.any()
    }
}

/// What no policy is asked about: policies, and questions about who may what.
fn is_exempt(request: &Attributes<'_>) -> bool {
    let resource: &str = &request.resource.resource;
    match &*request.resource.group {
        crate::webhook::GROUP => {
            resource.starts_with("validatingadmissionpolic") || resource.starts_with("mutatingadmissionpolic")
        }
        "authentication.k8s.io" => matches!(resource, "tokenreviews" | "selfsubjectreviews"),
        "authorization.k8s.io" => resource.ends_with("reviews"),
        _ => false,
    }
}
