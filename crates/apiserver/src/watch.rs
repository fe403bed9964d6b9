//! WATCH: a cursor over a collection's ring of changes, seen through a filter.
//!
//! A watcher holds no queue of its own: it sleeps until the ring grows and reads on from its
//! place, so a slow one costs nothing and is cut off once the ring has moved past it.

use crate::collection::{Change, Collection, TooOld};
use crate::filter::Filter;
use crate::object::Object;
use crate::read::{collection_of, read_revision, too_new};
use crate::resources::Resource;
use crate::server::Server;
use base::Clock;
use client::{EventType, Options};
use meta::Status;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::Revision;
use tokio::time::Instant;

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const BATCH: usize = 256;

pub enum Item {
    Event {
        kind: EventType,
        object: Arc<Object>,
        shared: Option<Arc<Change>>,
    },
    Bookmark {
        revision: Revision,
        initial_events_end: bool,
    },
    /// The last item: the watcher fell behind.
    Error(Status),
}

pub struct Watcher {
    pub resource: Arc<Resource>,
    /// Who has objects converted that are not made on the spot.
    converts: Option<Arc<Server>>,
    collection: Arc<Collection>,
    filter: Filter,
    place: u64,
    initial: VecDeque<Arc<Object>>,
    /// Set while the bookmark that ends the initial events is still due.
    initial_end: Option<Revision>,
    ready: VecDeque<Item>,
    /// The revision up to which everything was sent; what bookmarks tell.
    sent: Revision,
    last_told: Revision,
    bookmarks: bool,
    clock: Clock,
    deadline: Instant,
    next_bookmark: Instant,
    failed: bool,
}

impl Server {
    pub(crate) fn watch(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
        name: Option<&str>,
        options: &Options,
    ) -> Result<Watcher, Status> {
        let filter = Filter::read(resource, namespace, name, options)?;
        let collection = collection_of(resource, "watch")?.clone();
        let start = read_revision(options.resource_version.as_deref())?.unwrap_or(0);
        let stream_list = options.send_initial_events == Some(true);
        if stream_list
            && !(options.allow_watch_bookmarks && options.resource_version_match.as_deref() == Some("NotOlderThan"))
        {
            return Err(Status::bad_request(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan and allowWatchBookmarks",
            ));
        }
        let (objects, now, end) = collection.snapshot_and_place();
        if start > now {
            return Err(too_new(start, now));
        }
        let from_state = stream_list || (start == 0 && options.send_initial_events != Some(false));
        let (place, initial) = if from_state {
            (end, objects.values().filter(|object| filter.matches(object)).cloned().collect())
        } else if start == 0 {
            (end, VecDeque::new())
        } else {
            (collection.place_after(start).map_err(|old| gone(start, old))?, VecDeque::new())
        };
        let sent = if from_state || start == 0 { now } else { start };
        let clock = self.env.clock.clone();
        let began = clock.instant();
        let seconds = options.timeout_seconds.filter(|seconds| *seconds > 0);
        // As upstream: between the least and twice as long, so that clients do not all come back at once.
        let least = self.settings.limits.min_request_timeout.as_secs().max(1);
        let seconds = seconds.unwrap_or_else(|| self.env.rng.u64(least..least * 2));
        Ok(Watcher {
            resource: resource.clone(),
            converts: self.own().filter(|_| resource.converts_elsewhere()),
            collection,
            filter,
            place,
            initial,
            initial_end: stream_list.then_some(now),
            ready: VecDeque::new(),
            sent,
            last_told: sent,
            bookmarks: options.allow_watch_bookmarks,
            deadline: began + Duration::from_secs(seconds),
            next_bookmark: began + BOOKMARK_EVERY,
            clock,
            failed: false,
        })
    }
}

