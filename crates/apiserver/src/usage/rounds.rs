//! When the nodes are read, and how: only when somebody asks, each round at most every fifteen
//! seconds, many nodes at once, and one that does not answer is left alone for a while.

use super::readings::{Rates, Round};
use super::text;
use crate::connect::kubelet_address;
use crate::server::Server;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// metrics-server's `--metric-resolution`, less a little, so that who asks just that often gets a new
/// round each time.
const FRESH: Duration = Duration::from_millis(14_500);
/// Rates over more than this say nothing of now.
const STALE: Duration = Duration::from_secs(60);
/// Between two rounds where there was none before.
const COLD: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 32;
/// A node that could not be read is not asked again for so long.
const LEFT_ALONE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Rounds {
    known: Mutex<Known>,
    /// Held by whoever reads the nodes.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// When the rates were last brought up to date.
    fresh: Option<Instant>,
    last: Option<(Instant, Arc<Round>)>,
    rates: Arc<Rates>,
    silent: BTreeMap<String, Instant>,
}

impl Rounds {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How old the rates are.
    fn age(&self) -> Option<Duration> {
        self.known().fresh.as_ref().map(Instant::elapsed)
    }

    /// What everything uses, as of at most fifteen seconds ago.
    pub(crate) async fn rates(&self, server: &Server) -> Arc<Rates> {
        if self.age().is_none_or(|age| age >= FRESH) {
            let _turn = self.turn.lock().await;
            match self.age() {
                // Somebody else was reading them.
                Some(age) if age < FRESH => {}
                Some(age) if age < STALE => self.round(server).await,
                _ => {
                    self.round(server).await;
                    server.env.clock.sleep(COLD).await;
                    self.round(server).await;
                }
            }
            let mut known = self.known();
            known.fresh = known.last.as_ref().map(|(at, _)| *at);
        }
        self.known().rates.clone()
    }

    async fn round(&self, server: &Server) {
        let nodes = self.nodes(server);
        let read = |(name, node): (String, Value)| async move {
            let text = match read(server, &node).await {
                Ok(text) => Some(text),
                Err(why) => {
                    debug!(node = name, %why, "cannot read what a node uses");
                    None
                }
            };
            (name, text)
        };
        let answers: Vec<(String, Option<String>)> =
            stream::iter(nodes).map(read).buffer_unordered(AT_ONCE).collect().await;
        let (now, instant) = (server.env.clock.now(), server.env.clock.instant());
        let mut round = Round::default();
        let mut known = self.known();
        for (name, answer) in answers {
            match answer {
                Some(document) => text::read(&name, &document, now, &mut round),
                None => {
                    known.silent.insert(name, instant);
                }
            }
        }
        let round = Arc::new(round);
        if let Some((_, last)) = known.last.replace((instant, round.clone())) {
            known.rates = Arc::new(Rates::between(&last, &round));
        }
    }

    /// The nodes worth asking.
    fn nodes(&self, server: &Server) -> Vec<(String, Value)> {
        let Some(row) = server.resources.find("", "v1", "nodes") else { return Vec::new() };
        let Some(collection) = &row.collection else { return Vec::new() };
        let mut known = self.known();
        known.silent.retain(|_, since| since.elapsed() < LEFT_ALONE);
        let (objects, _) = collection.snapshot();
        let asked = objects.values().filter(|object| !known.silent.contains_key(&object.index.name));
        let read = asked.filter_map(|object| Some((object.index.name.clone(), object.value().ok()?)));
        read.filter(|(_, node)| meta::conditions::is_true(&node["status"]["conditions"], "Ready")).collect()
    }
}

async fn read(server: &Server, node: &Value) -> Result<String, String> {
    let (host, port) = kubelet_address(node).map_err(|status| status.message)?;
    let connector = server.links.get().ok_or_else(|| "no way to reach nodes".to_owned())?;
    connector.connector.read(&host, port, "/metrics/resource").await
}
