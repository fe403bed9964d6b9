//! PUT and PATCH, of an object or of its status: a change is computed from what is there, and
//! again when something newer turns out to be there.

use super::create::admission_namespace;
use super::decode::{self, Expected, Media, decode_object, parse_yaml, recheck};
use super::track::Elsewhere;
use super::{Caller, Draft, Judged, conflict, is_dry_run, metadata};
use crate::answer::Answer;
use crate::object::Object;
use crate::read::collection_of;
use crate::resources::Resource;
use crate::server::{CommitError, Server};
use admission::{Operation, Subject};
use base::Timestamp;
use client::{PatchType, Request};
use meta::Status;
use meta::field::{FieldError, Path};
use serde_json::Value;
use std::sync::Arc;
use store::Expect;

/// What of an object a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// Another subresource whose change is made by the server itself (scale, binding, …); the name
    /// is what admission and managedFields see.
    Sub(&'static str),
}

/// Its patches change nothing and are written all the same: with today's key and in today's form.
const MIGRATOR: &str = "system:serviceaccount:kube-system:storage-version-migrator-controller";

impl Part {
    pub fn subresource(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "status",
            Part::Sub(name) => name,
        }
    }

    /// It may change what has defaults. What was there then counts with today's, as upstream's decoding
    /// gives it: nobody changed what a newer one fills in.
    fn is_of_spec(self) -> bool {
        !matches!(self, Part::Status | Part::Sub("binding"))
    }

    /// Admission has judged it already, in the form that the client sent.
    fn is_admitted(self) -> bool {
        matches!(self, Part::Sub("scale" | "binding"))
    }
}

/// Computes the wanted object from the current one (None where there is none); None: what is there
/// stays as it is.
pub(crate) type Change<'c> =
    &'c mut (dyn FnMut(Option<&Value>, &mut Caller<'_>) -> Result<Option<Value>, Status> + Send);

impl Server {
    pub(crate) async fn update(
        &self,
        resource: &Resource,
        request: &Request,
        media: Media,
        part: Part,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let object = decode_object(resource, &request.body, media, &request.options, caller)?;
        check_path(resource, request, &object)?;
        let needs_revision =
            metadata::text(&object, "resourceVersion").is_empty() && !resource.strategy.allow_unconditional_update();
        let mut decoded = Some(object);
        self.modify(resource, request, part, caller, &mut |current, caller| {
            // There is none to name where the update is going to create.
            if needs_revision && current.is_some() {
                let path = Path::new("metadata").child("resourceVersion");
                let mut error = FieldError::invalid(&path, 0, "");
                "Invalid value: 0x0: must be specified for an update".clone_into(&mut error.body);
                let name = request.name.as_deref().unwrap_or_default();
                return Err(meta::field::invalid(&resource.kind.group, &resource.kind.kind, name, &[error]));
            }
            let read =
                |caller: &mut Caller<'_>| decode_object(resource, &request.body, media, &request.options, caller);
            taken(&mut decoded, caller, read).map(Some)
        })
        .await
    }

    pub(crate) async fn patch(
        &self,
        resource: &Resource,
        request: &Request,
        patch_type: PatchType,
        part: Part,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        if patch_type == PatchType::Apply {
            return self.apply(resource, request, part, caller).await;
        }
        if patch_type == PatchType::Strategic && resource.custom.is_some() {
            return Err(no_strategic_merge());
        }
        let patch = PatchBody::read(patch_type, &request.body)?;
        let expected = Expected::of(resource);
        self.modify(resource, request, part, caller, &mut |current, caller| {
            let current = current.ok_or_else(|| not_found(resource, request))?;
            let current = resource.shown(current);
            let patched = patch.on(&current, &expected)?;
            let mut object = recheck(&expected, &current, patched, &request.options, caller)?;
            check_path(resource, request, &object)?;
            decode::default(resource, &mut object);
            Ok(Some(resource.up(object)))
        })
        .await
    }