impl Watcher {
    /// The next item; None when the watch has come to its end.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            match self.converts.clone() {
                Some(server) => {
                    if let Some(item) = self.take() {
                        return Some(self.converted(&server, item).await);
                    }
                }
                None => {
                    if let Some(item) = self.next_now() {
                        return Some(item);
                    }
                }
            }
            if self.failed || self.collection.is_closed() || self.clock.instant() >= self.deadline {
                return None;
            }
            let wake = if self.bookmarks { self.deadline.min(self.next_bookmark) } else { self.deadline };
            tokio::select! {
                biased;
                () = self.collection.grown_past(self.place) => {}
                () = self.clock.sleep_until(wake) => {}
            }
            if self.bookmarks && self.clock.instant() >= self.next_bookmark {
                self.next_bookmark = self.clock.instant() + BOOKMARK_EVERY;
                self.fill();
                if self.ready.is_empty() && self.sent > self.last_told {
                    self.last_told = self.sent;
                    return Some(Item::Bookmark { revision: self.sent, initial_events_end: false });
                }
            }
        }
    }

    /// An item that needs no waiting.
    pub fn next_now(&mut self) -> Option<Item> {
        if self.converts.is_some() {
            return None;
        }
        let item = self.take()?;
        Some(self.shown(item))
    }

    fn take(&mut self) -> Option<Item> {
        if let Some(object) = self.initial.pop_front() {
            return Some(Item::Event { kind: EventType::Added, object, shared: None });
        }
        if let Some(revision) = self.initial_end.take() {
            return Some(Item::Bookmark { revision, initial_events_end: true });
        }
        if self.ready.is_empty() && !self.failed {
            self.fill();
        }
        self.ready.pop_front()
    }

    fn fill(&mut self) {
        while self.ready.is_empty() {
            match self.collection.changes(self.place, BATCH) {
                Ok((changes, upto)) => {
                    self.place += changes.len() as u64;
                    for change in &changes {
                        // Another row shows the kind from here on: the client asks again.
                        if self.resource.custom.as_ref().is_some_and(|custom| custom.is_past(change.revision)) {
                            self.failed = true;
                            return;
                        }
                        self.ready.extend(self.event(change));
                    }
                    self.sent = self.sent.max(upto);
                    if changes.len() < BATCH {
                        return;
                    }
                }
                Err(old) => {
                    self.failed = true;
                    self.ready.push_back(Item::Error(gone(self.sent, old)));
                }
            }
        }
    }

    /// The same where a webhook has to be asked.
    async fn converted(&self, server: &Server, item: Item) -> Item {
        match item {
            Item::Event { kind, object, .. } => match server.show(&self.resource, &object).await {
                Ok(object) => Item::Event { kind, object, shared: None },
                Err(status) => Item::Error(status),
            },
            other => other,
        }
    }

    /// An event in the version that is watched.
    fn shown(&self, item: Item) -> Item {
        match item {
            Item::Event { kind, object, .. } if !self.resource.shows_stored() => match self.resource.show(&object) {
                Ok(object) => Item::Event { kind, object, shared: None },
                Err(status) => Item::Error(status),
            },
            other => other,
        }
    }

    /// The change as this watcher sees it: objects enter and leave its selection.
    fn event(&self, change: &Arc<Change>) -> Option<Item> {
        let before = change.previous.as_ref().filter(|previous| self.filter.matches(previous));
        let is_in = self.filter.matches(&change.object);
        let shared = Some(change.clone());
        let object = change.object.clone();
        match (before, is_in) {
            _ if change.deleted => {
                (before.is_some() || is_in).then_some(Item::Event { kind: EventType::Deleted, object, shared })
            }
            (Some(_), true) => Some(Item::Event { kind: EventType::Modified, object, shared }),
            (None, true) => Some(Item::Event { kind: EventType::Added, object, shared }),
            (Some(previous), false) => {
                let object = Arc::new(crate::object::at_revision(previous, change.revision));
                Some(Item::Event { kind: EventType::Deleted, object, shared: None })
            }
            (None, false) => None,
        }
    }
}

fn gone(asked: Revision, old: TooOld) -> Status {
    Status::expired(format!("too old resource version: {asked} ({})", old.oldest))
}
