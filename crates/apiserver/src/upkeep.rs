//! What the server does by itself, now and then: forgets history that no watch can want any more,
//! and Events that are over.

use crate::object::Object;
use crate::read::collection_of;
use crate::server::Server;
use crate::write::Draft;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::Revision;
use tokio::time::Instant;
use tracing::{debug, warn};

/// History stays at least this long and at most twice as long, as upstream compacts etcd.
const HISTORY: Duration = Duration::from_secs(300);
/// Events that nobody repeats go after this long (upstream's `--event-ttl`).
const EVENT_LIFE: Duration = Duration::from_secs(3600);

impl Server {
    /// Runs for as long as the server does.
    pub async fn upkeep(self: Arc<Self>) {
        self.register_local(None).await;
        self.env.tasks.spawn("definitions", self.clone().keep_definitions());
        self.clone().keep_flow_control();
        self.env.tasks.spawn("service addresses", self.clone().keep_addresses());
        self.env.tasks.spawn("uses of tokens", self.clone().keep_token_uses());
        // When which revision was the newest: says how old an object is without reading it.
        let mut marks: VecDeque<(Instant, Revision)> = VecDeque::new();
        let mut older = self.revision();
        loop {
            self.env.clock.sleep(HISTORY).await;
            let now = self.env.clock.instant();
            self.forget_history(older).await;
            older = self.revision();
            marks.push_back((now, older));
            let mut over = None;
            while marks.front().is_some_and(|(at, _)| *at + EVENT_LIFE <= now) {
                over = marks.pop_front().map(|(_, revision)| revision);
            }
            if let Some(revision) = over {
                self.expire_events(revision).await;
            }
        }
    }

    /// Forgets what was replaced up to `before`; lists that began earlier cannot go on as they were.
    pub async fn forget_history(&self, before: Revision) {
        if let Err(error) = self.store.compact(before).await {
            warn!(%error, "cannot compact the store's history");
        }
        self.snapshots.forget(before);
    }

    /// Deletes the Events that were last written at `until` or before.
    async fn expire_events(&self, until: Revision) {
        let Some(resource) = self.resources.find("", "v1", "events") else { return };
        let Ok(collection) = collection_of(&resource, "delete") else { return };
        let (objects, _) = collection.snapshot();
        let old: Vec<Arc<Object>> = objects.values().filter(|event| event.revision <= until).cloned().collect();
        debug!(count = old.len(), "expiring events");
        for event in old {
            // Written again meanwhile: it lives on.
            if let Ok(value) = event.value() {
                let _ = Draft::new(&resource, value).delete(self, &resource, &event).await;
            }
        }
    }
}
