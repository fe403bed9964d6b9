//! DELETE and deletecollection: preconditions, grace periods, finalizers, propagation.

use super::create::admission_namespace;
use super::{Caller, Draft, Judged, is_dry_run, metadata};
use crate::answer::Answer;
use crate::filter::Filter;
use crate::object::{Object, timestamp};
use crate::read::collection_of;
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use admission::Operation;
use base::Timestamp;
use client::{DeleteOptions, Request};
use futures_util::future::join_all;
use meta::{Status, StatusDetails};
use serde_json::Value;
use std::sync::Arc;
use store::Expect;
use strategy::Propagation;

/// How many deletes of a collection are under way together.
const DELETES_AT_ONCE: usize = 64;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What one round of a delete comes to.
enum Step {
    /// Gone for good.
    Remove(Draft),
    /// Marked; someone else (kubelet, a finalizer's owner) takes it from there.
    Mark(Draft),
    /// Already marked, nothing to add.
    Wait,
}

impl Server {
    pub(crate) async fn delete(
        &self,
        resource: &Arc<Resource>,
        request: &Request,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let options = read_options(request)?;
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let name = request.name.as_deref().unwrap_or_default();
        self.delete_one(&self.stored_row(resource), request, namespace, name, &options, caller).await
    }

    pub(crate) async fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        request: &Request,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let options = read_options(request)?;
        let filter = Filter::read(resource, request.namespace.as_deref(), None, &request.options)?;
        let (objects, _) = collection_of(resource, "deletecollection")?.snapshot();
        let doomed: Vec<Arc<Object>> = objects.values().filter(|object| filter.matches(object)).cloned().collect();
        let row = self.stored_row(resource);
        for some in doomed.chunks(DELETES_AT_ONCE) {
            self.delete_some(&row, request, some, &options, caller).await?;
        }
        let revision = self.revision();
        let resource = resource.clone();
        Ok(Answer::List(crate::answer::Listing {
            resource,
            revision,
            items: doomed,
            continue_token: None,
            remaining: None,
        }))
    }

    /// Deletes a part of a collection at once, so that the disk is waited for together. All of it was
    /// tried when the first failure is told; what is gone meanwhile is none.
    async fn delete_some(
        &self,
        row: &Resource,
        request: &Request,
        doomed: &[Arc<Object>],
        options: &DeleteOptions,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let Caller { user, user_agent, record, .. } = *caller;
        let deletions = doomed.iter().map(|object| async move {
            let mut warnings = Vec::new();
            let mut caller = Caller { user, user_agent, warnings: &mut warnings, record };
            let (namespace, name) = (&object.index.namespace, &object.index.name);
            let outcome = self.delete_one(row, request, namespace, name, options, &mut caller).await;
            (outcome, warnings)
        });
        let mut failure = None;
        for (outcome, warnings) in join_all(deletions).await {
            caller.warnings.extend(warnings);
            failure = failure.or(outcome.err().filter(|status| !status.is(meta::Reason::NotFound)));
        }
        failure.map_or(Ok(()), Err)
    }

    /// The row that deletes work on: they need no version but the one that is stored.
    fn stored_row(&self, resource: &Arc<Resource>) -> Arc<Resource> {
        match &resource.kept_as {
            Some((hub, _)) => hub.clone(),
            None if resource.converts_elsewhere() => {
                self.resources.versions_of(resource).first().unwrap_or(resource).clone()
            }
            None => resource.clone(),
        }
    }

    async fn delete_one(
        &self,
        resource: &Resource,
        request: &Request,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let collection = collection_of(resource, "delete")?;
        let dry_run = is_dry_run(&request.options)? || options.dry_run.iter().any(|value| value == "All");
        let mut patience = self.patience();
        loop {
            let current = collection
                .get(&Object::key(namespace, name))
                .ok_or_else(|| Status::not_found(&resource.group_resource(), name))?;
            check_preconditions(resource, &current, options)?;
            let old = self.show(resource, &current).await?.value()?;
            // An eviction was admitted as such.
            if request.subresource.is_none() {
                self.admit_delete(resource, request, (namespace, name), &old, dry_run, caller).await?;
            }
            let outcome = match self.plan_delete(resource, &old, options, &current)? {
                Step::Wait => return Ok(Answer::Object { object: current, created: false }),
                Step::Mark(draft) if dry_run => {
                    return Ok(Answer::Object { object: draft.into_unwritten(Some(&current)), created: false });
                }
                Step::Remove(draft) if dry_run => {
                    return Ok(deleted(resource, &current, draft.into_unwritten(Some(&current))));
                }
                Step::Mark(draft) => draft
                    .put(self, resource, Expect::Revision(current.revision))
                    .await
                    .map(|object| Answer::Object { object, created: false }),
                Step::Remove(draft) => {
                    draft.delete(self, resource, &current).await.map(|last| deleted(resource, &current, last))
                }
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(CommitError::Failed(status)) => return Err(status),
                Err(CommitError::Conflict) => patience.again().await?,
            }
        }
    }

    async fn admit_delete(
        &self,
        resource: &Resource,
        request: &Request,
        (namespace, name): (&str, &str),
        old: &Value,
        dry_run: bool,
        caller: &mut Caller<'_>,
    ) -> Result<(), Status> {
        let mut nothing = Value::Null;
        let judged = Judged {
            operation: Operation::Delete,
            resource,
            sent: None,
            subresource: "",
            namespace: admission_namespace(resource, resource.kind.namespaced.then_some(namespace), name),
            name,
            user: caller.user,
            dry_run,
            asked: Some(request),
        };
        self.admit(&judged, &mut nothing, Some(old), caller).await?;
        self.judge(&judged, &mut nothing, Some(old), caller).await
    }

    fn plan_delete(
        &self,
        resource: &Resource,
        old: &Value,
        options: &DeleteOptions,
        current: &Object,
    ) -> Result<Step, Status> {
        let now = self.env.clock.now();
        let mut new = old.clone();
        if metadata::text(old, "deletionTimestamp").is_empty() {
            resource.strategy.prepare_delete(&mut new, now);
        }
        set_propagation_finalizers(&mut new, resource, options);
        let is_held = metadata::finalizers(&new).next().is_some() || resource.strategy.holds_deletion(&new);
        let grace = resource.strategy.grace_seconds(&new, options.grace_period_seconds).unwrap_or(0).max(0);
        if grace == 0 && !is_held {
            return Ok(Step::Remove(Draft::new(resource, mark(new, resource, 0, now))));
        }
        let marked = mark(new, resource, grace, now);
        let draft = Draft::new(resource, marked);
        Ok(if draft.is_same_as(current) { Step::Wait } else { Step::Mark(draft) })
    }
}