    async fn apply(
        &self,
        resource: &Resource,
        request: &Request,
        part: Part,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let Some(manager) = request.options.field_manager.clone().filter(|manager| !manager.is_empty()) else {
            let error = FieldError::required(&Path::new("fieldManager"), "is required for apply patch");
            return Err(meta::field::invalid("meta.k8s.io", "PatchOptions", "", &[error]));
        };
        let expected = Expected::of(resource);
        let applied = decode::decode_applied(&expected, &request.body, &request.options, caller)?;
        check_path(resource, request, &applied)?;
        let force = request.options.force == Some(true);
        let elsewhere = Elsewhere::of(self, resource);
        let mut decoded = Some(applied);
        self.modify(resource, request, part, caller, &mut |current, caller| {
            let read =
                |caller: &mut Caller<'_>| decode::decode_applied(&expected, &request.body, &request.options, caller);
            let applied = taken(&mut decoded, caller, read)?;
            let writer = wire::apply::Writer {
                manager: &manager,
                api_version: &expected.api_version,
                subresource: part.subresource(),
                now: self.env.clock.now(),
                reset: reset_fields(resource, part),
                versions: elsewhere.as_ref().map(|elsewhere| elsewhere as &dyn wire::apply::Versions),
            };
            let cursor = resource.schema().cursor(resource.type_id());
            let current = current.map(|current| resource.shown(current));
            let object = wire::apply::apply(current.as_deref(), &applied, &writer, force, &cursor)
                .map_err(|error| error.status(&what(resource, request)))?;
            Ok(object.map(|mut object| {
                decode::default(resource, &mut object);
                resource.up(object)
            }))
        })
        .await
    }

    /// Runs one change to its commit, again after conflicts that the client did not ask to see.
    pub(crate) async fn modify(
        &self,
        resource: &Resource,
        request: &Request,
        part: Part,
        caller: &mut Caller<'_>,
        change: Change<'_>,
    ) -> Result<Answer, Status> {
        let collection = collection_of(resource, "update")?;
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let name = request.name.as_deref().unwrap_or_default();
        let warned = caller.warnings.len();
        let work = resource.work();
        let mut patience = self.patience();
        loop {
            caller.warnings.truncate(warned);
            let Some(current) = collection.get(&Object::key(namespace, name)) else {
                return self.create_by_modify(resource, request, part, caller, change).await;
            };
            let mut old = self.show(work, &current).await?.value()?;
            if part.is_of_spec() && work.custom.is_none() {
                decode::default(work, &mut old);
            }
            let new = change(Some(&old), caller)?;
            check_preconditions(resource, &current, new.as_ref().unwrap_or(&old), name)?;
            let draft = self
                .check_update(resource, request, part, new, &old, caller)
                .await
                .inspect_err(|_| self.settle(work, namespace, name))?;
            let is_new = |draft: &Draft| !draft.is_same_as(&current) || caller.user.name == MIGRATOR;
            let Some(draft) = draft.filter(is_new) else {
                return Ok(Answer::Object { object: current, created: false });
            };
            // Who waits for the disk holds no trees: with many of them, memory is cold when they go.
            drop(old);
            if is_dry_run(&request.options)? {
                self.settle(work, namespace, name);
                return Ok(Answer::Object { object: draft.into_unwritten(Some(&current)), created: false });
            }
            let outcome = if draft.is_over {
                draft.delete(self, work, &current).await
            } else {
                draft.put(self, work, Expect::Revision(current.revision)).await
            };
            match outcome {
                Ok(object) => return Ok(Answer::Object { object, created: false }),
                Err(CommitError::Failed(status)) => return Err(status),
                // A change that names the version it is for is refused as soon as it is made again.
                Err(CommitError::Conflict) => patience.again().await?,
            }
        }
    }

