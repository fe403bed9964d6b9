//! The API server as an in-process [`client::Api`]: the same path under a fixed identity, without
//! a connection and without another copy of any object.

use crate::answer::Answer;
use crate::server::Server;
use crate::watch::{Item, Watcher};
use crate::write::{Caller, Media};
use bytes::Bytes;
use client::{Api, BoxFuture, Error, Event, EventType, List, Request, Response};
use meta::User;
use std::sync::Arc;

/// A room's door into the server it shares a process with.
#[derive(Clone)]
pub struct Local {
    server: Arc<Server>,
    user: User,
}

impl Local {
    pub fn new(server: Arc<Server>, user: User) -> Self {
        Local { server, user }
    }
}

impl Api for Local {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        Box::pin(async move {
            if let Some(answer) = self.server.ask_remote(&self.user, &request).await {
                return Ok(answer?);
            }
            // Long-running requests hold their seat only until they began.
            let _seat = self.server.seat_for(&self.user, &request).await?;
            let mut warnings = Vec::new();
            let mut caller = Caller {
                user: &self.user,
                user_agent: short_name(&self.user.name),
                warnings: &mut warnings,
                record: None,
            };
            let answer = self.server.handle(&request, Media::Json, &mut caller).await?;
            Ok(respond(answer))
        })
    }
}

/// What stands as field manager of a component's writes.
fn short_name(user: &str) -> &str {
    user.rsplit(':').next().unwrap_or(user)
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Object { object, created } => Response::Object { body: object.json.clone(), created },
        Answer::Other { json, created, .. } => Response::Object { body: json, created },
        Answer::Status(status) => {
            // A struct of texts and numbers always encodes.
            Response::Object { body: serde_json::to_vec(&status).unwrap_or_default().into(), created: false }
        }
        Answer::List(list) => Response::List(List {
            resource_version: list.revision.to_string(),
            continue_token: list.continue_token,
            remaining: list.remaining,
            items: list.items.iter().map(|object| object.json.clone()).collect(),
            metadata: list.items.iter().map(|object| object.metadata()).collect(),
        }),
        Answer::Watch(watcher) => {
            Response::Watch(Box::pin(futures_util::stream::unfold(Some(watcher), |state| async move {
                let mut watcher = state?;
                match watcher.next().await? {
                    Item::Event { kind, object, .. } => {
                        let event = Event { kind, object: object.json.clone(), metadata: object.metadata() };
                        Some((Ok(event), Some(watcher)))
                    }
                    Item::Bookmark { revision, initial_events_end } => {
                        let object = bookmark(&watcher, revision, initial_events_end);
                        Some((Ok(Event { kind: EventType::Bookmark, object, metadata: None }), Some(watcher)))
                    }
                    Item::Error(status) => Some((Err(status.into()), None)),
                }
            })))
        }
    }
}

/// An object of the watched kind with nothing but its resourceVersion.
pub(crate) fn bookmark(watcher: &Watcher, revision: u64, initial_events_end: bool) -> Bytes {
    let mut metadata = serde_json::json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
    if initial_events_end {
        metadata["annotations"] = serde_json::json!({"k8s.io/initial-events-end": "true"});
    }
    let kind = &watcher.resource.kind;
    let object = serde_json::json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
    object.to_string().into()
}
