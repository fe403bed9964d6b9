//! One request in, one answer out: find the resource, ask whether the user may, go to the verb.

use crate::answer::Answer;
use crate::resources::Resource;
use crate::server::Server;
use crate::subresources;
use crate::write::{Caller, Media, Part};
use audit::Record;
use auth::Attributes;
use client::{Request, Verb};
use meta::fields::FieldSelector;
use meta::{Status, User};
use std::sync::Arc;

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

impl Server {
    /// Answers a request under its caller's identity.
    ///
    /// # Errors
    /// The Status to send.
    pub async fn handle(&self, request: &Request, media: Media, caller: &mut Caller<'_>) -> Result<Answer, Status> {
        let gvr = &request.resource;
        let resource =
            &self.resources.find(&gvr.group, &gvr.version, &gvr.resource).ok_or_else(Status::no_such_path)?;
        self.authorize_request(caller.user, request, caller.record)?;
        check_scope(resource, request)?;
        if let Some(warning) = deprecation(resource) {
            caller.warnings.push(warning);
        }
        let answer = match request.subresource.as_deref() {
            None | Some("") => self.main(resource, request, media, caller).await,
            Some(name) => {
                let verb = request.verb.as_str();
                let known = resource.kind.subresource(name).ok_or_else(Status::no_such_path)?;
                if !known.verbs.contains(&verb) {
                    return Err(Status::method_not_supported(&resource.group_resource(), verb));
                }
                subresources::handle(self, resource, known, request, media, caller).await
            }
        };
        self.show_answer(resource, answer?).await
    }

    /// # Errors
    /// Forbidden, in upstream's words.
    pub fn authorize(&self, user: &User, request: &Request) -> Result<(), Status> {
        self.authorize_request(user, request, None)
    }

    fn authorize_request(&self, user: &User, request: &Request, record: Option<&Record>) -> Result<(), Status> {
        // Who may read one object by name may also list and watch that one.
        let selected = match (&request.name, request.verb, &request.options.field_selector) {
            (None, Verb::List | Verb::Watch, Some(selector)) => FieldSelector::parse(selector).ok(),
            _ => None,
        };
        let selected = selected.as_ref().and_then(|selector| selector.exact_value("metadata.name"));
        let asked = attributes(user, request);
        let asked = Attributes { name: selected.unwrap_or(asked.name), ..asked };
        self.authorize_recorded(&asked, record)
    }

    /// # Errors
    /// Forbidden, in upstream's words.
    pub fn authorize_attributes(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        self.authorize_recorded(attributes, None)
    }

    /// # Errors
    /// Forbidden, in upstream's words.
    pub fn authorize_recorded(&self, attributes: &Attributes<'_>, record: Option<&Record>) -> Result<(), Status> {
        let decision = self.access.authorizer.authorize(attributes);
        if let Some(record) = record {
            record.annotate(DECISION, if decision.is_allowed() { "allow" } else { "forbid" });
            record.annotate(REASON, decision.reason());
        }
        if decision.is_allowed() { Ok(()) } else { Err(attributes.forbidden(decision.reason())) }
    }

    async fn main(
        &self,
        resource: &Arc<Resource>,
        request: &Request,
        media: Media,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Status> {
        let verb = request.verb.as_str();
        if !resource.kind.has_verb(verb) {
            return Err(Status::method_not_supported(&resource.group_resource(), verb));
        }
        let (namespace, name) = (request.namespace.as_deref(), request.name.as_deref());
        match request.verb {
            Verb::Get | Verb::List if crate::usage::serves(resource) => self.usage(resource, request).await,
            Verb::Create if resource.collection.is_none() => self.review(resource, request, media, caller).await,
            Verb::Create => self.create(resource, request, media, caller).await,
            Verb::Get => {
                let object = self.get(resource, namespace.unwrap_or_default(), name.unwrap_or_default())?;
                Ok(Answer::Object { object, created: false })
            }
            Verb::List => self.list(resource, namespace, name, &request.options).await,
            Verb::Watch => Ok(Answer::Watch(Box::new(self.watch(resource, namespace, name, &request.options)?))),
            Verb::Update => self.update(resource, request, media, Part::Main, caller).await,
            Verb::Patch(patch) => self.patch(resource, request, patch, Part::Main, caller).await,
            Verb::Delete => self.delete(resource, request, caller).await,
            Verb::DeleteCollection => self.delete_collection(resource, request, caller).await,
        }
    }
}

/// What a request asks, for those who judge it.
pub fn attributes<'a>(user: &'a User, request: &'a Request) -> Attributes<'a> {
    Attributes {
        version: &request.resource.version,
        subresource: request.subresource.as_deref().unwrap_or_default(),
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: request.name.as_deref().unwrap_or_default(),
        field_selector: request.options.field_selector.as_deref().unwrap_or_default(),
        label_selector: request.options.label_selector.as_deref().unwrap_or_default(),
        ..Attributes::resource(user, request.verb.as_str(), &request.resource.group, &request.resource.resource)
    }
}

/// Names and namespaces must be there where the verb needs them.
fn check_scope(resource: &Resource, request: &Request) -> Result<(), Status> {
    let needs_name = matches!(request.verb, Verb::Get | Verb::Update | Verb::Patch(_) | Verb::Delete);
    if needs_name && request.name.as_deref().is_none_or(str::is_empty) {
        return Err(Status::bad_request("Name parameter required."));
    }
    let needs_namespace = needs_name || (request.verb == Verb::Create && request.subresource.is_none());
    let has_namespace = request.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty());
    if resource.kind.namespaced && needs_namespace && !has_namespace {
        return Err(Status::bad_request("an empty namespace may not be set during creation"));
    }
    if !resource.kind.namespaced && has_namespace {
        return Err(Status::no_such_path());
    }
    Ok(())
}

/// Upstream's Warning for kinds on their way out.
fn deprecation(resource: &Resource) -> Option<String> {
    let kind = &resource.kind;
    if let Some(custom) = &resource.custom {
        return custom.warning.clone();
    }
    if let Some((hub, _)) = resource.kept_as.as_ref().filter(|_| kind.stability == kinds::Stability::Legacy) {
        let (old, new) = (kind.api_version(), hub.kind.api_version());
        return Some(format!("{old} {} is deprecated; use {new} {}", kind.kind, hub.kind.kind));
    }
    let text = match (kind.group.as_ref(), kind.version.as_ref(), kind.resource.as_ref()) {
        ("", "v1", "endpoints") => "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ("", "v1", "componentstatuses") => "v1 ComponentStatus is deprecated in v1.19+",
        _ => return None,
    };
    Some(text.to_owned())
}
