//! POST.

use super::decode::{Media, decode_object};
use super::modify::Part;
use super::{Caller, Draft, Judged, is_dry_run, metadata};
use crate::answer::Answer;
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use admission::Operation;
use client::Request;
use meta::{Status, StatusDetails};
use serde_json::Value;
use store::Expect;

/// How often another generated name is tried (upstream's number).
const NAME_TRIES: usize = 8;

impl Server {
    pub(crate) async fn create(
        &self,
        resource: &Resource,
        request: &Request,
        media: Media,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let object = decode_object(resource, &request.body, media, &request.options, caller)?;
        self.create_object(resource, request, object, caller).await
    }

    /// Creates a decoded and defaulted object; also the path of updates and applies that may
    /// create.
    pub(crate) async fn create_object(
        &self,
        resource: &Resource,
        request: &Request,
        object: Value,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let work = resource.work();
        crate::custom::check_not_ending(resource)?;
        let mut next = Some(object);
        for attempt in 1..=NAME_TRIES {
            let Some(mut object) = next.take() else { break };
            // Only a generated name is tried again.
            if attempt < NAME_TRIES && !metadata::text(&object, "generateName").is_empty() {
                next = Some(object.clone());
            }
            metadata::prepare_create(&mut object, work, namespace, self)?;
            let generated = metadata::text(&object, "generateName").len();
            let name = metadata::text(&object, "name").to_owned();
            let draft = self
                .check_create(resource, request, object, caller)
                .await
                .inspect_err(|_| self.settle(work, namespace, &name))?;
            if is_dry_run(&request.options)? {
                self.settle(work, namespace, &name);
                return Ok(Answer::Object { object: draft.into_unwritten(None), created: true });
            }
            match draft.put(self, work, Expect::Absent).await {
                Ok(object) => return Ok(Answer::Object { object, created: true }),
                Err(CommitError::Failed(status)) => return Err(status),
                Err(CommitError::Conflict) if generated == 0 || !name_was_generated(request, &name, generated) => {
                    return Err(Status::already_exists(&resource.group_resource(), &name));
                }
                Err(CommitError::Conflict) if attempt == NAME_TRIES => {
                    return Err(no_name_left(resource, &name));
                }
                Err(CommitError::Conflict) => caller.warnings.clear(),
            }
        }
        Err(no_name_left(resource, ""))
    }

    async fn check_create(
        &self,
        resource: &Resource,
        request: &Request,
        mut object: Value,
        caller: &mut Caller<'_>,
    ) -> Result<Draft, Status> {
        let now = self.env.clock.now();
        let work = resource.work();
        let strategy = &*work.strategy;
        let name = metadata::text(&object, "name").to_owned();
        let judged = Judged {
            operation: Operation::Create,
            resource: work,
            sent: None,
            subresource: "",
            namespace: admission_namespace(work, request.namespace.as_deref(), &name),
            name: request.name.as_deref().unwrap_or(&name),
            user: caller.user,
            dry_run: is_dry_run(&request.options)?,
            asked: Some(request),
        };
        self.admit(&judged, &mut object, None, caller).await?;
        let object = &mut object;
        // After admission, as upstream: what is computed follows from what webhooks have made of it.
        strategy.prepare_create(object, &caller.context(now, ""));
        self.track(resource, request, Part::Main, object, None, caller, now);
        let assigned = self.assign(work, object, None);
        let mut errors = metadata::validate(object, work);
        errors.extend(assigned);
        errors.extend(strategy.validate_create(object, &caller.context(now, "")));
        resource.check_version(object, None, &mut errors);
        if !errors.is_empty() {
            return Err(meta::field::invalid(&resource.kind.group, &resource.kind.kind, &name, &errors));
        }
        self.access.check_grant(work, caller.user, object, None)?;
        caller.warnings.extend(strategy.warnings(object, None));
        self.judge(&judged, &mut *object, None, caller).await?;
        let object = self.to_stored(work, object.take()).await?;
        Ok(Draft::new(work, object))
    }
}

/// A Namespace is in itself, as upstream's admission sees it.
pub(super) fn admission_namespace<'n>(resource: &Resource, namespace: Option<&'n str>, name: &'n str) -> &'n str {
    match namespace {
        Some(namespace) => namespace,
        None if resource.kind.group.is_empty() && resource.kind.resource == "namespaces" => name,
        None => "",
    }
}

fn name_was_generated(request: &Request, name: &str, prefix: usize) -> bool {
    request.name.is_none() && name.len() > prefix
}

fn no_name_left(resource: &Resource, name: &str) -> Status {
    let mut status = Status::already_exists(&resource.group_resource(), name);
    status.message.push_str(", the server was not able to generate a unique name for the object");
    let details = status.details.take().map(|details| *details).unwrap_or_default();
    status.with_details(StatusDetails { retry_after_seconds: 1, ..details })
}
