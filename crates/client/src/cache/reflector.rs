//! LIST, then WATCH, for ever: the task that keeps a cache current.

use super::shared::Shared;
use super::{Projection, Selection, parse_version};
use crate::{Api, Error, Event, EventType, Options, ReadAhead, Request, Response, Verb, Watch};
use base::{Backoff, Env};
use bytes::Bytes;
use futures_util::StreamExt;
use meta::Reason;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Items asked for at once; a page of 5 KB objects is 2.5 MB.
const PAGE: u64 = 500;
/// The shortest life of a watch that counts as a good one.
const GOOD_WATCH: Duration = Duration::from_secs(5);
/// A watch is asked to end by itself after this, and up to as long again by chance, so that the
/// watches of a process do not end together.
const WATCH_SECONDS: u64 = 300;

/// Why a watch ended.
enum Ended {
    /// Resume where it stopped.
    Resume,
    /// The server no longer knows the version: list again.
    Relist,
}

pub(super) async fn run<P: Projection>(api: Arc<dyn Api>, env: Env, selection: Selection, shared: Arc<Shared<P>>) {
    let mut reflector = Reflector {
        backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(30)).with_jitter(0.5),
        api,
        env,
        selection,
        shared,
    };
    loop {
        let Some(mut version) = reflector.list().await else { continue };
        while let Ended::Resume = reflector.watch(&mut version).await {}
    }
}

struct Reflector<P> {
    api: Arc<dyn Api>,
    env: Env,
    selection: Selection,
    shared: Arc<Shared<P>>,
    backoff: Backoff,
}

impl<P: Projection> Reflector<P> {
    /// Reads the whole resource into the cache and returns the version to watch from; None after a
    /// failure that was waited out.
    async fn list(&mut self) -> Option<String> {
        match self.list_pages().await {
            Ok((items, version)) => {
                self.shared.replace(items, parse_version(&version));
                Some(version)
            }
            Err(error) => {
                if error.is(Reason::NotFound) {
                    self.shared.not_served();
                }
                self.rest("list", &error).await;
                None
            }
        }
    }

    async fn list_pages(&self) -> Result<(Vec<(Bytes, ReadAhead)>, String), Error> {
        let mut items = Vec::new();
        let mut token = None;
        loop {
            let options = Options { limit: Some(PAGE), continue_token: token.take(), ..self.options() };
            let page = match self.api.call(self.request(Verb::List, options)).await? {
                Response::List(page) => page,
                _ => return Err(Error::Decode("a LIST was not answered with a list".to_owned())),
            };
            items.extend(page.items.into_iter().zip(page.metadata.into_iter().chain(std::iter::repeat(None))));
            match page.continue_token.filter(|token| !token.is_empty()) {
                Some(next) => token = Some(next),
                None => return Ok((items, page.resource_version)),
            }
        }
    }

    async fn watch(&mut self, version: &mut String) -> Ended {
        let seconds = WATCH_SECONDS + self.env.rng.u64(0..WATCH_SECONDS);
        let options = Options {
            resource_version: Some(version.clone()),
            allow_watch_bookmarks: true,
            timeout_seconds: Some(seconds),
            ..self.options()
        };
        let started = self.env.clock.instant();
        let outcome = match self.api.call(self.request(Verb::Watch, options)).await {
            Ok(Response::Watch(events)) => self.follow(events, version).await,
            Ok(_) => Err(Error::Decode("a WATCH was not answered with a watch".to_owned())),
            Err(error) => Err(error),
        };
        if started.elapsed() >= GOOD_WATCH {
            self.backoff.reset();
        }
        match outcome {
            Ok(()) if started.elapsed() >= GOOD_WATCH => {}
            Ok(()) => self.pause().await,
            Err(error) if error.is(Reason::Expired) || error.is(Reason::Gone) => {
                debug!(resource = %self.selection.resource.resource, "watch expired; listing again");
                if started.elapsed() < GOOD_WATCH {
                    self.pause().await;
                }
                return Ended::Relist;
            }
            Err(error) => self.rest("watch", &error).await,
        }
        Ended::Resume
    }

    /// Applies events until the watch ends, moving `version` along.
    async fn follow(&self, mut events: Watch, version: &mut String) -> Result<(), Error> {
        while let Some(event) = events.next().await {
            if let Some(seen) = self.apply(event?) {
                *version = seen;
            }
        }
        Ok(())
    }

    fn apply(&self, event: Event) -> Option<String> {
        match event.kind {
            EventType::Added | EventType::Modified => self.shared.put(event.object, event.metadata),
            EventType::Deleted => self.shared.delete(event.object, event.metadata),
            EventType::Bookmark => {
                let seen = bookmark_version(&event.object)?;
                self.shared.advance(parse_version(&seen));
                Some(seen)
            }
        }
    }

    async fn rest(&mut self, doing: &str, error: &Error) {
        let resource = &self.selection.resource.resource;
        if self.backoff.failures() == 3 && !error.is(Reason::NotFound) {
            warn!(%resource, %error, "cannot {doing}; trying on");
        } else {
            debug!(%resource, %error, "cannot {doing}; trying again");
        }
        self.pause().await;
    }

    async fn pause(&mut self) {
        let delay = self.backoff.next(&self.env.rng);
        self.env.clock.sleep(delay).await;
    }

    fn options(&self) -> Options {
        Options {
            label_selector: self.selection.label_selector.clone(),
            field_selector: self.selection.field_selector.clone(),
            ..Options::default()
        }
    }

    fn request(&self, verb: Verb, options: Options) -> Request {
        let mut request = Request::new(verb, self.selection.resource.clone()).options(options);
        request.namespace.clone_from(&self.selection.namespace);
        request
    }
}

fn bookmark_version(object: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Bookmark {
        metadata: meta::ObjectMeta,
    }
    let bookmark: Bookmark = serde_json::from_slice(object).ok()?;
    Some(bookmark.metadata.resource_version)
}