    async fn create_by_modify(
        &self,
        resource: &Resource,
        request: &Request,
        part: Part,
        caller: &mut Caller<'_>,
        change: Change<'_>,
    ) -> Result<Answer, Status> {
        let is_apply = matches!(request.verb, client::Verb::Patch(PatchType::Apply));
        let is_put = matches!(request.verb, client::Verb::Update) && resource.strategy.allow_create_on_update();
        if part != Part::Main || !(is_apply || is_put) {
            return Err(not_found(resource, request));
        }
        let Some(mut object) = change(None, caller)? else { return Err(not_found(resource, request)) };
        if is_apply && !metadata::text(&object, "uid").is_empty() {
            let uid = metadata::text(&object, "uid");
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&resource.group_resource(), request.name.as_deref().unwrap_or(""), &why));
        }
        if let Some(metadata) = metadata::metadata_mut(&mut object) {
            // The version of what is gone means nothing to what takes its place.
            metadata.remove("resourceVersion");
            metadata.insert("name".to_owned(), request.name.clone().unwrap_or_default().into());
        }
        Box::pin(self.create_object(resource, request, object, caller)).await
    }

    /// None where nothing is different from what was there; so is `new` where it is known already, and
    /// then it is copied only for who wants to change it.
    async fn check_update(
        &self,
        resource: &Resource,
        request: &Request,
        part: Part,
        mut new: Option<Value>,
        old: &Value,
        caller: &mut Caller<'_>,
    ) -> Result<Option<Draft>, Status> {
        let now = self.env.clock.now();
        let work = resource.work();
        let name = request.name.as_deref().unwrap_or_default();
        if let Some(new) = &mut new {
            metadata::prepare_update(new, old);
        }
        let judged = Judged {
            operation: Operation::Update,
            resource: work,
            sent: None,
            subresource: part.subresource(),
            namespace: admission_namespace(work, request.namespace.as_deref(), name),
            name,
            user: caller.user,
            dry_run: is_dry_run(&request.options)?,
            asked: Some(request),
        };
        if !part.is_admitted() {
            self.admit(&judged, Subject::Copied { of: old, made: &mut new }, Some(old), caller).await?;
        }
        // Custom resources may be in another form than they are shown in.
        let may_stay = work.custom.is_none() && caller.user.name != MIGRATOR;
        if new.is_some() || !may_stay {
            let changed = new.get_or_insert_with(|| old.clone());
            // After admission, as upstream: what webhooks change counts, and only where it may be changed.
            prepare(work, part, changed, old, caller, now);
            self.track(resource, request, part, changed, Some(old), caller, now);
            let assigned = if part == Part::Main { self.assign(work, changed, Some(old)) } else { Vec::new() };
            // What is there already was good then.
            match may_stay && changed == old {
                true => new = None,
                false => self.validate_update(resource, part, changed, old, assigned, caller)?,
            }
        }
        if part == Part::Main {
            caller.warnings.extend(work.strategy.warnings(new.as_ref().unwrap_or(old), Some(old)));
        }
        let is_same = new.is_none();
        if !part.is_admitted() {
            self.judge(&judged, Subject::Copied { of: old, made: &mut new }, Some(old), caller).await?;
        }
        match new.filter(|_| !is_same) {
            Some(new) => Ok(Some(Draft::new(work, self.to_stored(work, new).await?))),
            None => Ok(None),
        }
    }

    /// `assigned` are the errors that were found on the way.
    fn validate_update(
        &self,
        resource: &Resource,
        part: Part,
        new: &Value,
        old: &Value,
        assigned: Vec<FieldError>,
        caller: &Caller<'_>,
    ) -> Result<(), Status> {
        let (work, now) = (resource.work(), self.env.clock.now());
        let mut errors = metadata::validate_update(new, old);
        errors.extend(assigned);
        errors.extend(match part {
            Part::Main => work.strategy.validate_update(new, old, &caller.context(now, "")),
            part => work.strategy.validate_status_update(new, old, &caller.context(now, part.subresource())),
        });
        resource.check_version(new, Some(old), &mut errors);
        if !errors.is_empty() {
            let name = metadata::text(new, "name");
            return Err(meta::field::invalid(&resource.kind.group, &resource.kind.kind, name, &errors));
        }
        self.access.check_grant(work, caller.user, new, Some(old))
    }
}

/// The body as it was decoded; after a conflict it is read again, and nothing said that was said already.
fn taken(
    decoded: &mut Option<Value>,
    caller: &mut Caller<'_>,
    read: impl FnOnce(&mut Caller<'_>) -> Result<Value, Status>,
) -> Result<Value, Status> {
    if let Some(decoded) = decoded.take() {
        return Ok(decoded);
    }
    let told = caller.warnings.len();
    let object = read(caller)?;
    caller.warnings.truncate(told);
    Ok(object)
}

/// What clients of this part cannot come to own.
pub(super) fn reset_fields(resource: &Resource, part: Part) -> &'static [&'static str] {
    match part {
        Part::Main if resource.kind.subresource("status").is_some() => &["status"],
        Part::Status => &["spec"],
        _ => &[],
    }
}