/// True for a marked object that nothing keeps any more: the write that makes it so removes it.
pub(super) fn is_over(object: &Value, resource: &Resource) -> bool {
    let is_deleting = !metadata::text(object, "deletionTimestamp").is_empty();
    is_deleting
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata::finalizers(object).next().is_none()
        && !resource.strategy.holds_deletion(object)
}

/// Sets deletionTimestamp and grace; an earlier mark stays unless the new grace is shorter.
fn mark(mut object: Value, resource: &Resource, grace: i64, now: Timestamp) -> Value {
    let earlier = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    let is_marked = !metadata::text(&object, "deletionTimestamp").is_empty();
    if is_marked && earlier.is_none_or(|earlier| earlier <= grace) {
        return object;
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let until = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
    if let Some(metadata) = metadata::metadata_mut(&mut object) {
        metadata.insert("deletionTimestamp".to_owned(), timestamp(until).into());
        metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        if let Some(generation) = generation {
            metadata.insert("generation".to_owned(), (generation + 1).into());
        }
    }
    resource.strategy.begin_deletion(&mut object);
    object
}

fn set_propagation_finalizers(object: &mut Value, resource: &Resource, options: &DeleteOptions) {
    let asked = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        _ => None,
    };
    let standing: Vec<String> = metadata::finalizers(object).map(str::to_owned).collect();
    // Without a wish, finalizers that already say how to propagate stay.
    let has_wish = standing.iter().any(|finalizer| finalizer == ORPHAN || finalizer == FOREGROUND);
    let wanted = match asked {
        None if has_wish => return,
        None => resource.strategy.default_propagation(),
        Some(asked) => asked,
    };
    let mut kept: Vec<Value> = standing
        .into_iter()
        .filter(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND)
        .map(Value::String)
        .collect();
    match wanted {
        Propagation::Orphan => kept.push(ORPHAN.into()),
        Propagation::Foreground => kept.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    if let Some(metadata) = metadata::metadata_mut(object) {
        if kept.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), Value::Array(kept));
        }
    }
}

fn read_options(request: &Request) -> Result<DeleteOptions, Status> {
    if request.body.is_empty() {
        return Ok(DeleteOptions::default());
    }
    let options: DeleteOptions = serde_json::from_slice(&request.body).map_err(|error| {
        Status::bad_request(format!("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {error}"))
    })?;
    if options.propagation_policy.is_some() && options.orphan_dependents.is_some() {
        let path = meta::field::Path::new("propagationPolicy");
        let shown = options.propagation_policy.clone().unwrap_or_default();
        let why = "orphanDependents and deletionPropagation cannot be both set";
        let error = meta::field::FieldError::invalid(&path, shown, why);
        return Err(meta::field::invalid("meta.k8s.io", "DeleteOptions", "", &[error]));
    }
    Ok(options)
}

fn check_preconditions(resource: &Resource, current: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let kind = meta::GroupResource { group: resource.kind.group.clone(), resource: resource.kind.kind.clone() };
    if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != current.index.uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            current.index.uid
        );
        return Err(Status::conflict(&kind, &current.index.name, &why));
    }
    let revision = current.revision.to_string();
    if let Some(asked) = wanted.resource_version.as_ref().filter(|asked| **asked != revision) {
        let why = format!(
            "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record \
             ({revision}). The object might have been modified"
        );
        return Err(Status::conflict(&kind, &current.index.name, &why));
    }
    Ok(())
}

/// The answer to a DELETE that left nothing: what went, or a Status that names it.
fn deleted(resource: &Resource, object: &Object, last: Arc<Object>) -> Answer {
    if resource.kind.is_shown_when_deleted() {
        return Answer::Object { object: last, created: false };
    }
    Answer::Status(Status::success().with_details(StatusDetails {
        name: object.index.name.clone(),
        group: resource.kind.group.to_string(),
        kind: resource.kind.resource.to_string(),
        uid: object.index.uid.clone(),
        ..StatusDetails::default()
    }))
}
