//! Admission webhooks: other people's servers that may change an object or refuse it.
//!
//! The configurations stand here ready to match, put in by the API server whenever one changes, so
//! that a request that concerns none costs one look at a flag. Calls go out over pooled, bounded
//! connections and each has its time limit; a configuration never judges its own kind.

mod call;
mod configuration;
mod matching;
mod mutate;
pub(crate) mod review;
mod service;
#[cfg(test)]
mod tests;
mod validate;

pub use mutate::Reinvocation;

use crate::{Attributes, Notes};
use base::Env;
use client::webhook::Caller;
use configuration::Hook;
use meta::{GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) const MUTATING: &str = "MutatingAdmissionWebhook";
pub(crate) const VALIDATING: &str = "ValidatingAdmissionWebhook";
pub const GROUP: &str = "admissionregistration.k8s.io";

/// What webhooks need to know of the request's kind, told by the API server.
pub trait Shape: Send + Sync {
    /// The kind and resource that the client named, where admission sees its object as another.
    fn requested(&self) -> Option<(GroupVersionResource, GroupVersionKind)>;

    /// As what else the same objects are served.
    fn equivalents(&self) -> Vec<(GroupVersionResource, GroupVersionKind)>;

    /// The object as one of the equivalent kinds.
    ///
    /// # Errors
    /// It cannot be told as that.
    fn convert(&self, object: &Value, kind: &GroupVersionKind) -> Result<Value, Status>;

    /// An object of `kind` or the request's own, merged with what is applied to it.
    ///
    /// # Errors
    /// What is applied does not fit the kind's fields.
    fn merge(&self, object: &Value, applied: Value, kind: &GroupVersionKind) -> Result<Value, String>;

    /// A patched object, of `kind` or the request's own, as the request's: decoded again, defaulted.
    ///
    /// # Errors
    /// It is no such object any more.
    fn reread(&self, object: Value, kind: &GroupVersionKind) -> Result<Value, Status>;
}

type Configurations = BTreeMap<String, Vec<Arc<Hook>>>;

/// One of the two lists: in the order of their configurations' names.
#[derive(Default)]
struct Table {
    any: AtomicBool,
    configurations: RwLock<Configurations>,
    /// All of them, in order.
    hooks: RwLock<Arc<Vec<Arc<Hook>>>>,
}

impl Table {
    fn set(&self, name: &str, hooks: Option<Vec<Arc<Hook>>>) {
        let mut configurations = self.configurations.write().unwrap_or_else(PoisonError::into_inner);
        match hooks {
            Some(hooks) => drop(configurations.insert(name.to_owned(), hooks)),
            None => drop(configurations.remove(name)),
        }
        let all: Vec<Arc<Hook>> = configurations.values().flatten().cloned().collect();
        self.any.store(!all.is_empty(), Ordering::Release);
        *self.hooks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn hooks(&self) -> Arc<Vec<Arc<Hook>>> {
        self.hooks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All webhooks of a cluster.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    env: Env,
    caller: Caller,
    mutating: Table,
    validating: Table,
}

impl Webhooks {
    pub fn new(env: &Env) -> Self {
        let caller = Caller::new(env, "kube-apiserver-admission");
        Webhooks(Arc::new(Inner { env: env.clone(), caller, mutating: Table::default(), validating: Table::default() }))
    }

    /// A configuration as it now is; None: it is gone.
    pub fn observe(&self, resource: &str, name: &str, configuration: Option<&Value>) {
        let hooks = configuration.map(|value| configuration::read(resource, value));
        match resource {
            "mutatingwebhookconfigurations" => self.0.mutating.set(name, hooks),
            "validatingwebhookconfigurations" => self.0.validating.set(name, hooks),
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

/// Configurations never judge their own kind: nobody could undo a bad one.
fn is_exempt(request: &Attributes<'_>) -> bool {
    request.resource.group == GROUP
        && matches!(
            &*request.resource.resource,
            "mutatingwebhookconfigurations"
                | "validatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

/// Why a webhook's word could not be had, or what it was.
#[derive(Debug)]
enum Failure {
    /// It was not reached or spoke nonsense: the failure policy decides.
    Call(String),
    /// It refused, or the request is refused on its behalf.
    Refused(Box<Status>),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure::Refused(Box::new(status))
    }
}

impl Failure {
    /// What the client is told; None: the webhook's failure is ignored, and said so in the audit log.
    fn status(self, hook: &Hook, at: usize, phase: &str, notes: &mut Notes) -> Option<Status> {
        match self {
            Failure::Refused(status) => Some(*status),
            Failure::Call(why) if hook.ignores_failure => {
                tracing::warn!(webhook = hook.name, %why, "failed calling webhook, failing open");
                let round = if phase == "mutation" { "failed-open.mutation" } else { "failed-open.validating" };
                let key = format!("{round}.webhook.admission.k8s.io/round_0_index_{at}");
                notes.audit.insert(key, hook.name.clone());
                None
            }
            Failure::Call(why) => Some(Status::internal(format!("failed calling webhook {:?}: {why}", hook.name))),
        }
    }
}