/// The object as upstream's apply errors name it.
fn what(resource: &Resource, request: &Request) -> String {
    let key =
        Object::key(request.namespace.as_deref().unwrap_or_default(), request.name.as_deref().unwrap_or_default());
    format!("{key}; {}", resource.gvk())
}

/// Carries over what this part of the object does not let its clients change.
fn prepare(resource: &Resource, part: Part, new: &mut Value, old: &Value, caller: &Caller<'_>, now: Timestamp) {
    let strategy = &*resource.strategy;
    let context = caller.context(now, part.subresource());
    match part {
        Part::Status => return strategy.prepare_status_update(new, old, &context),
        Part::Main => strategy.prepare_update(new, old, &context),
        // Being given a node is no change of what is wanted.
        Part::Sub("binding") => return,
        Part::Sub("ephemeralcontainers" | "resize") => strategy.prepare_status_update(new, old, &context),
        // The server itself made the change, or asked the kind what of it counts.
        Part::Sub(_) => {}
    }
    if strategy.has_generation() {
        metadata::bump_generation(new, old, resource);
    }
}

fn not_found(resource: &Resource, request: &Request) -> Status {
    Status::not_found(&resource.group_resource(), request.name.as_deref().unwrap_or_default())
}

/// The body's name and namespace must be the path's.
fn check_path(resource: &Resource, request: &Request, object: &Value) -> Result<(), Status> {
    let on_url = request.name.as_deref().unwrap_or_default();
    let name = metadata::text(object, "name");
    if !name.is_empty() && name != on_url {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({on_url})"
        )));
    }
    let namespace = metadata::text(object, "namespace");
    let asked = request.namespace.as_deref().unwrap_or_default();
    if resource.kind.namespaced && !namespace.is_empty() && namespace != asked {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({asked})"
        )));
    }
    Ok(())
}

fn check_preconditions(resource: &Resource, current: &Arc<Object>, new: &Value, name: &str) -> Result<(), Status> {
    let revision = metadata::text(new, "resourceVersion");
    if !revision.is_empty() && revision != "0" && revision != current.revision.to_string() {
        return Err(conflict(resource, name));
    }
    let uid = metadata::text(new, "uid");
    if !uid.is_empty() && uid != current.index.uid {
        let key = resource.store_key(&current.index.namespace, name);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current.index.uid
        );
        return Err(Status::conflict(&resource.group_resource(), name, &why));
    }
    Ok(())
}

/// Custom resources have no struct whose tags a strategic merge could go by.
fn no_strategic_merge() -> Status {
    let accepted = [PatchType::Json, PatchType::Merge, PatchType::Apply].map(PatchType::media_type).join(", ");
    let why = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::failure(meta::Reason::UnsupportedMediaType, why)
}

/// The result of a patch, checked: for subresources that a patch may be sent to.
pub(crate) fn patched(
    expected: &Expected<'_>,
    current: &Value,
    patch: PatchType,
    body: &[u8],
    options: &client::Options,
    caller: &mut Caller<'_>,
) -> Result<Value, Status> {
    let object = PatchBody::read(patch, body)?.on(current, expected)?;
    recheck(expected, current, object, options, caller)
}

/// A patch that was read once and may be applied to several states.
enum PatchBody {
    Json(Vec<u8>),
    Merge(Vec<u8>),
    Strategic(Value),
}

impl PatchBody {
    fn read(patch_type: PatchType, body: &[u8]) -> Result<Self, Status> {
        Ok(match patch_type {
            PatchType::Json => PatchBody::Json(body.to_vec()),
            PatchType::Merge => PatchBody::Merge(body.to_vec()),
            PatchType::Strategic => PatchBody::Strategic(
                serde_json::from_slice(body)
                    .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?,
            ),
            // Of a part without fields of its own to manage: merged.
            PatchType::Apply => PatchBody::Strategic(parse_yaml(body)?),
        })
    }

    fn on(&self, current: &Value, expected: &Expected<'_>) -> Result<Value, Status> {
        let patched = match self {
            PatchBody::Json(patch) => wire::patch::json_patch(current, patch),
            PatchBody::Merge(patch) => wire::patch::merge_patch(current, patch),
            PatchBody::Strategic(patch) => {
                wire::patch::strategic_merge(current, patch, &expected.schema.cursor(expected.type_id))
            }
        };
        patched.map_err(|error| error.status())
    }
}
