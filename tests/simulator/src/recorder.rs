//! A client that lists once and then only watches, resuming where it was cut off: it must be told
//! of every revision of its resource, each exactly once and in order, over any number of dropped
//! watches and restarted servers.

use crate::world::World;
use base::Clock;
use client::{Api, Error, Event, EventType, Options, Request, Response, Verb};
use futures_util::StreamExt as _;
use meta::{GroupVersionResource, ObjectMeta};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const RETRY: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    /// The revision of the list; None: it is not in yet.
    listed: Option<u64>,
    told: Vec<u64>,
    problem: Option<String>,
}

pub struct Recorder {
    resource: GroupVersionResource,
    prefix: &'static str,
    api: Arc<dyn Api>,
    clock: Clock,
    state: Mutex<State>,
}

impl Recorder {
    /// Follows a resource, whose objects the store keeps under `prefix`, to the world's end.
    pub fn start(world: &Arc<World>, resource: GroupVersionResource, prefix: &'static str) -> Arc<Self> {
        let api = world.admin(&format!("recorder-{}", resource.resource));
        let clock = world.env.clock.clone();
        let recorder = Arc::new(Recorder { resource, prefix, api, clock, state: Mutex::default() });
        world.env.tasks.spawn("recorder", recorder.clone().run());
        recorder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        let mut version = loop {
            match self.api.call(Request::new(Verb::List, self.resource.clone())).await {
                Ok(Response::List(list)) => break list.resource_version,
                _ => self.clock.sleep(RETRY).await,
            }
        };
        self.state().listed = version.parse().ok();
        while self.state().problem.is_none() {
            if let Err(error) = self.follow(&mut version).await
                && error
                    .status()
                    .is_some_and(|status| status.is(meta::Reason::Expired) || status.is(meta::Reason::Gone))
            {
                self.state().problem = Some(format!("cannot resume after {version}: {error}"));
            }
            self.clock.sleep(RETRY).await;
        }
    }

    async fn follow(&self, version: &mut String) -> Result<(), Error> {
        let options = Options {
            resource_version: Some(version.clone()),
            allow_watch_bookmarks: true,
            timeout_seconds: Some(120),
            ..Options::default()
        };
        let request = Request::new(Verb::Watch, self.resource.clone()).options(options);
        let Response::Watch(mut events) = self.api.call(request).await? else {
            return Err(Error::Decode("a WATCH was not answered with a watch".to_owned()));
        };
        while let Some(event) = events.next().await {
            *version = self.note(&event?)?;
        }
        Ok(())
    }

    fn note(&self, event: &Event) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Object {
            metadata: ObjectMeta,
        }
        let object: Object = serde_json::from_slice(&event.object).map_err(|error| Error::Decode(error.to_string()))?;
        let version = object.metadata.resource_version;
        if event.kind != EventType::Bookmark {
            self.state().told.push(version.parse().unwrap_or(0));
        }
        Ok(version)
    }

    /// Compares what was told with what was written.
    pub fn verdict(&self, world: &World) -> Option<String> {
        let state = self.state();
        if let Some(problem) = &state.problem {
            return Some(format!("watch of {}: {problem}", self.resource.resource));
        }
        let from = state.listed?;
        let written = world.net.ledger.since(from);
        let expected: Vec<u64> =
            written.iter().filter(|one| one.key.starts_with(self.prefix)).map(|one| one.revision).collect();
        difference(&expected, &state.told).map(|wrong| format!("watch of {}: {wrong}", self.resource.resource))
    }
}

/// Where what was told first differs from what was to be told.
pub fn difference(expected: &[u64], told: &[u64]) -> Option<String> {
    let same = expected.iter().zip(told).take_while(|(one, other)| one == other).count();
    (same != expected.len() || same != told.len()).then(|| {
        let (want, have) = (expected.get(same), told.get(same));
        format!("after {same} events revision {want:?} was due, told was {have:?}")
    })
}
