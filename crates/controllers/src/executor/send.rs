//! Actions as requests.

use super::{Executor, Pending, Stop};
use crate::action::{Create, Delete, Outcome, Patch, Update};
use bytes::Bytes;
use client::events::refused_for_ending;
use client::{DeleteOptions, Error, Key, Options, Preconditions, Request, Response, Verb};
use futures_util::future::join_all;
use meta::{GroupVersionResource, ObjectMeta, Reason};

/// Deletions or patches under way at once for one key.
const AT_ONCE: usize = 50;
/// Objects asked for at once.
const PAGE: u64 = 500;

impl Executor {
    /// Creates in batches that double: where the first is refused, so would the others be.
    pub(super) async fn create(&self, key: &Key, creates: Vec<Create>, outcome: &mut Outcome) -> Result<(), Stop> {
        let mut left = creates.as_slice();
        let mut batch = 1;
        while !left.is_empty() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let answers = join_all(now.iter().map(|create| self.create_one(create))).await;
            let mut stop = None;
            for (create, answer) in now.iter().zip(answers) {
                match answer {
                    Ok(body) => {
                        self.expect_written(key, &create.resource, &body);
                        outcome.written.push(body);
                    }
                    Err(error) if create.or_exists && error.is(Reason::AlreadyExists) => {}
                    Err(error) if refused_for_ending(&error) => stop = stop.or(Some(Stop::Quietly)),
                    Err(error) => stop = Some(Stop::Failed(error)),
                }
            }
            if let Some(stop) = stop {
                return Err(stop);
            }
            left = later;
            batch *= 2;
        }
        Ok(())
    }

    async fn create_one(&self, create: &Create) -> Result<Bytes, Error> {
        let mut request = within(Request::new(Verb::Create, create.resource.clone()), &create.namespace);
        if let Some(subresource) = create.subresource {
            let name = create.object["metadata"]["name"].as_str().unwrap_or_default();
            request = request.name(name).subresource(subresource);
        }
        let answer = self.object(request.body(create.object.to_string())).await;
        let Some(announce) = &create.announce else { return answer };
        let about = announce.about.clone();
        match &answer {
            Ok(body) => self.recorder.normal(about, "SuccessfulCreate", announce.created(&name_of(body))),
            Err(error) if refused_for_ending(error) => {}
            // One that is there already was announced when it was made.
            Err(error) if error.is(Reason::AlreadyExists) => {}
            Err(error) => {
                let name = create.object["metadata"]["name"].as_str().unwrap_or_default();
                self.recorder.warning(about, "FailedCreate", announce.not_created(name, error));
            }
        }
        answer
    }

    pub(super) async fn patch(&self, key: &Key, patch: Patch, outcome: &mut Outcome) -> Result<(), Stop> {
        let mut request = named(Verb::Patch(patch.kind), &patch.resource, &patch.key);
        request.subresource = patch.subresource.map(str::to_owned);
        match self.object(request.body(patch.body.to_string())).await {
            Ok(body) => {
                self.expect_written(key, &patch.resource, &body);
                outcome.written.push(body);
                Ok(())
            }
            // The object went meanwhile: whatever was to be said about it is moot.
            Err(error) if error.is(Reason::NotFound) => Err(Stop::Quietly),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn patch_all(&self, key: &Key, patches: Vec<Patch>, outcome: &mut Outcome) -> Result<(), Stop> {
        let mut failure = None;
        for batch in patches.chunks(AT_ONCE) {
            let send = |patch: &Patch| {
                let mut request = named(Verb::Patch(patch.kind), &patch.resource, &patch.key);
                request.subresource = patch.subresource.map(str::to_owned);
                self.object(request.body(patch.body.to_string()))
            };
            let answers = join_all(batch.iter().map(send)).await;
            for (patch, answer) in batch.iter().zip(answers) {
                match answer {
                    Ok(body) => {
                        self.expect_written(key, &patch.resource, &body);
                        outcome.written.push(body);
                    }
                    Err(error) if error.is(Reason::NotFound) => {}
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    pub(super) async fn update(&self, key: &Key, update: Update, outcome: &mut Outcome) -> Result<(), Stop> {
        let mut request = named(Verb::Update, &update.resource, &update.key);
        request.subresource = update.subresource.map(str::to_owned);
        match self.object(request.body(update.object.to_string())).await {
            Ok(body) => {
                self.expect_written(key, &update.resource, &body);
                outcome.written.push(body);
                Ok(())
            }
            Err(error) if error.is(Reason::NotFound) => Err(Stop::Quietly),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete(&self, key: &Key, deletes: Vec<Delete>) -> Result<(), Stop> {
        let mut failure = None;
        for batch in deletes.chunks(AT_ONCE) {
            let answers = join_all(batch.iter().map(|delete| self.delete_one(delete))).await;
            for (delete, answer) in batch.iter().zip(answers) {
                // An answer that was lost says nothing: before more is deleted, this has to be known.
                if matches!(answer, Ok(()) | Err(Error::Connection(_))) {
                    let (resource, uid) = (delete.resource.clone(), delete.uid.clone());
                    self.expect(key, Pending::Deletion { resource, key: delete.key.clone(), uid });
                }
                if let Err(error) = answer {
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    async fn delete_one(&self, delete: &Delete) -> Result<(), Error> {
        let preconditions = Preconditions { uid: Some(delete.uid.clone()), resource_version: delete.version.clone() };
        let options = DeleteOptions {
            preconditions: Some(preconditions),
            grace_period_seconds: delete.grace,
            propagation_policy: delete.policy.map(str::to_owned),
            ..DeleteOptions::default()
        };
        // Plain options cannot fail to be written.
        let body = serde_json::to_vec(&options).unwrap_or_default();
        let request = named(Verb::Delete, &delete.resource, &delete.key).body(body);
        let answer = match self.object(request).await {
            // Gone, or replaced by another of its name.
            Err(error) if error.is(Reason::NotFound) => return Ok(()),
            Err(error) if error.is(Reason::Conflict) && delete.version.is_none() => return Ok(()),
            answer => answer.map(drop),
        };
        if let Some(announce) = &delete.announce {
            let (about, name) = (announce.about.clone(), delete.key.name());
            match &answer {
                // Nobody was refused: it is to be looked at again.
                Err(error) if error.is(Reason::Conflict) => {}
                Ok(()) => self.recorder.normal(about, "SuccessfulDelete", announce.deleted(name)),
                Err(error) => self.recorder.warning(about, "FailedDelete", announce.not_deleted(name, error)),
            }
        }
        answer
    }

    /// A collection that cannot be deleted is reported, and the others are still tried.
    pub(super) async fn delete_all(
        &self,
        resource: GroupVersionResource,
        namespace: String,
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let options = DeleteOptions { propagation_policy: Some("Background".to_owned()), ..DeleteOptions::default() };
        let body = serde_json::to_vec(&options).unwrap_or_default();
        let request = within(Request::new(Verb::DeleteCollection, resource.clone()), &namespace).body(body);
        match self.api.call(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is(Reason::NotFound) || error.is(Reason::MethodNotAllowed) => Ok(()),
            Err(error) => {
                outcome.refusals.push((resource, error));
                Ok(())
            }
        }
    }

    pub(super) async fn confirm(&self, resource: &GroupVersionResource, key: &Key, uid: &str) -> Result<(), Stop> {
        let Some(body) = self.read(resource, key).await? else { return Err(Stop::Quietly) };
        match meta_of(&body) {
            Some(meta) if meta.uid == uid && !meta.is_deleting() => Ok(()),
            _ => Err(Stop::Quietly),
        }
    }

    pub(super) async fn read(&self, resource: &GroupVersionResource, key: &Key) -> Result<Option<Bytes>, Error> {
        match self.object(named(Verb::Get, resource, key)).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.is(Reason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(&self, resource: &GroupVersionResource, namespace: &str) -> Result<Vec<Bytes>, Error> {
        let mut items = Vec::new();
        let mut token = None;
        loop {
            let options = Options { limit: Some(PAGE), continue_token: token.take(), ..Options::default() };
            let request = within(Request::new(Verb::List, resource.clone()), namespace).options(options);
            let page = match self.api.call(request).await {
                Ok(Response::List(page)) => page,
                Ok(_) => return Err(Error::Decode("a LIST was not answered with a list".to_owned())),
                Err(error) if error.is(Reason::NotFound) || error.is(Reason::MethodNotAllowed) => return Ok(items),
                Err(error) => return Err(error),
            };
            items.extend(page.items);
            match page.continue_token.filter(|token| !token.is_empty()) {
                Some(next) => token = Some(next),
                None => return Ok(items),
            }
        }
    }

    pub(super) async fn ask(&self, requests: Vec<Request>) -> Vec<Result<Vec<Bytes>, Error>> {
        let mut answers = Vec::with_capacity(requests.len());
        for batch in requests.chunks(AT_ONCE) {
            answers.extend(join_all(batch.iter().map(|request| self.ask_one(request.clone()))).await);
        }
        answers
    }

    async fn ask_one(&self, request: Request) -> Result<Vec<Bytes>, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(vec![body]),
            Response::List(list) => Ok(list.items),
            Response::Watch(_) => Err(Error::Decode("a watch is no answer".to_owned())),
        }
    }

    pub(super) async fn page(&self, request: Request) -> Result<client::List, Error> {
        match self.api.call(request).await? {
            Response::List(list) => Ok(list),
            _ => Err(Error::Decode("a list was expected".to_owned())),
        }
    }

    async fn object(&self, request: Request) -> Result<Bytes, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(body),
            _ => Err(Error::Decode("an object was expected".to_owned())),
        }
    }
}

fn named(verb: Verb, resource: &GroupVersionResource, key: &Key) -> Request {
    within(Request::new(verb, resource.clone()), key.namespace()).name(key.name())
}

fn within(request: Request, namespace: &str) -> Request {
    if namespace.is_empty() { request } else { request.namespace(namespace) }
}

fn meta_of(body: &[u8]) -> Option<ObjectMeta> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: ObjectMeta,
    }
    serde_json::from_slice::<Envelope>(body).ok().map(|envelope| envelope.metadata)
}

fn name_of(body: &[u8]) -> String {
    meta_of(body).map(|meta| meta.name).unwrap_or_default()
}
