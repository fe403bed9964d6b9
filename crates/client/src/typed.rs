//! Typed calls: k8s-openapi objects in, k8s-openapi objects out, over any [`Api`].
//!
//! For rooms that create objects or read one now and then. Never write back an object that was read
//! through these types: they drop fields they do not know. Send patches.

use crate::{Api, DeleteOptions, Error, Options, PatchType, Request, Response, Verb};
use bytes::Bytes;
use k8s_openapi::{NamespaceResourceScope, Resource};
use meta::GroupVersionResource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Where a type is served.
pub const fn resource_of<T: Resource>() -> GroupVersionResource {
    GroupVersionResource::of(T::GROUP, T::VERSION, T::URL_PATH_SEGMENT)
}

/// A kind with a path of its own, as the calls below need it. Namespaces are given as `""` for kinds
/// that have none (and for lists over all namespaces).
pub trait Typed: Resource + Serialize + DeserializeOwned {}

impl<T: Resource + Serialize + DeserializeOwned> Typed for T {}

/// Kinds that live in namespaces.
pub trait Namespaced: Typed + Resource<Scope = NamespaceResourceScope> {}

impl<T: Typed + Resource<Scope = NamespaceResourceScope>> Namespaced for T {}

/// A typed list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub resource_version: String,
    pub continue_token: Option<String>,
}

/// Typed calls over an [`Api`]. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    api: Arc<dyn Api>,
    manager: Option<Arc<str>>,
}

impl Client {
    pub fn new(api: Arc<dyn Api>) -> Self {
        Client { api, manager: None }
    }

    /// Names the field manager of every write.
    pub fn with_manager(mut self, manager: &str) -> Self {
        self.manager = Some(manager.into());
        self
    }

    pub fn api(&self) -> &Arc<dyn Api> {
        &self.api
    }

    pub async fn get<T: Typed>(&self, namespace: &str, name: &str) -> Result<T, Error> {
        decode(&self.object(request::<T>(Verb::Get, namespace).name(name)).await?)
    }

    /// As [`Client::get`]; None where there is no such object.
    pub async fn find<T: Typed>(&self, namespace: &str, name: &str) -> Result<Option<T>, Error> {
        match self.get(namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is(meta::Reason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page; `options.limit` and the token of the page before say which.
    pub async fn list<T: Typed>(&self, namespace: &str, options: Options) -> Result<Listed<T>, Error> {
        match self.api.call(request::<T>(Verb::List, namespace).options(options)).await? {
            Response::List(page) => Ok(Listed {
                items: page.items.iter().map(|item| decode(item)).collect::<Result<_, _>>()?,
                resource_version: page.resource_version,
                continue_token: page.continue_token,
            }),
            _ => Err(Error::Decode("a LIST was not answered with a list".to_owned())),
        }
    }

    pub async fn create<T: Typed>(&self, namespace: &str, object: &T) -> Result<T, Error> {
        decode(&self.object(self.write(request::<T>(Verb::Create, namespace)).body(encode(object)?)).await?)
    }

    /// Replaces an object as a whole; its metadata carries the version it replaces.
    pub async fn update<T: Typed>(&self, namespace: &str, name: &str, object: &T) -> Result<T, Error> {
        let request = request::<T>(Verb::Update, namespace).name(name).body(encode(object)?);
        decode(&self.object(self.write(request)).await?)
    }

    pub async fn update_status<T: Typed>(&self, namespace: &str, name: &str, object: &T) -> Result<T, Error> {
        let request = request::<T>(Verb::Update, namespace).name(name).subresource("status").body(encode(object)?);
        decode(&self.object(self.write(request)).await?)
    }

    pub async fn patch<T: Typed>(
        &self,
        namespace: &str,
        name: &str,
        kind: PatchType,
        patch: &impl Serialize,
    ) -> Result<T, Error> {
        let request = request::<T>(Verb::Patch(kind), namespace).name(name).body(encode(patch)?);
        decode(&self.object(self.write(request)).await?)
    }

    pub async fn patch_status<T: Typed>(
        &self,
        namespace: &str,
        name: &str,
        kind: PatchType,
        patch: &impl Serialize,
    ) -> Result<T, Error> {
        let request = request::<T>(Verb::Patch(kind), namespace).name(name).subresource("status").body(encode(patch)?);
        decode(&self.object(self.write(request)).await?)
    }

    /// Deletes an object. An object that is gone already is an error `NotFound`.
    pub async fn delete<T: Typed>(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), Error> {
        let request = request::<T>(Verb::Delete, namespace).name(name).body(encode(options)?);
        self.object(request).await.map(drop)
    }

    /// Posts `body` to a subresource of a `T` (`binding`, `eviction`, `token`) and reads its answer.
    pub async fn post<T: Typed, A: DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &impl Serialize,
    ) -> Result<A, Error> {
        let request = request::<T>(Verb::Create, namespace).name(name).subresource(subresource).body(encode(body)?);
        decode(&self.object(self.write(request)).await?)
    }

    /// Sends any request that is answered with one object.
    pub async fn object(&self, request: Request) -> Result<Bytes, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(body),
            _ => Err(Error::Decode("an object was expected".to_owned())),
        }
    }

    fn write(&self, mut request: Request) -> Request {
        request.options.field_manager = self.manager.as_deref().map(str::to_owned);
        request
    }
}

fn request<T: Resource>(verb: Verb, namespace: &str) -> Request {
    let request = Request::new(verb, resource_of::<T>());
    if namespace.is_empty() { request } else { request.namespace(namespace) }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Decode(error.to_string()))
}

/// Plain values cannot fail to encode; a map with keys that are no strings could.
pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Error::Decode(error.to_string()))
}
