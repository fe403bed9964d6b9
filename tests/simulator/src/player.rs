//! The user of a scenario: lets time pass, insists on what it asks for, and looks after the nodes.

use crate::chaos::Weather;
use crate::ledger::Ledger;
use crate::world::World;
use base::Rng;
use client::{Api, Error, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Reason, User};
use serde_json::Value;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

pub const TICK: Duration = Duration::from_secs(1);
pub const NAMESPACE: &str = "default";
pub const NODES: &str = "/registry/nodes/";
const NODE: GroupVersionResource = GroupVersionResource::of("", "v1", "nodes");

pub struct Player {
    pub world: Arc<World>,
    pub rng: Rng,
    pub nodes: Vec<String>,
    user: Arc<dyn Api>,
    /// The last revision that was looked at.
    checked: Cell<u64>,
}

impl Player {
    pub fn new(world: &Arc<World>, nodes: usize) -> Self {
        Player {
            rng: world.env.rng.fork(),
            nodes: (1..=nodes).map(|number| format!("node-{number}")).collect(),
            user: world.admin("user"),
            world: world.clone(),
            checked: Cell::new(0),
        }
    }

    pub fn any<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.rng.usize(0..of.len())]
    }

    pub fn any_node(&self) -> &str {
        self.any::<String>(&self.nodes)
    }

    /// Lets time pass, unless something is wrong already; `check` looks at every second in which
    /// something was written.
    ///
    /// # Errors
    /// A rule was broken.
    pub async fn wait(&self, mut how_long: Duration, check: &dyn Fn(&Ledger) -> Option<String>) -> Result<(), String> {
        let ledger = &self.world.net.ledger;
        while !how_long.is_zero() {
            let tick = how_long.min(TICK);
            self.world.env.clock.sleep(tick).await;
            how_long -= tick;
            if let Some(wrong) = ledger.first_wrong() {
                return Err(wrong);
            }
            if self.checked.replace(ledger.seen()) != ledger.seen()
                && let Some(wrong) = check(ledger)
            {
                return Err(wrong);
            }
            let panicked = self.world.env.tasks.failed();
            if self.world.env.clock.timeout(Duration::ZERO, panicked).await.is_ok() {
                return Err("a task panicked".to_owned());
            }
        }
        Ok(())
    }

    /// Sends a request until it is done; what is done already is as good.
    pub async fn insist(&self, request: Request) -> Option<Response> {
        for _ in 0..10_000 {
            match self.user.call(request.clone()).await {
                Ok(response) => return Some(response),
                Err(error) if is_settled(&error) => return None,
                Err(_) => self.world.env.clock.sleep(Duration::from_millis(200)).await,
            }
        }
        self.world.net.ledger.wrong("the user got no answer in half an hour".to_owned());
        None
    }

    /// Creates an object in its namespace.
    pub async fn create(&self, resource: &GroupVersionResource, object: &Value) {
        let mut create = Request::new(Verb::Create, resource.clone()).body(object.to_string());
        create.namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        self.insist(create).await;
    }

    /// Patches an object of the namespace `default`.
    pub async fn patch(&self, resource: &GroupVersionResource, name: &str, patch: Value) {
        let request = Request::new(Verb::Patch(PatchType::Strategic), resource.clone()).namespace(NAMESPACE);
        self.insist(request.name(name).body(patch.to_string())).await;
    }

    pub async fn patch_node(&self, name: &str, patch: Value) {
        self.insist(Request::new(Verb::Patch(PatchType::Merge), NODE).name(name).body(patch.to_string())).await;
    }

    /// Deletes an object of the namespace `default`.
    pub async fn delete(&self, resource: &GroupVersionResource, name: &str) {
        self.insist(Request::new(Verb::Delete, resource.clone()).namespace(NAMESPACE).name(name)).await;
    }

    /// Others that ask for things, over bad lines; they may do everything, and try only once.
    pub fn strangers(&self, many: usize) -> Vec<Arc<dyn Api>> {
        let stranger = |number| -> Arc<dyn Api> {
            let name = format!("stranger-{number}");
            let user = User::new(&*name, &[auth::names::MASTERS, auth::names::AUTHENTICATED]);
            Arc::new(self.world.wire(&name, user, Weather::Foul))
        };
        (1..=many).map(stranger).collect()
    }

    pub fn start_nodes(&self) {
        self.nodes.iter().filter(|name| !self.world.is_running(name)).for_each(|name| self.world.start_node(name));
    }

    /// Waits until every node has made itself known.
    ///
    /// # Errors
    /// A rule was broken.
    pub async fn nodes_known(&self) -> Result<(), String> {
        while self.world.net.ledger.revisions(NODES).len() < self.nodes.len() {
            self.wait(TICK, &|_| None).await?;
        }
        Ok(())
    }

    /// The machine dies with all that runs on it.
    pub async fn stop_node(&self, name: &str) {
        self.world.net.ledger.judge(|judge, _| judge.lose_node(name));
        self.world.stop(name).await;
        self.world.net.machines.lose(name);
    }

    pub async fn delete_node(&self, name: &str) {
        self.stop_node(name).await;
        self.insist(Request::new(Verb::Delete, NODE).name(name)).await;
    }
}

/// Trying again would not change the answer.
fn is_settled(error: &Error) -> bool {
    let settled = [
        Reason::AlreadyExists,
        Reason::NotFound,
        Reason::Conflict,
        Reason::Invalid,
        Reason::BadRequest,
        Reason::Forbidden,
    ];
    settled.into_iter().any(|reason| error.is(reason))
}
