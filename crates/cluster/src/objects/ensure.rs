//! Bringing a cluster up to the list, at every start: what is missing is made, what must not differ
//! is brought back, nothing else is touched.

use super::{Object, Upkeep};
use auth::policy::{Reconciled, reconcile};
use base::collections::HashMap;
use client::{Api, Error as ApiError, Options, PatchType, Request, Response, Verb};
use futures_util::{StreamExt as _, TryStreamExt as _};
use meta::{GroupVersionResource, Reason};
use serde_json::Value;

/// A first start writes some 150 objects: side by side they share the store's commits.
const AT_ONCE: usize = 64;
/// A write that lost a race is tried this often.
const TRIES: usize = 5;

#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {resource} {name}: {source}")]
pub struct Error {
    what: &'static str,
    resource: String,
    name: String,
    source: ApiError,
}

/// # Errors
/// The API refused, or cannot be reached.
pub async fn ensure(api: &dyn Api, objects: &[Object]) -> Result<(), Error> {
    let (namespaces, rest): (Vec<_>, Vec<_>) =
        objects.iter().partition(|object| object.resource.resource == "namespaces");
    let stored = policies(api, objects).await?;
    for stage in [namespaces, rest] {
        futures_util::stream::iter(stage)
            .map(|object| one(api, object, &stored))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

type Key = (String, String, String);

/// The RBAC objects there are, by one list for each kind.
async fn policies(api: &dyn Api, objects: &[Object]) -> Result<HashMap<Key, Value>, Error> {
    let mut stored = HashMap::default();
    let mut resources: Vec<&GroupVersionResource> =
        objects.iter().filter(|object| object.upkeep == Upkeep::Policy).map(|object| &object.resource).collect();
    resources.sort();
    resources.dedup();
    for resource in resources {
        let failed =
            |source| Error { what: "list", resource: resource.resource.to_string(), name: String::new(), source };
        let Response::List(list) = api.call(Request::new(Verb::List, resource.clone())).await.map_err(failed)? else {
            continue;
        };
        for item in list.items {
            let value: Value =
                serde_json::from_slice(&item).map_err(|error| failed(ApiError::Decode(error.to_string())))?;
            let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
            stored.insert((resource.resource.to_string(), text("namespace"), text("name")), value);
        }
    }
    Ok(stored)
}

async fn one(api: &dyn Api, object: &Object, stored: &HashMap<Key, Value>) -> Result<(), Error> {
    let key = (
        object.resource.resource.to_string(),
        object.namespace().unwrap_or_default().to_owned(),
        object.name().to_owned(),
    );
    let mut known = stored.get(&key).cloned();
    for _ in 1..TRIES {
        match step(api, object, known.as_ref()).await {
            // Another server is at the same work.
            Err(error) if error.source.is(Reason::Conflict) || error.source.is(Reason::AlreadyExists) => {
                known = read(api, object).await?;
            }
            outcome => return outcome,
        }
    }
    step(api, object, known.as_ref()).await
}

/// One attempt, given what is known to be stored.
async fn step(api: &dyn Api, object: &Object, known: Option<&Value>) -> Result<(), Error> {
    let fetched;
    let known = match (known, object.upkeep) {
        (Some(known), _) => Some(known),
        (None, Upkeep::Policy) => None,
        (None, _) => {
            fetched = read(api, object).await?;
            fetched.as_ref()
        }
    };
    let Some(known) = known else { return write(api, object, Verb::Create, "create", &object.value).await };
    match object.upkeep {
        Upkeep::Once => Ok(()),
        Upkeep::Kept if contains(known, &object.value) => Ok(()),
        Upkeep::Kept => write(api, object, Verb::Patch(PatchType::Merge), "patch", &object.value).await,
        Upkeep::Policy => match reconcile(Some(known), &object.value) {
            Reconciled::UpToDate => Ok(()),
            Reconciled::Create => write(api, object, Verb::Create, "create", &object.value).await,
            Reconciled::Update(updated) => write(api, object, Verb::Update, "update", &updated).await,
            Reconciled::Recreate => {
                write(api, object, Verb::Delete, "delete", &Value::Null).await?;
                write(api, object, Verb::Create, "create", &object.value).await
            }
        },
    }
}

fn request(object: &Object, verb: Verb) -> Request {
    let mut request = Request::new(verb, object.resource.clone());
    request.namespace = object.namespace().map(str::to_owned);
    if verb != Verb::Create {
        request.name = Some(object.name().to_owned());
    }
    request
}

fn failed(object: &Object, what: &'static str, source: ApiError) -> Error {
    Error { what, resource: object.resource.resource.to_string(), name: object.name().to_owned(), source }
}

async fn read(api: &dyn Api, object: &Object) -> Result<Option<Value>, Error> {
    match api.call(request(object, Verb::Get)).await {
        Ok(Response::Object { body, .. }) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| failed(object, "get", ApiError::Decode(error.to_string()))),
        Ok(_) => Ok(None),
        Err(error) if error.is(Reason::NotFound) => Ok(None),
        Err(error) => Err(failed(object, "get", error)),
    }
}

async fn write(api: &dyn Api, object: &Object, verb: Verb, what: &'static str, value: &Value) -> Result<(), Error> {
    let options = Options { field_manager: Some("kube-apiserver".to_owned()), ..Options::default() };
    let mut request = request(object, verb).options(options);
    if !value.is_null() {
        request.body = value.to_string().into();
    }
    api.call(request).await.map(drop).map_err(|error| failed(object, what, error))
}

/// Whether everything in `wanted` stands in `stored`, which may hold more fields.
fn contains(stored: &Value, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Value::Object(stored), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| stored.get(key).is_some_and(|own| contains(own, value)))
        }
        (Value::Array(stored), Value::Array(wanted)) => {
            stored.len() == wanted.len() && stored.iter().zip(wanted).all(|(own, value)| contains(own, value))
        }
        _ => stored == wanted,
    }
}
