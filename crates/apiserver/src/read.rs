//! GET and LIST, from memory: consistent, paginated, at exact or recent revisions.

use crate::answer::{Answer, Listing};
use crate::collection::{Collection, Objects};
use crate::filter::Filter;
use crate::object::{Index, Object};
use crate::resources::Resource;
use crate::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Options;
use meta::{Cause, Reason, Status, StatusDetails};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::sync::Arc;
use store::{Revision, StoreError};

const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. \
     You can start a new list without the continue parameter, or use the continue token in this response to retrieve \
     the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
     were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// What a continue token says, in upstream's form.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    /// Negative: whatever is there now.
    rv: i64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Server {
    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        let collection = collection_of(resource, "get")?;
        collection.get(&Object::key(namespace, name)).ok_or_else(|| Status::not_found(&resource.group_resource(), name))
    }

    pub(crate) async fn list(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        name: Option<&str>,
        options: &Options,
    ) -> Result<Answer, Status> {
        let filter = Filter::read(resource, namespace, name, options)?;
        let collection = collection_of(resource, "list")?;
        let token = options.continue_token.as_deref().filter(|token| !token.is_empty()).map(read_token).transpose()?;
        let (objects, revision) = match &token {
            Some(token) => self.objects_of(resource, collection, token).await?,
            None => self.objects_for(resource, collection, options).await?,
        };
        let start = token.map_or_else(|| filter.key_prefix.clone(), |token| token.start);
        let limit = options.limit.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
        let page = page(&objects, &filter, &start, limit.unwrap_or(usize::MAX));
        let mut remaining = None;
        let continue_token = page.next.as_ref().map(|next| {
            if filter.is_plain() {
                remaining = i64::try_from(count_from(&objects, &filter, next)).ok();
            }
            self.snapshots.keep(&resource.prefix, revision, objects.clone());
            write_token(i64::try_from(revision).unwrap_or(-1), next)
        });
        let resource = resource.clone();
        Ok(Answer::List(Listing { resource, revision, items: page.items, continue_token, remaining }))
    }

    /// The state that a list goes on in.
    async fn objects_of(
        &self,
        resource: &Resource,
        collection: &Collection,
        token: &Token,
    ) -> Result<(Objects, Revision), Status> {
        let Ok(revision) = Revision::try_from(token.rv) else { return Ok(collection.snapshot()) };
        match self.objects_at(resource, collection, revision).await {
            Ok(objects) => Ok((objects, revision)),
            Err(StoreError::Compacted { .. }) => Err(too_old(&token.start)),
            Err(other) => Err(Status::internal(other)),
        }
    }

    /// The state a fresh list asks for by resourceVersion and resourceVersionMatch.
    async fn objects_for(
        &self,
        resource: &Resource,
        collection: &Collection,
        options: &Options,
    ) -> Result<(Objects, Revision), Status> {
        let asked = read_revision(options.resource_version.as_deref())?;
        let (objects, now) = collection.snapshot();
        match (asked, options.resource_version_match.as_deref()) {
            (None, Some(_)) => {
                Err(invalid_match("resourceVersionMatch is forbidden unless resourceVersion is provided"))
            }
            (None | Some(0), None) | (Some(0), Some("NotOlderThan")) => Ok((objects, now)),
            (Some(asked), _) if asked > now => Err(too_new(asked, now)),
            (Some(_), None | Some("NotOlderThan")) => Ok((objects, now)),
            (Some(0), Some("Exact")) => {
                Err(invalid_match("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""))
            }
            (Some(asked), Some("Exact")) => {
                let objects = self.objects_at(resource, collection, asked).await.map_err(|error| match error {
                    StoreError::Compacted { .. } => {
                        Status::expired("The resourceVersion for the provided list is too old.")
                    }
                    other => Status::internal(other),
                })?;
                Ok((objects, asked))
            }
            (Some(_), Some(other)) => Err(invalid_match(&format!(
                "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
            ))),
        }
    }

    /// The collection as it was at a revision: from memory where possible, else from the store.
    async fn objects_at(
        &self,
        resource: &Resource,
        collection: &Collection,
        revision: Revision,
    ) -> Result<Objects, StoreError> {
        if let Some(objects) = self.snapshots.find(&resource.prefix, revision) {
            return Ok(objects);
        }
        let (objects, now) = collection.snapshot();
        if revision == now {
            return Ok(objects);
        }
        let entries = self.store.entries_at(resource.prefix.as_str().into(), revision).await?;
        let mut objects = Objects::new();
        for entry in entries {
            let Ok(index) = Index::of_bytes(&entry.value, &*resource.strategy) else { continue };
            let object = Arc::new(Object::publish(entry.revision, &entry.value, index));
            objects.insert(Object::key(&object.index.namespace, &object.index.name).into(), object);
        }
        Ok(objects)
    }
}

pub(crate) fn collection_of<'r>(resource: &'r Resource, action: &str) -> Result<&'r Arc<Collection>, Status> {
    resource.collection.as_ref().ok_or_else(|| Status::method_not_supported(&resource.group_resource(), action))
}

/// None where the parameter is absent or empty.
pub(crate) fn read_revision(text: Option<&str>) -> Result<Option<Revision>, Status> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        }),
    }
}

pub(crate) fn too_new(asked: Revision, current: Revision) -> Status {
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    let details = StatusDetails { causes: vec![cause], retry_after_seconds: 1, ..StatusDetails::default() };
    Status::failure(Reason::Timeout, format!("Timeout: Too large resource version: {asked}, current: {current}"))
        .with_details(details)
}

fn invalid_match(why: &str) -> Status {
    Status::bad_request(why)
}

/// The state is forgotten, but not where the list was.
fn too_old(start: &str) -> Status {
    let mut status = Status::expired(CONTINUE_TOO_OLD);
    status.metadata.continue_ = write_token(-1, start);
    status
}

struct Page {
    items: Vec<Arc<Object>>,
    /// Where the next page starts.
    next: Option<Arc<str>>,
}

/// Objects from `start` on that pass the filter, at most `limit`.
fn page(objects: &Objects, filter: &Filter, start: &str, limit: usize) -> Page {
    let mut items = Vec::new();
    let bounds = (Bound::Included(start), Bound::Unbounded);
    for (key, object) in objects.range::<_, str>(bounds) {
        if !key.starts_with(&filter.key_prefix) {
            break;
        }
        if !filter.matches(object) {
            continue;
        }
        if items.len() == limit {
            return Page { items, next: Some(key.clone()) };
        }
        items.push(object.clone());
    }
    Page { items, next: None }
}

fn count_from(objects: &Objects, filter: &Filter, start: &str) -> usize {
    let bounds = (Bound::Included(start), Bound::Unbounded);
    objects.range::<_, str>(bounds).take_while(|(key, _)| key.starts_with(&filter.key_prefix)).count()
}

fn write_token(revision: i64, start: &str) -> String {
    let token = Token { v: TOKEN_VERSION.to_owned(), rv: revision, start: start.to_owned() };
    // A struct of texts and a number always encodes.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

fn read_token(text: &str) -> Result<Token, Status> {
    let bad = |why: String| Status::bad_request(format!("invalid continue token: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| bad(error.to_string()))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if token.v != TOKEN_VERSION {
        return Err(bad(format!("server does not recognize this encoded version {:?}", token.v)));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_round_trip_and_junk_is_refused() {
        let read = read_token(&write_token(7, "default/web")).unwrap();
        assert_eq!((read.rv, read.start.as_str()), (7, "default/web"));
        assert_eq!(read_token("!").map(|_| ()).unwrap_err().code, 400);
    }
}
