//! NamespaceLifecycle: nothing new in a namespace that is going or not there, and three namespaces
//! stay for ever.

use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::{Cause, GroupResource, Status};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(NamespaceLifecycle)
}

struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if request.resource.group.is_empty() && request.resource.resource == "namespaces" {
            if request.operation == Operation::Delete && IMMORTAL.contains(&request.name) {
                return Err(request.forbid("this namespace may not be deleted"));
            }
            return Ok(());
        }
        let review = request.is("authorization.k8s.io", "localsubjectaccessreviews");
        let namespace = request.namespace;
        if namespace.is_empty() || request.operation == Operation::Delete || review {
            return Ok(());
        }
        let Some(found) = lookup.get("", "namespaces", "", namespace) else {
            let what = GroupResource { group: "".into(), resource: "namespaces".into() };
            return Err(Status::not_found(&what, namespace));
        };
        if request.operation != Operation::Create || found["status"]["phase"] != "Terminating" {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = request.forbid(&why);
        if let Some(details) = status.details.as_mut() {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        Err(status)
    }
}
